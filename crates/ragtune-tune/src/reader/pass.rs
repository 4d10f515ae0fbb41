//! Forward and backward pass of a reader over a few readings.
//!
//! Small models on a CPU spend most of a taped step outside the matrix products: on copies, masks and elementwise
//! operations one by one. Here these are plain loops, readings of different length need no padding, and the questions
//! about a context share its states.

use ragtune_kernels::rows::{add, exp};

use super::attention::{self, Heads, Rows};
use super::layout::Layout;
use super::products::Matrix;
use super::{PROMPT_STRIDE, Reading};

/// What the loss weighs.
#[derive(Debug, Clone, Copy)]
pub(super) struct LossWeights {
    /// Of a token of an answer.
    pub(super) answer: f32,
    /// Of a token of the prompt.
    pub(super) prompt: f32,
}

/// Sums over the tokens of a pass.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    /// Weighted loss.
    pub(super) loss: f64,
    /// Negative log-likelihood of the answers' tokens.
    pub(super) answer: f64,
    /// The same of the prompts' tokens that took part.
    pub(super) prompt: f64,
    /// For every reading and question, whether each token of the answer was the most probable one.
    pub(super) exact: Vec<Vec<bool>>,
}

/// A token that the loss asks for.
struct Target {
    /// Row whose state predicts it.
    row: usize,
    id: u32,
    weight: f32,
    /// Reading and question, for a token of an answer.
    answer: Option<(usize, usize)>,
}

/// All rows of a pass behind each other.
struct Batch {
    ids: Vec<u32>,
    positions: Vec<usize>,
    readings: Vec<Rows>,
    targets: Vec<Target>,
}

impl Batch {
    fn of(readings: &[Reading], weights: LossWeights) -> Self {
        let mut batch = Self { ids: Vec::new(), positions: Vec::new(), readings: Vec::new(), targets: Vec::new() };
        let prompts = weights.prompt > 0.0;
        let prompt = |row: usize, id: u32| Target { row, id, weight: weights.prompt, answer: None };
        for (r, reading) in readings.iter().enumerate() {
            let start = batch.ids.len();
            for (i, &id) in reading.shared.iter().enumerate() {
                if prompts && i > 0 && i.is_multiple_of(PROMPT_STRIDE) {
                    batch.targets.push(prompt(start + i - 1, id));
                }
                batch.ids.push(id);
                batch.positions.push(i);
            }
            let shared = start..batch.ids.len();
            let mut branches = Vec::new();
            for (q, branch) in reading.branches.iter().enumerate() {
                let start = batch.ids.len();
                for (i, &id) in branch.ids.iter().enumerate().skip(1) {
                    let row = start + i - 1;
                    if i >= branch.start {
                        batch.targets.push(Target { row, id, weight: weights.answer, answer: Some((r, q)) });
                    } else if prompts && i.is_multiple_of(PROMPT_STRIDE) {
                        batch.targets.push(prompt(row, id));
                    }
                }
                // The last token is only predicted.
                for (i, &id) in branch.ids[..branch.ids.len() - 1].iter().enumerate() {
                    batch.ids.push(id);
                    batch.positions.push(shared.len() + i);
                }
                branches.push(start..batch.ids.len());
            }
            batch.readings.push(Rows { shared, branches });
        }
        batch
    }
}

/// What the backward pass needs of a layer.
struct Kept {
    /// Input [rows, hidden] with its norm's scales, and the normed input.
    x: Vec<f32>,
    x_scales: Vec<f32>,
    x_normed: Vec<f32>,
    qkv: Vec<f32>,
    attention: Vec<f32>,
    attended: Vec<f32>,
    /// The states between attention and feed-forward, in the same way.
    y: Vec<f32>,
    y_scales: Vec<f32>,
    y_normed: Vec<f32>,
    gate_up: Vec<f32>,
    inner: Vec<f32>,
}

/// Loss over some readings, and its gradient added to `gradient` when there is one. `flat` has the layout's weights.
pub(super) fn pass(
    layout: &Layout,
    flat: &[f32],
    readings: &[Reading],
    weights: LossWeights,
    gradient: Option<&mut [f32]>,
) -> Sums {
    let batch = Batch::of(readings, weights);
    let (hidden, inner) = (layout.hidden, layout.inner);
    let heads = Heads { count: layout.heads, width: layout.head_width() };
    let embedding = &flat[layout.embedding.clone()];
    let mut x = gather(embedding, batch.ids.iter().map(|&id| id as usize), hidden);
    let mut layers = Vec::new();
    for layer in &layout.layers {
        let (x_normed, x_scales) = norm(&x, &flat[layer.attention_norm.clone()], layout.eps);
        let mut qkv = linear(&x_normed, &flat[layer.qkv.clone()], hidden);
        attention::rotate(&mut qkv, &batch.positions, heads, layout.theta, false);
        let (attended, attention) = attention::forward(&batch.readings, &qkv, heads);
        let mut y = linear(&attended, &flat[layer.output.clone()], hidden);
        add(&mut y, &x);
        let (y_normed, y_scales) = norm(&y, &flat[layer.inner_norm.clone()], layout.eps);
        let gate_up = linear(&y_normed, &flat[layer.gate_up.clone()], hidden);
        let inner_states = swiglu(&gate_up, inner);
        let mut next = linear(&inner_states, &flat[layer.down.clone()], inner);
        add(&mut next, &y);
        if gradient.is_some() {
            layers.push(Kept {
                x,
                x_scales,
                x_normed,
                qkv,
                attention,
                attended,
                y,
                y_scales,
                y_normed,
                gate_up,
                inner: inner_states,
            });
        }
        x = next;
    }
    let last = gather(&x, batch.targets.iter().map(|t| t.row), hidden);
    let (normed, scales) = norm(&last, &flat[layout.norm.clone()], layout.eps);
    let mut logits = linear(&normed, embedding, hidden);
    let sums = loss(&mut logits, &batch.targets, readings, layout.vocab);
    let Some(gradient) = gradient else { return sums };

    let d_logits = Matrix::new(&logits, layout.vocab);
    add(&mut gradient[layout.embedding.clone()], &d_logits.transposed_times(Matrix::new(&normed, hidden)));
    let d_normed = d_logits.times(Matrix::new(embedding, hidden));
    let mut d_last = vec![0.0; last.len()];
    norm_back(&d_normed, &last, &scales, (flat, gradient), &layout.norm, &mut d_last);
    let mut d_x = vec![0.0f32; x.len()];
    for (d, target) in d_last.chunks_exact(hidden).zip(&batch.targets) {
        add(&mut d_x[target.row * hidden..][..hidden], d);
    }
    for (layer, kept) in layout.layers.iter().zip(layers).rev() {
        let d_inner = linear_back(&d_x, &kept.inner, (flat, gradient), &layer.down, inner);
        let d_gate_up = swiglu_back(&d_inner, &kept.gate_up, inner);
        let d_normed = linear_back(&d_gate_up, &kept.y_normed, (flat, gradient), &layer.gate_up, hidden);
        norm_back(&d_normed, &kept.y, &kept.y_scales, (flat, gradient), &layer.inner_norm, &mut d_x);
        let d_attended = linear_back(&d_x, &kept.attended, (flat, gradient), &layer.output, hidden);
        let mut d_qkv = attention::backward(&batch.readings, &kept.qkv, &kept.attention, &d_attended, heads);
        attention::rotate(&mut d_qkv, &batch.positions, heads, layout.theta, true);
        let d_normed = linear_back(&d_qkv, &kept.x_normed, (flat, gradient), &layer.qkv, hidden);
        norm_back(&d_normed, &kept.x, &kept.x_scales, (flat, gradient), &layer.attention_norm, &mut d_x);
    }
    let d_embedding = &mut gradient[layout.embedding.clone()];
    for (d, &id) in d_x.chunks_exact(hidden).zip(&batch.ids) {
        add(&mut d_embedding[id as usize * hidden..][..hidden], d);
    }
    sums
}

/// The loss; logits become their gradient.
fn loss(logits: &mut [f32], targets: &[Target], readings: &[Reading], vocab: usize) -> Sums {
    let exact = readings.iter().map(|reading| vec![true; reading.branches.len()]).collect();
    let mut sums = Sums { exact, ..Sums::default() };
    for (row, target) in logits.chunks_exact_mut(vocab).zip(targets) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let own = row[target.id as usize];
        row.iter_mut().for_each(|v| *v = exp(*v - top));
        let sum: f32 = row.iter().sum();
        let surprise = f64::from(top + sum.ln() - own);
        sums.loss += f64::from(target.weight) * surprise;
        match target.answer {
            Some((reading, question)) => {
                sums.answer += surprise;
                sums.exact[reading][question] &= own >= top;
            }
            None => sums.prompt += surprise,
        }
        let factor = target.weight / sum;
        row.iter_mut().for_each(|v| *v *= factor);
        row[target.id as usize] -= target.weight;
    }
    sums
}

fn gather(from: &[f32], rows: impl Iterator<Item = usize>, width: usize) -> Vec<f32> {
    rows.flat_map(|row| &from[row * width..][..width]).copied().collect()
}

/// x wᵀ, with x [rows, width] and w [out, width].
fn linear(x: &[f32], w: &[f32], width: usize) -> Vec<f32> {
    Matrix::new(x, width).times_transposed(Matrix::new(w, width))
}

/// The gradient for x, from that of x wᵀ; adds the gradient of w to its place.
fn linear_back(
    d: &[f32],
    x: &[f32],
    (flat, gradient): (&[f32], &mut [f32]),
    place: &std::ops::Range<usize>,
    width: usize,
) -> Vec<f32> {
    let d = Matrix::new(d, place.len() / width);
    add(&mut gradient[place.clone()], &d.transposed_times(Matrix::new(x, width)));
    d.times(Matrix::new(&flat[place.clone()], width))
}

/// RMSNorm, with the factor of every row.
fn norm(x: &[f32], gain: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let width = gain.len();
    let mut out = Vec::with_capacity(x.len());
    let mut scales = Vec::with_capacity(x.len() / width);
    for row in x.chunks_exact(width) {
        let mean = row.iter().map(|v| v * v).sum::<f32>() / width as f32;
        let scale = 1.0 / (mean + eps).sqrt();
        out.extend(row.iter().zip(gain).map(|(v, g)| v * scale * g));
        scales.push(scale);
    }
    (out, scales)
}

/// Adds the gradients of an RMSNorm's input to `d_x`, and of its gain to its place.
fn norm_back(
    d: &[f32],
    x: &[f32],
    scales: &[f32],
    (flat, gradient): (&[f32], &mut [f32]),
    place: &std::ops::Range<usize>,
    d_x: &mut [f32],
) {
    let gain = &flat[place.clone()];
    let d_gain = &mut gradient[place.clone()];
    let width = gain.len();
    let rows = d.chunks_exact(width).zip(x.chunks_exact(width)).zip(d_x.chunks_exact_mut(width)).zip(scales);
    for (((d, x), d_x), &scale) in rows {
        let mut along = 0.0f32;
        for i in 0..width {
            along += d[i] * gain[i] * x[i];
            d_gain[i] += d[i] * x[i] * scale;
        }
        let pull = scale * scale * scale * along / width as f32;
        for i in 0..width {
            d_x[i] += d[i] * gain[i] * scale - x[i] * pull;
        }
    }
}

/// silu(gate) up, from [rows, 2 inner].
fn swiglu(gate_up: &[f32], inner: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(gate_up.len() / 2);
    for row in gate_up.chunks_exact(2 * inner) {
        let (gate, up) = row.split_at(inner);
        out.extend(gate.iter().zip(up).map(|(&gate, up)| gate / (1.0 + exp(-gate)) * up));
    }
    out
}

fn swiglu_back(d: &[f32], gate_up: &[f32], inner: usize) -> Vec<f32> {
    let mut out = vec![0.0f32; gate_up.len()];
    let rows = out.chunks_exact_mut(2 * inner).zip(gate_up.chunks_exact(2 * inner)).zip(d.chunks_exact(inner));
    for ((out, row), d) in rows {
        let ((d_gate, d_up), (gate, up)) = (out.split_at_mut(inner), row.split_at(inner));
        for i in 0..inner {
            let open = 1.0 / (1.0 + exp(-gate[i]));
            d_up[i] = d[i] * gate[i] * open;
            d_gate[i] = d[i] * up[i] * open * (1.0 + gate[i] * (1.0 - open));
        }
    }
    out
}
