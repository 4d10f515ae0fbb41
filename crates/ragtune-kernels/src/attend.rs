//! Attention of texts that stand behind each other without padding, on the CPU: every token of a text sees all of it.

use std::ops::Range;

use crate::wide::wide;
use rayon::prelude::*;

use crate::rows::{axpy, dot, exp, sum};

/// Queries, keys and values, each [rows, heads x width].
#[derive(Debug, Clone, Default)]
pub struct Qkv {
    /// What asks.
    pub q: Vec<f32>,
    /// What is compared.
    pub k: Vec<f32>,
    /// What is passed on.
    pub v: Vec<f32>,
}

/// How the rows are divided.
#[derive(Debug, Clone)]
pub struct Texts {
    /// The rows of each text, one text behind the other from row 0 on.
    pub rows: Vec<Range<usize>>,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head.
    pub width: usize,
}

impl Texts {
    fn hidden(&self) -> usize {
        self.heads * self.width
    }

    /// Where the weights of each text begin, and of how many there are: heads x length x length.
    fn squares(&self) -> Vec<usize> {
        self.rows.iter().map(|rows| self.heads * rows.len() * rows.len()).collect()
    }

    /// Cuts a slice into one piece per text.
    fn pieces(mut all: &mut [f32], sizes: impl Iterator<Item = usize>) -> Vec<&mut [f32]> {
        sizes
            .map(|size| {
                let (piece, rest) = std::mem::take(&mut all).split_at_mut(size);
                all = rest;
                piece
            })
            .collect()
    }

    fn row_pieces<'a>(&self, all: &'a mut [f32]) -> Vec<&'a mut [f32]> {
        Self::pieces(all, self.rows.iter().map(|rows| rows.len() * self.hidden()))
    }
}

/// One head of one text as matrices of its own, row-major.
struct Head {
    /// [length, width]
    rows: Vec<f32>,
    /// [width, length]
    turned: Vec<f32>,
}

impl Head {
    fn new() -> Self {
        Self { rows: Vec::new(), turned: Vec::new() }
    }

    #[inline(always)]
    fn take(&mut self, from: &[f32], hidden: usize, head: usize, width: usize) {
        let length = from.len() / hidden;
        self.rows.clear();
        for row in from.chunks_exact(hidden) {
            self.rows.extend_from_slice(&row[head * width..][..width]);
        }
        self.turned.clear();
        self.turned.resize(self.rows.len(), 0.0);
        for (i, row) in self.rows.chunks_exact(width).enumerate() {
            for (j, &value) in row.iter().enumerate() {
                self.turned[j * length + i] = value;
            }
        }
    }
}

/// out [n] += factors [m] times matrix [m, n].
#[inline(always)]
fn combine(factors: &[f32], matrix: &[f32], out: &mut [f32]) {
    match out.len() {
        // The widths of heads: the sums stay in registers.
        32 => combine_narrow::<32>(factors, matrix, out),
        64 => combine_narrow::<64>(factors, matrix, out),
        _ => combine_wide(factors, matrix, out),
    }
}

#[inline(always)]
fn combine_narrow<const N: usize>(factors: &[f32], matrix: &[f32], out: &mut [f32]) {
    let mut sums = [0.0f32; N];
    for (factor, row) in factors.iter().zip(matrix.chunks_exact(N)) {
        for i in 0..N {
            sums[i] += factor * row[i];
        }
    }
    axpy(1.0, &sums, out);
}

/// Four rows of the matrix at once, so that the sums are read and written less often.
#[inline(always)]
fn combine_wide(factors: &[f32], matrix: &[f32], out: &mut [f32]) {
    let n = out.len();
    let mut fours = factors.chunks_exact(4);
    let mut rows = matrix.chunks_exact(4 * n);
    for (f, rows) in fours.by_ref().zip(rows.by_ref()) {
        let (a, rest) = rows.split_at(n);
        let (b, rest) = rest.split_at(n);
        let (c, d) = rest.split_at(n);
        for i in 0..n {
            out[i] += f[0] * a[i] + f[1] * b[i] + (f[2] * c[i] + f[3] * d[i]);
        }
    }
    for (f, row) in fours.remainder().iter().zip(rows.remainder().chunks_exact(n)) {
        axpy(*f, row, out);
    }
}

/// Attended values [rows, heads x width], and the weights of attention: for every text, head and row, one for each row
/// of the text. The weights are left out when they are not kept.
pub fn attend(texts: &Texts, qkv: &Qkv, keep: bool) -> (Vec<f32>, Vec<f32>) {
    let squares = texts.squares();
    let mut out = vec![0.0f32; qkv.q.len()];
    let mut weights = vec![0.0f32; if keep { squares.iter().sum() } else { 0 }];
    let outs = texts.row_pieces(&mut out);
    let kept = Texts::pieces(&mut weights, squares.iter().map(|size| if keep { *size } else { 0 }));
    texts.rows.par_iter().zip(outs).zip(kept).for_each(|((rows, out), kept)| {
        wide(|| attend_text(texts, rows, qkv, out, keep.then_some(kept)));
    });
    (out, weights)
}

#[inline(always)]
fn attend_text(texts: &Texts, rows: &Range<usize>, qkv: &Qkv, out: &mut [f32], mut kept: Option<&mut [f32]>) {
    let (hidden, width, length) = (texts.hidden(), texts.width, rows.len());
    let scale = 1.0 / (width as f32).sqrt();
    let part = rows.start * hidden..rows.end * hidden;
    let (q, k, v) = (&qkv.q[part.clone()], &qkv.k[part.clone()], &qkv.v[part]);
    let (mut keys, mut values) = (Head::new(), Head::new());
    let mut own = vec![0.0f32; length];
    let mut query = vec![0.0f32; width];
    for head in 0..texts.heads {
        keys.take(k, hidden, head, width);
        values.take(v, hidden, head, width);
        for row in 0..length {
            let place = row * hidden + head * width;
            query.iter_mut().zip(&q[place..place + width]).for_each(|(to, q)| *to = q * scale);
            let weights = match &mut kept {
                Some(kept) => &mut kept[(head * length + row) * length..][..length],
                None => {
                    own.fill(0.0);
                    &mut own[..]
                }
            };
            combine(&query, &keys.turned, weights);
            let top = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            weights.iter_mut().for_each(|w| *w = exp(*w - top));
            let share = 1.0 / sum(weights);
            weights.iter_mut().for_each(|w| *w *= share);
            combine(weights, &values.rows, &mut out[place..place + width]);
        }
    }
}

/// The gradients for queries, keys and values, from that of the attended values and the weights that [`attend`] kept.
pub fn attend_back(texts: &Texts, qkv: &Qkv, weights: &[f32], d_out: &[f32]) -> Qkv {
    let n = qkv.q.len();
    let mut d = Qkv { q: vec![0.0; n], k: vec![0.0; n], v: vec![0.0; n] };
    let mut from = 0;
    let weights: Vec<&[f32]> = texts
        .squares()
        .iter()
        .map(|size| {
            from += size;
            &weights[from - size..from]
        })
        .collect();
    let (d_q, d_k, d_v) = (texts.row_pieces(&mut d.q), texts.row_pieces(&mut d.k), texts.row_pieces(&mut d.v));
    texts.rows.par_iter().zip(weights).zip(d_q.into_par_iter().zip(d_k).zip(d_v)).for_each(
        |((rows, weights), ((d_q, d_k), d_v))| {
            wide(|| back_text(texts, rows, qkv, weights, d_out, [d_q, d_k, d_v]));
        },
    );
    d
}

#[inline(always)]
fn back_text(
    texts: &Texts,
    rows: &Range<usize>,
    qkv: &Qkv,
    weights: &[f32],
    d_out: &[f32],
    [d_q, d_k, d_v]: [&mut [f32]; 3],
) {
    let (hidden, width, length) = (texts.hidden(), texts.width, rows.len());
    let scale = 1.0 / (width as f32).sqrt();
    let part = rows.start * hidden..rows.end * hidden;
    let (q, k, v, d_out) = (&qkv.q[part.clone()], &qkv.k[part.clone()], &qkv.v[part.clone()], &d_out[part]);
    let (mut queries, mut keys, mut values, mut d) = (Head::new(), Head::new(), Head::new(), Head::new());
    // The scores' gradients of all rows, and both matrices with rows and columns changed, so that sums over the asking
    // rows run along the memory as well.
    let mut d_scores = vec![0.0f32; length * length];
    let mut turned = vec![0.0f32; length * length];
    for head in 0..texts.heads {
        queries.take(q, hidden, head, width);
        keys.take(k, hidden, head, width);
        values.take(v, hidden, head, width);
        d.take(d_out, hidden, head, width);
        let weights = &weights[head * length * length..][..length * length];
        d_scores.fill(0.0);
        for row in 0..length {
            let (d_row, weights) = (&mut d_scores[row * length..][..length], &weights[row * length..][..length]);
            combine(&d.rows[row * width..][..width], &values.turned, d_row);
            let mean = dot(d_row, weights);
            for (d, weight) in d_row.iter_mut().zip(weights) {
                *d = (*d - mean) * weight * scale;
            }
            combine(d_row, &keys.rows, &mut d_q[row * hidden + head * width..][..width]);
        }
        turn(weights, &mut turned, length);
        for row in 0..length {
            combine(&turned[row * length..][..length], &d.rows, &mut d_v[row * hidden + head * width..][..width]);
        }
        turn(&d_scores, &mut turned, length);
        for row in 0..length {
            combine(&turned[row * length..][..length], &queries.rows, &mut d_k[row * hidden + head * width..][..width]);
        }
    }
}

/// Rows become columns, in blocks that stay in the cache.
#[inline(always)]
fn turn(from: &[f32], to: &mut [f32], n: usize) {
    const BLOCK: usize = 16;
    for rows in (0..n).step_by(BLOCK) {
        for columns in (0..n).step_by(BLOCK) {
            for i in rows..(rows + BLOCK).min(n) {
                for j in columns..(columns + BLOCK).min(n) {
                    to[j * n + i] = from[i * n + j];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    /// Texts of 25 rows with heads of this width.
    fn texts(width: usize) -> Texts {
        Texts { rows: vec![0..1, 1..6, 6..25], heads: 2, width }
    }

    fn random(width: usize, seed: u64) -> Vec<f32> {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
        (0..50 * width).map(|_| rng.random_range(-1.5f32..1.5)).collect()
    }

    fn qkv(width: usize) -> Qkv {
        Qkv { q: random(width, 1), k: random(width, 2), v: random(width, 3) }
    }

    /// The definition, in double precision.
    fn naive(texts: &Texts, qkv: &Qkv) -> Vec<f64> {
        let (hidden, width) = (texts.hidden(), texts.width);
        let mut out = vec![0.0f64; qkv.q.len()];
        for rows in &texts.rows {
            for head in 0..texts.heads {
                let at = |all: &[f32], row: usize, i: usize| f64::from(all[row * hidden + head * width + i]);
                for row in rows.clone() {
                    let scores: Vec<f64> = rows
                        .clone()
                        .map(|other| {
                            let product: f64 = (0..width).map(|i| at(&qkv.q, row, i) * at(&qkv.k, other, i)).sum();
                            (product / (width as f64).sqrt()).exp()
                        })
                        .collect();
                    let total: f64 = scores.iter().sum();
                    for (other, score) in rows.clone().zip(scores) {
                        for i in 0..width {
                            out[row * hidden + head * width + i] += score / total * at(&qkv.v, other, i);
                        }
                    }
                }
            }
        }
        out
    }

    #[test]
    fn attention_equals_its_definition_with_and_without_kept_weights() {
        for width in [5, 32, 64] {
            let (texts, qkv) = (texts(width), qkv(width));
            let (out, weights) = attend(&texts, &qkv, true);
            let (bare, none) = attend(&texts, &qkv, false);
            assert_eq!(out, bare);
            assert!(none.is_empty() && weights.len() == 2 * (1 + 25 + 361));
            let want = naive(&texts, &qkv);
            assert!(out.iter().zip(&want).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5), "{width}");
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        for width in [5, 32] {
            let (texts, qkv, toward) = (texts(width), qkv(width), random(width, 4));
            let (_, weights) = attend(&texts, &qkv, true);
            let d = attend_back(&texts, &qkv, &weights, &toward);
            let loss =
                |qkv: &Qkv| -> f64 { naive(&texts, qkv).iter().zip(&toward).map(|(a, w)| a * f64::from(*w)).sum() };
            for (part, got) in [&d.q, &d.k, &d.v].into_iter().enumerate() {
                for (i, got) in got.iter().enumerate().step_by(width / 5) {
                    let at = |by: f32| {
                        let mut moved = qkv.clone();
                        [&mut moved.q, &mut moved.k, &mut moved.v][part][i] += by;
                        loss(&moved)
                    };
                    let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
                    let off = (slope - f64::from(*got)).abs();
                    assert!(off < 2e-3 * (1.0 + slope.abs()), "width {width}, part {part}, {i}: {slope} {got}");
                }
            }
        }
    }
}
