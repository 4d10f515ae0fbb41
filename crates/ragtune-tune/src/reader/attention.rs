//! Attention over readings: a shared beginning whose tokens see what stands before them, and branches whose tokens see
//! the beginning and their own branch. A branch so has the states that it would have alone behind the beginning.

use std::ops::Range;

use ragtune_kernels::rows::{axpy, dot, exp};

/// The rows of one reading among all rows of a pass.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) shared: Range<usize>,
    pub(super) branches: Vec<Range<usize>>,
}

impl Rows {
    /// Calls `each(row, seen)` for every row, in order; a row sees the rows of both ranges.
    fn each(&self, mut each: impl FnMut(usize, [Range<usize>; 2])) {
        let first = self.shared.start;
        for row in self.shared.clone() {
            each(row, [first..row + 1, row..row]);
        }
        for branch in &self.branches {
            for row in branch.clone() {
                each(row, [self.shared.clone(), branch.start..row + 1]);
            }
        }
    }
}

/// Sizes of the heads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub(super) count: usize,
    /// Width of one head, even.
    pub(super) width: usize,
}

/// Attended values [rows, hidden] from `qkv` [rows, 3 hidden], and the weights of attention: for every reading, row and
/// head, those of the rows seen.
pub(super) fn forward(readings: &[Rows], qkv: &[f32], heads: Heads) -> (Vec<f32>, Vec<f32>) {
    let hidden = heads.count * heads.width;
    let scale = 1.0 / (heads.width as f32).sqrt();
    let mut out = vec![0.0f32; qkv.len() / 3];
    let mut all_weights = Vec::new();
    for reading in readings {
        reading.each(|row, seen| {
            for head in 0..heads.count {
                let of = |row: usize, part: usize| {
                    let at = row * 3 * hidden + part * hidden + head * heads.width;
                    &qkv[at..at + heads.width]
                };
                let q = of(row, 0);
                let first = all_weights.len();
                for range in &seen {
                    all_weights.extend(range.clone().map(|other| dot(q, of(other, 1)) * scale));
                }
                let weights = &mut all_weights[first..];
                let top = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                weights.iter_mut().for_each(|w| *w = exp(*w - top));
                let sum: f32 = weights.iter().sum();
                weights.iter_mut().for_each(|w| *w /= sum);
                let at = row * hidden + head * heads.width;
                let out = &mut out[at..at + heads.width];
                for (other, weight) in seen.iter().cloned().flatten().zip(weights) {
                    axpy(*weight, of(other, 2), out);
                }
            }
        });
    }
    (out, all_weights)
}

/// The gradient for `qkv`, from that of the attended values and the weights that [`forward`] gave.
pub(super) fn backward(readings: &[Rows], qkv: &[f32], weights: &[f32], d_out: &[f32], heads: Heads) -> Vec<f32> {
    let hidden = heads.count * heads.width;
    let scale = 1.0 / (heads.width as f32).sqrt();
    let mut d_qkv = vec![0.0f32; qkv.len()];
    let mut d_weights = Vec::new();
    let mut d_q = vec![0.0f32; heads.width];
    let mut from = 0;
    for reading in readings {
        reading.each(|row, seen| {
            let count = seen.iter().map(|range| range.len()).sum::<usize>();
            for head in 0..heads.count {
                let place = |row: usize, part: usize| {
                    let at = row * 3 * hidden + part * hidden + head * heads.width;
                    at..at + heads.width
                };
                let weights = &weights[from..from + count];
                from += count;
                let at = row * hidden + head * heads.width;
                let d_out = &d_out[at..at + heads.width];
                d_weights.clear();
                for (other, weight) in seen.iter().cloned().flatten().zip(weights) {
                    d_weights.push(dot(d_out, &qkv[place(other, 2)]));
                    axpy(*weight, d_out, &mut d_qkv[place(other, 2)]);
                }
                let mean = dot(&d_weights, weights);
                d_q.fill(0.0);
                for ((other, weight), d) in seen.iter().cloned().flatten().zip(weights).zip(&d_weights) {
                    let d_score = (d - mean) * weight * scale;
                    axpy(d_score, &qkv[place(other, 1)], &mut d_q);
                    axpy(d_score, &qkv[place(row, 0)], &mut d_qkv[place(other, 1)]);
                }
                axpy(1.0, &d_q, &mut d_qkv[place(row, 0)]);
            }
        });
    }
    d_qkv
}

/// Turns queries and keys by their positions, in place; backwards for gradients.
pub(super) fn rotate(qkv: &mut [f32], positions: &[usize], heads: Heads, theta: f64, backwards: bool) {
    let hidden = heads.count * heads.width;
    let half = heads.width / 2;
    let frequency = |i: usize| theta.powf(-(2.0 * i as f64) / heads.width as f64) as f32;
    let frequencies: Vec<f32> = (0..half).map(frequency).collect();
    let last = positions.iter().max().map_or(0, |last| last + 1);
    let turns: Vec<(f32, f32)> = (0..last)
        .flat_map(|position| frequencies.iter().map(move |f| (position as f32 * f).sin_cos()))
        .map(|(sin, cos)| if backwards { (-sin, cos) } else { (sin, cos) })
        .collect();
    for (row, &position) in qkv.chunks_exact_mut(3 * hidden).zip(positions) {
        let turns = &turns[position * half..][..half];
        for head in row[..2 * hidden].chunks_exact_mut(heads.width) {
            let (a, b) = head.split_at_mut(half);
            for ((a, b), &(sin, cos)) in a.iter_mut().zip(b).zip(turns) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}
