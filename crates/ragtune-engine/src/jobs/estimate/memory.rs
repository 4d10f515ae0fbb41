//! How much memory a tuning takes: what must be there at once, from the sizes of models and batches.

use ragtune_kernels::at_once;
use ragtune_model::{CausalLm, Encoder, Keep};
use ragtune_tune::{Temperatures, TuneSettings};

/// Bytes of a number: everything is computed in 32 bits.
const NUMBER: u64 = 4;
/// Copies of every trained weight: itself, its gradient and the optimiser's two moments.
const COPIES: u64 = 4;
/// Copies of a batch's vectors over the vocabulary: vectors, their two forms, their gradient, and one on the way.
const VECTORS: u64 = 5;
/// Rows of logits that a language model makes at once, and their softmax.
const LOGIT_ROWS: u64 = 2 * 256;

/// Most bytes of models, optimiser and one batch of `tokens` padded tokens, of which the longest text has `longest`.
pub(super) fn bytes(
    encoder: &Encoder,
    lm: Option<&CausalLm>,
    settings: &TuneSettings,
    tokens: usize,
    longest: usize,
) -> u64 {
    let two = encoder.passage.is_some() || settings.towers == 2;
    let tower = &encoder.question;
    let parameters = tower.weights.parameters() as u64 * if two { 2 } else { 1 };
    let at_once = at_once(&tower.weights.device()) as u64;
    // The start is kept beside the encoder under training, and each chunk's gradients until they are added up.
    let weights = parameters * (COPIES + 1 + at_once);
    // Above the budget, states are computed again chunk by chunk.
    let step = settings.step(Temperatures::all(1.0));
    let chunk = settings.chunk_tokens.min(tokens) as u64 * at_once;
    let kept = if step.keeps(tower, tokens, longest) { tokens as u64 } else { chunk };
    let vectors = 3 * settings.batch as u64 * encoder.question.dims() as u64 * VECTORS;
    let per_token = |keep| tower.numbers_kept(keep, longest) as u64;
    let mut states = kept * per_token(step.keep());
    if step.checkpointing {
        // The layer that is computed again.
        states += chunk * per_token(Keep::Everything) / tower.bert.config.num_hidden_layers.max(1) as u64;
    }
    let training = states + vectors;
    let judging = lm.map_or(0, |lm| reading(lm, settings.judge.batch_tokens as u64));
    let lm = lm.map_or(0, |lm| lm.weights.parameters() as u64);
    // Training and judging take turns.
    NUMBER * (weights + lm + training.max(judging))
}

/// Numbers of one pass over so many tokens: keys and values, one layer's states, logits. On a CPU one pass runs on every
/// core.
fn reading(lm: &CausalLm, tokens: u64) -> u64 {
    let config = &lm.decoder.config;
    let hidden = config.hidden_size as u64;
    let cached = (config.num_key_value_heads * config.head_dim) as u64;
    let cache = 2 * config.num_hidden_layers as u64 * cached * tokens;
    let layer = tokens * (6 * hidden + 3 * config.intermediate_size as u64);
    let logits = LOGIT_ROWS * config.vocab_size as u64;
    (cache + layer + logits) * rayon::current_num_threads() as u64
}
