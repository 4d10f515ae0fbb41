//! Training of a reader: a causal language model that answers from the passages in its context.

use burn::tensor::{Int, Tensor, TensorData, activation};
use ragtune_kernels::{from_vec, to_vec};
use ragtune_model::{CausalLm, Continuation};

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
    pub fn step(&mut self, batch: &[Continuation], lr: f32, lm_share: f32) -> ReaderLoss {
        let texts: Vec<&[u32]> = batch.iter().map(|c| &c.ids[..c.ids.len() - 1]).collect();
        let length = texts.iter().map(|t| t.len()).max().unwrap_or(0);
        let (mut rows, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let answers: usize = batch.iter().map(|c| c.ids.len() - c.start).sum();
        let mut prompts = 0;
        // A sample of the prompt's tokens: the product with the whole vocabulary is what a step spends most on.
        let kept = |b: usize, t: usize, start: usize| t >= start || (b + t).is_multiple_of(PROMPT_STRIDE);
        for (b, c) in batch.iter().enumerate() {
            prompts += (1..c.start).filter(|&t| kept(b, t, c.start)).count();
        }
        for (b, c) in batch.iter().enumerate() {
            for t in (1..c.ids.len()).filter(|&t| kept(b, t, c.start)) {
                rows.push((b * length + t - 1) as i32);
                targets.push(c.ids[t] as i32);
                let share = if t >= c.start { 1.0 / answers as f32 } else { lm_share / prompts.max(1) as f32 };
                weights.push(share);
            }
        }
        let tracked = self.lm.weights.tracked();
        let states = self.lm.llama.forward(&tracked, &texts, None);
        let [n, length, width] = states.dims();
        let device = self.lm.weights.device();
        let count = rows.len();
        let ints = |v: Vec<i32>| Tensor::<1, Int>::from_data(TensorData::new(v, [count]), &device);
        let flat = states.reshape([n * length, width]).select(0, ints(rows));
        let logits = self.lm.llama.logits(&tracked, flat);
        let best: Vec<i32> = logits.clone().inner().argmax(1).into_data_as::<i32>().iter::<i32>().collect();
        let chosen = activation::log_softmax(logits, 1).gather(1, ints(targets.clone()).reshape([count, 1]));
        let found = to_vec(chosen.clone().inner());
        let loss = (chosen.reshape([count]) * from_vec(weights, [count], &device)).sum().neg();
        let gradients = tracked.gradients(&mut loss.backward());
        drop(tracked);
        self.optimiser.step(&mut self.lm.weights, &gradients, lr);

        let (mut answer, mut prompt, mut exact, mut at) = (0.0f32, 0.0f32, 0usize, 0usize);
        for (b, c) in batch.iter().enumerate() {
            let mut right = true;
            for t in (1..c.ids.len()).filter(|&t| kept(b, t, c.start)) {
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
        ReaderLoss {
            answer: answer / answers.max(1) as f32,
            prompt: prompt / prompts.max(1) as f32,
            exact: exact as f32 / batch.len() as f32,
        }
    }
}
