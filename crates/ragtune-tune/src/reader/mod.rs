//! Training of a reader: a small causal language model that answers from the passages in its context.

mod attention;
mod layout;
mod optim;
mod pass;
mod products;

use burn::tensor::Device;
use ragtune_kernels::side_by_side;
use ragtune_model::{CausalLm, Continuation};

use layout::Layout;
use optim::Optimiser;
pub use optim::ReaderRates;
use pass::{LossWeights, Sums, pass};

/// One prompt token in this many takes part in the prompt's loss: the product with the vocabulary costs most.
const PROMPT_STRIDE: usize = 2;
/// Share of the averaged weights that one step leaves as they are: the average spans about the last thousand steps.
const AVERAGE: f32 = 0.999;

/// A context with questions about it. The questions do not see each other: each has the very states that it would have
/// alone after the context, as at inference, and the context is computed once for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The tokens that all texts begin with, at least one.
    shared: Vec<u32>,
    /// What follows: the rest of a prompt, and its answer from `start` on.
    branches: Vec<Continuation>,
}

impl Reading {
    /// Prompts with their answers that begin alike; what they share is found here. `None` without any, when they
    /// share not even their first token, or when an answer is empty or a prompt shorter than two tokens.
    pub fn new(texts: &[Continuation]) -> Option<Self> {
        let first = texts.first()?;
        if texts.iter().any(|text| text.start == 0 || text.start >= text.ids.len()) {
            return None;
        }
        let same = |text: &Continuation| first.ids.iter().zip(&text.ids).take_while(|(a, b)| a == b).count();
        // The last token of a prompt stays in the branch: its state predicts the answer.
        let shared = texts.iter().map(|text| same(text).min(text.start - 1)).min()?;
        if shared == 0 {
            return None;
        }
        let branch =
            |text: &Continuation| Continuation { ids: text.ids[shared..].to_vec(), start: text.start - shared };
        Some(Self { shared: first.ids[..shared].to_vec(), branches: texts.iter().map(branch).collect() })
    }

    /// Tokens that are computed.
    pub fn tokens(&self) -> usize {
        self.shared.len() + self.branches.iter().map(|branch| branch.ids.len() - 1).sum::<usize>()
    }

    /// Tokens that are answered.
    fn answer_tokens(&self) -> usize {
        self.branches.iter().map(|branch| branch.ids.len() - branch.start).sum()
    }

    /// Tokens of prompts that take part in the loss.
    fn prompt_tokens(&self) -> usize {
        let counted = |tokens: usize| tokens.saturating_sub(1) / PROMPT_STRIDE;
        counted(self.shared.len()) + self.branches.iter().map(|branch| counted(branch.start)).sum::<usize>()
    }
}

/// Trains a language model on prompts with answers: the answer's loss plus a share of the prompt's.
pub struct ReaderTrainer {
    lm: CausalLm,
    layout: Layout,
    flat: Vec<f32>,
    /// Running average of `flat` over the steps.
    averaged: Vec<f32>,
    steps: u32,
    optimiser: Optimiser,
}

/// What one step found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReaderLoss {
    /// Mean negative log-likelihood of an answer token.
    pub answer: f32,
    /// Mean negative log-likelihood of a prompt token.
    pub prompt: f32,
    /// For every reading and question, whether each token of the answer was the most probable one.
    pub exact: Vec<Vec<bool>>,
}

impl ReaderTrainer {
    /// A trainer with a fresh optimiser; `None` for a model that is not plain enough: it needs a tied head, as many key
    /// as query heads, and unscaled positions.
    pub fn new(lm: CausalLm) -> Option<Self> {
        let layout = Layout::of(&lm.decoder.config)?;
        let flat = layout.flatten(&lm.weights);
        let optimiser = Optimiser::new(&layout);
        Some(Self { lm, layout, averaged: flat.clone(), flat, steps: 0, optimiser })
    }

    /// The model with the running average of its weights: while the learning rate is high, the average answers better
    /// than any single step's weights.
    pub fn lm(&self) -> CausalLm {
        CausalLm { weights: self.layout.unflatten(&self.averaged, &Device::flex()), ..self.lm.clone() }
    }

    /// One update; `prompt_share` is the weight of the prompt's loss beside the answer's.
    ///
    /// Halves of the batch are computed side by side; their gradients are added in a fixed order, so that the result
    /// does not depend on which is done first.
    pub fn step(&mut self, batch: &[Reading], rates: &ReaderRates, prompt_share: f32) -> ReaderLoss {
        let (answers, prompts) = counts(batch);
        let weights = LossWeights { answer: 1.0 / answers as f32, prompt: prompt_share / prompts as f32 };
        let mut sides = self.sides(batch, |half| {
            let mut gradient = vec![0.0f32; self.flat.len()];
            let sums = pass(&self.layout, &self.flat, half, weights, Some(&mut gradient));
            (sums, gradient)
        });
        let mut sums = Vec::new();
        let mut gradient = vec![0.0f32; self.flat.len()];
        for (side, part) in sides.drain(..) {
            sums.push(side);
            for (sum, part) in gradient.iter_mut().zip(part) {
                *sum += part;
            }
        }
        self.optimiser.step(&mut self.flat, &mut gradient, rates);
        self.steps += 1;
        // Soon after the start the average spans a tenth of the steps, so that it leaves the first weights behind.
        let keep = AVERAGE.min(self.steps as f32 / (self.steps as f32 + 10.0));
        for (mean, &now) in self.averaged.iter_mut().zip(&self.flat) {
            *mean = keep * *mean + (1.0 - keep) * now;
        }
        report(&sums, answers, prompts)
    }

    /// The loss of [`ReaderTrainer::lm`], without an update. An answer is exact when greedy generation would give it and then stop.
    pub fn measure(&self, batch: &[Reading]) -> ReaderLoss {
        let (answers, prompts) = counts(batch);
        let weights = LossWeights { answer: 1.0, prompt: 0.0 };
        report(&self.sides(batch, |half| pass(&self.layout, &self.averaged, half, weights, None)), answers, prompts)
    }

    /// Works on both halves of a batch, by their tokens.
    fn sides<T: Send>(&self, batch: &[Reading], work: impl Fn(&[Reading]) -> T + Sync + Send) -> Vec<T> {
        let total: usize = batch.iter().map(Reading::tokens).sum();
        let mut seen = 0;
        let before_middle = |reading: &&Reading| {
            seen += reading.tokens();
            2 * seen <= total + reading.tokens()
        };
        let middle = batch.iter().take_while(before_middle).count();
        let (left, right) = batch.split_at(middle);
        let halves = [left, right].into_iter().filter(|half| !half.is_empty()).collect();
        side_by_side(&Device::flex(), halves, work)
    }
}

/// Tokens of answers and of prompts that the loss asks for, at least one each.
fn counts(batch: &[Reading]) -> (usize, usize) {
    let sum = |count: fn(&Reading) -> usize| batch.iter().map(count).sum::<usize>().max(1);
    (sum(Reading::answer_tokens), sum(Reading::prompt_tokens))
}

fn report(sides: &[Sums], answers: usize, prompts: usize) -> ReaderLoss {
    ReaderLoss {
        answer: (sides.iter().map(|side| side.answer).sum::<f64>() / answers as f64) as f32,
        prompt: (sides.iter().map(|side| side.prompt).sum::<f64>() / prompts as f64) as f32,
        exact: sides.iter().flat_map(|side| side.exact.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::activation::log_softmax;
    use ragtune_kernels::to_vec;
    use ragtune_model::{Decoder, DecoderConfig, Weight, Weights};
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    const VOCAB: usize = 40;

    fn model() -> (Decoder, Weights) {
        let json = serde_json::json!({
            "model_type": "llama", "vocab_size": VOCAB, "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
            "tie_word_embeddings": true
        });
        let config = DecoderConfig::from_json(&json, "config.json").unwrap();
        let llama = Decoder { config };
        let mut weights = llama.init(&Device::flex(), &mut Pcg64Mcg::seed_from_u64(3));
        // Larger than at the start of a training, so that attention looks somewhere.
        for (name, shape) in llama.config.shapes() {
            if shape.len() == 2 {
                let values = weights.get(&name).unwrap().values().iter().map(|v| v * 12.0).collect();
                weights.insert(name, Weight::from_vec(values, &shape, &Device::flex()));
            }
        }
        (llama, weights)
    }

    /// Three texts that begin with the same seven tokens.
    fn texts() -> Vec<Continuation> {
        let text = |rest: &[u32], start: usize| {
            let mut ids = vec![2, 7, 8, 9, 7, 30, 31];
            ids.extend(rest);
            Continuation { ids, start }
        };
        vec![text(&[5, 8, 9, 3], 9), text(&[6, 11, 12, 13, 7, 3], 11), text(&[5, 31, 30, 30, 8, 9, 10, 3], 12)]
    }

    #[test]
    fn questions_of_a_reading_are_as_likely_as_each_is_alone() {
        let (llama, weights) = model();
        let layout = Layout::of(&llama.config).unwrap();
        let flat = layout.flatten(&weights);
        let reading = Reading::new(&texts()).unwrap();
        assert_eq!((reading.shared.len(), reading.tokens()), (7, 7 + 3 + 5 + 7));
        let sums = pass(&layout, &flat, &[reading], LossWeights { answer: 1.0, prompt: 0.0 }, None);
        let mut expected = 0.0;
        let mut exact = Vec::new();
        for text in texts() {
            let states = llama.forward(&weights, &[&text.ids[..text.ids.len() - 1]], None);
            let [_, length, width] = states.dims();
            let found = to_vec(log_softmax(llama.logits(&weights, states.reshape([length, width])), 1));
            let mut right = true;
            for at in text.start..text.ids.len() {
                let row = &found[(at - 1) * VOCAB..][..VOCAB];
                let own = row[text.ids[at] as usize];
                expected -= f64::from(own);
                right &= row.iter().all(|&other| other <= own);
            }
            exact.push(right);
        }
        // Two orders of the same sums in 32 bits.
        assert!((sums.answer - expected).abs() < 1e-4 * expected, "{} {expected}", sums.answer);
        assert_eq!(sums.exact, [exact]);
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        let (llama, weights) = model();
        let layout = Layout::of(&llama.config).unwrap();
        let flat = layout.flatten(&weights);
        let readings = [Reading::new(&texts()).unwrap(), Reading::new(&texts()[1..2]).unwrap()];
        let loss = LossWeights { answer: 0.3, prompt: 0.05 };
        let mut gradient = vec![0.0; flat.len()];
        pass(&layout, &flat, &readings, loss, Some(&mut gradient));
        for (name, _, place) in &layout.named {
            let along = &gradient[place.clone()];
            let square: f64 = along.iter().map(|g| f64::from(g * g)).sum();
            let step = 2e-2 / square.sqrt();
            let value = |sign: f64| {
                let mut moved = flat.clone();
                for (weight, g) in moved[place.clone()].iter_mut().zip(along) {
                    *weight += (sign * step) as f32 * g;
                }
                pass(&layout, &moved, &readings, loss, None).loss
            };
            let slope = (value(1.0) - value(-1.0)) / (2.0 * step);
            // Differences of 32-bit losses, and the third derivative.
            assert!((slope / square - 1.0).abs() < 0.03, "{name}: {slope} {square}");
        }
    }

    #[test]
    fn the_model_is_the_running_average_of_the_steps() {
        let (llama, weights) = model();
        // It reads no text here.
        let json = r#"{"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}"#;
        let tokenizer = ragtune_text::Tokenizer::from_bytes(json.as_bytes(), "tokenizer").unwrap();
        let lm = CausalLm { tokenizer, eos: vec![3], decoder: llama, weights, chat: None };
        let mut trainer = ReaderTrainer::new(lm).unwrap();
        let mut expected = trainer.flat.clone();
        let batch = [Reading::new(&texts()).unwrap()];
        for step in 1..4u8 {
            trainer.step(&batch, &ReaderRates { adam: 1e-2, muon: 1e-2 }, 0.1);
            let keep = f32::from(step) / (f32::from(step) + 10.0);
            for (mean, now) in expected.iter_mut().zip(&trainer.flat) {
                *mean = keep * *mean + (1.0 - keep) * now;
            }
        }
        assert_ne!(expected, trainer.flat);
        assert_eq!(trainer.layout.flatten(&trainer.lm().weights), expected);
    }

    #[test]
    fn prompts_that_begin_differently_share_nothing_but_their_first_token() {
        let [a, b] = [[2, 5, 6, 7], [2, 8, 6, 7]].map(|ids| Continuation { ids: ids.to_vec(), start: 2 });
        assert_eq!(Reading::new(&[a.clone(), b]).unwrap().shared, [2]);
        assert!(Reading::new(&[]).is_none());
        assert!(Reading::new(&[Continuation { start: 0, ..a.clone() }]).is_none(), "no prompt");
        assert!(Reading::new(&[Continuation { start: 4, ..a }]).is_none(), "no answer");
    }

    #[test]
    fn weights_survive_the_flat_form() {
        let (llama, weights) = model();
        let layout = Layout::of(&llama.config).unwrap();
        let again = layout.unflatten(&layout.flatten(&weights), &Device::flex());
        assert_eq!(again.len(), weights.len());
        for (name, weight) in weights.iter() {
            assert_eq!(again.get(name).unwrap().values(), weight.values(), "{name}");
        }
        let mut config = llama.config;
        config.num_key_value_heads = 1;
        assert!(Layout::of(&config).is_none(), "shared key heads have no flat form");
    }
}
