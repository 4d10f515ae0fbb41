//! Training of a reader: a causal language model that answers from the passages in its context.

use burn::tensor::{Int, Tensor, TensorData, activation};
use ragtune_kernels::{from_vec, side_by_side, to_vec};
use ragtune_model::{CausalLm, Continuation, Weights};

use crate::{AdamW, OptimSettings};

/// One prompt token in this many takes part in the prompt's loss.
const PROMPT_STRIDE: usize = 2;

/// Trains a language model on prompts with answers: the answer's loss plus a small share of the prompt's.
pub struct ReaderTrainer {
    /// The model under training.
    pub lm: CausalLm,
    optimiser: AdamW,
}

/// What one step found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReaderLoss {
    /// Mean negative log-likelihood of an answer token.
    pub answer: f32,
    /// Mean negative log-likelihood of a prompt token.
    pub prompt: f32,
    /// Share of the answers whose every token was the most probable one.
    pub exact: f32,
}

impl ReaderTrainer {
    /// A trainer with a fresh optimiser.
    pub fn new(lm: CausalLm, settings: OptimSettings) -> Self {
        Self { lm, optimiser: AdamW::new(settings) }
    }

    /// One update from a batch of token sequences whose answers begin at `start`; `lm_share` is the weight of the
    /// prompt's loss beside the answer's.
    ///
    /// On the CPU the halves of the batch are computed side by side; their gradients are added in a fixed order, so
    /// that the result does not depend on which is done first.
    pub fn step(&mut self, batch: &[Continuation], lr: f32, lm_share: f32) -> ReaderLoss {
        let answers: usize = batch.iter().map(|c| c.ids.len() - c.start).sum();
        let prompts: usize = batch.iter().map(|c| (1..c.start).filter(|&t| kept(t, c)).count()).sum();
        let weight = |t: usize, c: &Continuation| {
            if t >= c.start { 1.0 / answers as f32 } else { lm_share / prompts.max(1) as f32 }
        };
        let (left, right) = batch.split_at(batch.len() / 2);
        let halves = [left, right].into_iter().filter(|half| !half.is_empty()).collect();
        let sides = side_by_side(&self.lm.weights.device(), halves, |half| side(&self.lm, half, &weight));
        let mut gradients = Weights::default();
        let mut sum = ReaderLoss { answer: 0.0, prompt: 0.0, exact: 0.0 };
        for side in sides {
            gradients.accumulate(side.gradients);
            sum.answer += side.answer;
            sum.prompt += side.prompt;
            sum.exact += side.exact as f32;
        }
        self.optimiser.step(&mut self.lm.weights, &gradients, lr);
        ReaderLoss {
            answer: sum.answer / answers.max(1) as f32,
            prompt: sum.prompt / prompts.max(1) as f32,
            exact: sum.exact / batch.len() as f32,
        }
    }
}

/// A sample of the prompt's tokens takes part in the loss: the product with the whole vocabulary costs most.
fn kept(t: usize, c: &Continuation) -> bool {
    t >= c.start || t.is_multiple_of(PROMPT_STRIDE)
}

/// Gradients and sums of a part of a batch.
struct Side {
    gradients: Weights,
    answer: f32,
    prompt: f32,
    exact: usize,
}

fn side(lm: &CausalLm, batch: &[Continuation], weight: &(impl Fn(usize, &Continuation) -> f32 + Sync)) -> Side {
    let texts: Vec<&[u32]> = batch.iter().map(|c| &c.ids[..c.ids.len() - 1]).collect();
    let length = texts.iter().map(|t| t.len()).max().unwrap_or(0);
    let (mut rows, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for (b, c) in batch.iter().enumerate() {
        for t in (1..c.ids.len()).filter(|&t| kept(t, c)) {
            rows.push((b * length + t - 1) as i32);
            targets.push(c.ids[t] as i32);
            weights.push(weight(t, c));
        }
    }
    let tracked = lm.weights.tracked();
    let states = lm.llama.forward(&tracked, &texts, None);
    let [n, length, width] = states.dims();
    let device = lm.weights.device();
    let count = rows.len();
    let ints = |v: Vec<i32>| Tensor::<1, Int>::from_data(TensorData::new(v, [count]), &device);
    let flat = states.reshape([n * length, width]).select(0, ints(rows));
    let logits = lm.llama.logits(&tracked, flat);
    let best: Vec<i32> = logits.clone().inner().argmax(1).into_data_as::<i32>().iter::<i32>().collect();
    let chosen = activation::log_softmax(logits, 1).gather(1, ints(targets.clone()).reshape([count, 1]));
    let found = to_vec(chosen.clone().inner());
    let loss = (chosen.reshape([count]) * from_vec(weights, [count], &device)).sum().neg();
    let gradients = tracked.gradients(&mut loss.backward());
    let (mut answer, mut prompt, mut exact, mut at) = (0.0f32, 0.0f32, 0usize, 0usize);
    for c in batch {
        let mut right = true;
        for t in (1..c.ids.len()).filter(|&t| kept(t, c)) {
            if t >= c.start {
                answer -= found[at];
                right &= best[at] == targets[at];
            } else {
                prompt -= found[at];
            }
            at += 1;
        }
        exact += usize::from(right);
    }
    Side { gradients, answer, prompt, exact }
}
