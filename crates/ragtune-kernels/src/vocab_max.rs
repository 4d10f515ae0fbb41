//! The vocabulary head: hidden states against all lexical rows, keeping only the largest value of each dimension.
//!
//! Forward, for each text b and lexical dimension v (method, section 2):
//!
//! ```text
//! max[b, v]    = max over l < length[b] of hidden[b, l, :] . rows[v, :]
//! argmax[b, v] = the first l that reaches it
//! ```
//!
//! Memory is batch x V: the [length, V] products exist only one tile at a time. The backward pass touches only the
//! argmax rows, so it costs batch x V x hidden, not batch x length x V x hidden.

use crate::wide::wide;
use burn::tensor::{DType, Int, Tensor};
use rayon::prelude::*;

use crate::product::times_turned;
use crate::rows::axpy;
use crate::units::units;
use crate::{from_vec, scale_to, shader, to_vec};

/// Floats in one tile of products: 4 MiB, which stays in a CPU's cache.
const CPU_TILE: usize = 1 << 20;
/// Tokens of short texts that share one product on the CPU.
const CPU_TOKENS: usize = 512;
/// Floats in one tile of products on another device: 64 MiB, half of WebGPU's smallest binding.
const DEVICE_TILE: usize = 1 << 24;
/// Size of the largest gradient that goes through products in 16 bits: sums over a batch stay below the 65,504 that they hold.
const LARGEST: f32 = 16.0;

/// Result of [`vocab_max`].
pub struct VocabMax {
    /// The largest product of each dimension, [batch, V].
    pub max: Tensor<2>,
    /// The position that gave it, [batch, V].
    pub argmax: Tensor<2, Int>,
}

/// The CPU twin of [`vocab_max`], over texts that stand behind each other without padding: the largest products and
/// their positions, both row-major [batch, V].
///
/// Shapes: `states` [sum of lengths, hidden], `rows` [V, hidden]; every length is at least 1.
pub fn vocab_max_rows(states: &Tensor<2>, lengths: &[usize], rows: &Tensor<2>) -> (Vec<f32>, Vec<u32>) {
    let [_, width] = states.dims();
    let [dims, _] = rows.dims();
    let batch = lengths.len();
    let mut max = vec![f32::NEG_INFINITY; batch * dims];
    let mut argmax = vec![0u32; batch * dims];
    let (mut first, mut start_row) = (0, 0);
    while first < batch {
        // Short texts share one matrix product, so that the rows are read once for all of them.
        let mut last = first + 1;
        let mut total = lengths[first];
        while last < batch && total + lengths[last] <= CPU_TOKENS {
            total += lengths[last];
            last += 1;
        }
        let offsets: Vec<usize> = offsets(&lengths[first..last]);
        let packed = states.clone().slice([start_row..start_row + total, 0..width]);
        let tile = (CPU_TILE / total).clamp(1, dims);
        for start in (0..dims).step_by(tile) {
            crate::pause();
            let end = (start + tile).min(dims);
            let columns = end - start;
            let part = rows.clone().slice([start..end, 0..width]);
            let products = to_vec(times_turned(packed.clone(), part));
            max[first * dims..last * dims]
                .par_chunks_mut(dims)
                .zip(argmax[first * dims..last * dims].par_chunks_mut(dims))
                .enumerate()
                .for_each(|(i, (max, argmax))| {
                    let (max, argmax) = (&mut max[start..end], &mut argmax[start..end]);
                    let products = &products[offsets[i] * columns..][..lengths[first + i] * columns];
                    wide(|| keep_largest(products, max, argmax));
                });
        }
        first = last;
        start_row += total;
    }
    (max, argmax)
}

#[inline(always)]
fn keep_largest(products: &[f32], max: &mut [f32], argmax: &mut [u32]) {
    for (l, row) in products.chunks_exact(max.len()).enumerate() {
        for ((best, at), &value) in max.iter_mut().zip(argmax.iter_mut()).zip(row) {
            let larger = value > *best;
            *best = if larger { value } else { *best };
            *at = if larger { l as u32 } else { *at };
        }
    }
}

/// Where each text begins among the rows of all.
fn offsets(lengths: &[usize]) -> Vec<usize> {
    let begin = |at: &mut usize, length: &usize| {
        *at += length;
        Some(*at - length)
    };
    lengths.iter().scan(0, begin).collect()
}

/// Gradients of [`vocab_max_rows`]: (d states, d rows) with the shapes of both, from `grad` [batch, V].
pub fn vocab_max_rows_back(
    grad: &[f32],
    argmax: &[u32],
    states: &[f32],
    lengths: &[usize],
    rows: &[f32],
    width: usize,
) -> (Vec<f32>, Vec<f32>) {
    let (dims, batch) = (rows.len() / width, lengths.len());
    let offsets = offsets(lengths);
    let mut d_rows = vec![0.0f32; dims * width];
    // A block of dimensions at a time, so that each text's part of the gradient is read in one go.
    const BLOCK: usize = 64;
    d_rows.par_chunks_mut(BLOCK * width).enumerate().for_each(|(block, out)| {
        wide(|| {
            for b in 0..batch {
                for (i, out) in out.chunks_exact_mut(width).enumerate() {
                    let v = b * dims + block * BLOCK + i;
                    if grad[v] != 0.0 {
                        axpy(grad[v], &states[(offsets[b] + argmax[v] as usize) * width..][..width], out);
                    }
                }
            }
        });
    });
    let mut d_states = vec![0.0f32; states.len()];
    let mut pieces = Vec::with_capacity(batch);
    let mut rest = &mut d_states[..];
    for length in lengths {
        let (piece, after) = rest.split_at_mut(length * width);
        pieces.push(piece);
        rest = after;
    }
    pieces.into_par_iter().enumerate().for_each(|(b, out)| {
        wide(|| {
            for (v, row) in rows.chunks_exact(width).enumerate() {
                let g = grad[b * dims + v];
                if g != 0.0 {
                    axpy(g, row, &mut out[argmax[b * dims + v] as usize * width..][..width]);
                }
            }
        });
    });
    (d_states, d_rows)
}

/// The largest product over the first `lengths[b]` positions of each text, and where it was found.
///
/// Shapes: `hidden` [batch, length, hidden], `rows` [V, hidden], both without autodiff; every length is at least 1.
pub fn vocab_max(hidden: Tensor<3>, lengths: &[usize], rows: Tensor<2>) -> VocabMax {
    if shader::runs(&hidden.device()) {
        let (max, argmax) = shader::vocab_max(hidden, lengths, rows);
        return VocabMax { max, argmax };
    }
    vocab_max_in_tiles(hidden, lengths, rows)
}

/// As [`vocab_max`]; with `half` the products are computed in 16 bits where a card's matrix units are reached.
pub fn vocab_max_in(half: bool, hidden: Tensor<3>, lengths: &[usize], rows: Tensor<2>) -> VocabMax {
    if half
        && hidden.dims()[2].is_multiple_of(4)
        && let Some(units) = units(&hidden.device())
    {
        let (max, argmax) = shader::on_units::vocab_max(hidden, lengths, rows, units);
        return VocabMax { max, argmax };
    }
    if half && shader::has_units(&hidden.device()) {
        return halved(hidden, lengths, rows);
    }
    vocab_max(hidden, lengths, rows)
}

fn halved(hidden: Tensor<3>, lengths: &[usize], rows: Tensor<2>) -> VocabMax {
    let found = vocab_max_in_tiles(hidden.cast(DType::F16), lengths, rows.cast(DType::F16));
    VocabMax { max: found.max.cast(DType::F32), ..found }
}

/// [`vocab_max`] in tensor operations, with one tile of products at a time.
pub fn vocab_max_in_tiles(hidden: Tensor<3>, lengths: &[usize], rows: Tensor<2>) -> VocabMax {
    let device = hidden.device();
    let [batch, length, width] = hidden.dims();
    let [dims, _] = rows.dims();
    // Added to the products: 0 on real positions, a very negative number on padding.
    let mut bias = vec![0.0f32; batch * length];
    for (b, &real) in lengths.iter().enumerate() {
        bias[b * length + real..(b + 1) * length].fill(-1e30);
    }
    let bias = from_vec::<3>(bias, [batch, length, 1], &device).cast(hidden.dtype());
    let flat = hidden.reshape([batch * length, width]);
    let tile = (DEVICE_TILE / (batch * length)).clamp(1, dims);
    let (mut maxima, mut positions) = (Vec::new(), Vec::new());
    for start in (0..dims).step_by(tile) {
        let end = (start + tile).min(dims);
        let part = rows.clone().slice([start..end, 0..width]);
        let products = flat.clone().matmul(part.transpose()).reshape([batch, length, end - start]) + bias.clone();
        let (max, at) = products.max_dim_with_indices(1);
        maxima.push(max.reshape([batch, end - start]));
        positions.push(at.reshape([batch, end - start]));
    }
    VocabMax { max: Tensor::cat(maxima, 1), argmax: Tensor::cat(positions, 1) }
}

/// Gradients of [`vocab_max`]: `(d hidden [batch, length, hidden], d rows [V, hidden])` from `grad` [batch, V].
pub fn vocab_max_backward(
    grad: Tensor<2>,
    argmax: Tensor<2, Int>,
    hidden: Tensor<3>,
    rows: Tensor<2>,
) -> (Tensor<3>, Tensor<2>) {
    if shader::runs(&hidden.device()) {
        return shader::vocab_max_back(grad, argmax, hidden, rows);
    }
    vocab_max_backward_by_text(grad, argmax, hidden, rows)
}

/// As [`vocab_max_backward`], in products where a card's matrix units are reached; with `half` they are of 16 bits.
pub fn vocab_max_backward_in(
    half: bool,
    grad: Tensor<2>,
    argmax: Tensor<2, Int>,
    hidden: Tensor<3>,
    rows: Tensor<2>,
) -> (Tensor<3>, Tensor<2>) {
    if !shader::has_units(&hidden.device()) {
        return vocab_max_backward(grad, argmax, hidden, rows);
    }
    let backward = if half { halved_backward } else { vocab_max_backward_in_tiles };
    backward(grad, argmax, hidden, rows)
}

fn halved_backward(
    grad: Tensor<2>,
    argmax: Tensor<2, Int>,
    hidden: Tensor<3>,
    rows: Tensor<2>,
) -> (Tensor<3>, Tensor<2>) {
    let scale = scale_to(LARGEST, &grad);
    let [grad, rows] = [grad.mul_scalar(scale), rows].map(|t| t.cast(DType::F16));
    let (d_hidden, d_rows) = vocab_max_backward_in_tiles(grad, argmax, hidden.cast(DType::F16), rows);
    let back = 1.0 / scale;
    (d_hidden.mul_scalar(back), d_rows.cast(DType::F32).mul_scalar(back))
}

/// [`vocab_max_backward`] in products with the gradient of the products, [batch, length, V], one tile of it at a time: more
/// work than it takes, on units that are made for it.
pub fn vocab_max_backward_in_tiles(
    grad: Tensor<2>,
    argmax: Tensor<2, Int>,
    hidden: Tensor<3>,
    rows: Tensor<2>,
) -> (Tensor<3>, Tensor<2>) {
    let [batch, length, width] = hidden.dims();
    let [dims, _] = rows.dims();
    let positions = Tensor::<1, Int>::arange(0..length as i64, &hidden.device()).reshape([1, length, 1]);
    let flat = hidden.reshape([batch * length, width]);
    // Of 32 bits whatever the products have.
    let mut d_flat = Tensor::<2>::zeros([batch * length, width], &flat.device());
    let mut d_rows = Vec::new();
    let tile = (DEVICE_TILE / (batch * length)).clamp(1, dims);
    for start in (0..dims).step_by(tile) {
        let end = (start + tile).min(dims);
        let columns = end - start;
        let at = argmax.clone().slice([0..batch, start..end]).reshape([batch, 1, columns]);
        let g = grad.clone().slice([0..batch, start..end]).reshape([batch, 1, columns]);
        let elsewhere =
            positions.clone().expand([batch, length, columns]).not_equal(at.expand([batch, length, columns]));
        let spread = g.expand([batch, length, columns]).mask_fill(elsewhere, 0.0).reshape([batch * length, columns]);
        d_rows.push(spread.clone().transpose().matmul(flat.clone()));
        d_flat = d_flat + spread.matmul(rows.clone().slice([start..end, 0..width])).cast(DType::F32);
    }
    (d_flat.reshape([batch, length, width]), Tensor::cat(d_rows, 0))
}

/// [`vocab_max_backward`] in tensor operations, text by text.
pub fn vocab_max_backward_by_text(
    grad: Tensor<2>,
    argmax: Tensor<2, Int>,
    hidden: Tensor<3>,
    rows: Tensor<2>,
) -> (Tensor<3>, Tensor<2>) {
    let [batch, length, width] = hidden.dims();
    let [dims, _] = rows.dims();
    let mut d_rows = Tensor::<2>::zeros([dims, width], &hidden.device());
    let mut d_hidden = Vec::with_capacity(batch);
    for b in 0..batch {
        let g = grad.clone().slice([b..b + 1, 0..dims]).reshape([dims, 1]);
        let at = argmax.clone().slice([b..b + 1, 0..dims]).reshape([dims]);
        let states = hidden.clone().slice([b..b + 1, 0..length, 0..width]).reshape([length, width]);
        d_rows = d_rows + states.clone().select(0, at.clone()) * g.clone();
        let spread = states.zeros_like().select_assign(0, at, rows.clone() * g, burn::tensor::IndexingUpdateOp::Add);
        d_hidden.push(spread.reshape([1, length, width]));
    }
    (Tensor::cat(d_hidden, 0), d_rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_ids;
    use burn::tensor::Device;
    use rand::{RngExt, SeedableRng};

    fn random(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
        (0..n).map(|_| rng.random_range(-1.0f32..1.0)).collect()
    }

    fn setup(batch: usize, length: usize, width: usize, dims: usize) -> (Tensor<3>, Tensor<2>) {
        let device = Device::flex();
        (
            from_vec(random(batch * length * width, 1), [batch, length, width], &device),
            from_vec(random(dims * width, 2), [dims, width], &device),
        )
    }

    /// The definition, with all products written out.
    fn naive(hidden: &[f32], lengths: &[usize], rows: &[f32], length: usize, width: usize) -> (Vec<f32>, Vec<u32>) {
        let dims = rows.len() / width;
        let (mut max, mut at) = (Vec::new(), Vec::new());
        for (b, &real) in lengths.iter().enumerate() {
            for v in 0..dims {
                let mut best = (f32::NEG_INFINITY, 0u32);
                for l in 0..real {
                    let h = &hidden[(b * length + l) * width..][..width];
                    let z: f32 = h.iter().zip(&rows[v * width..][..width]).map(|(a, b)| a * b).sum();
                    if z > best.0 {
                        best = (z, l as u32);
                    }
                }
                max.push(best.0);
                at.push(best.1);
            }
        }
        (max, at)
    }

    fn close(a: &[f32], b: &[f32], tolerance: f32) {
        assert_eq!(a.len(), b.len());
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "at {i}: {a} {b}");
        }
    }

    /// The real positions of all texts behind each other.
    fn pack(hidden: &Tensor<3>, lengths: &[usize]) -> Tensor<2> {
        let [_, _, width] = hidden.dims();
        let part = |(b, &n): (usize, &usize)| hidden.clone().slice([b..b + 1, 0..n, 0..width]).reshape([n, width]);
        Tensor::cat(lengths.iter().enumerate().map(part).collect(), 0)
    }

    #[test]
    fn twin_and_tensor_form_equal_the_definition_on_odd_sizes() {
        for (batch, length, width, dims) in [(1, 1, 1, 1), (3, 7, 5, 13), (4, 130, 16, 33), (2, 600, 8, 3)] {
            let (hidden, rows) = setup(batch, length, width, dims);
            let lengths: Vec<usize> = (0..batch).map(|b| (length * (b + 1) / batch).max(1)).collect();
            let (want, want_at) = naive(&to_vec(hidden.clone()), &lengths, &to_vec(rows.clone()), length, width);
            let (max, at) = vocab_max_rows(&pack(&hidden, &lengths), &lengths, &rows);
            close(&max, &want, 1e-5);
            assert_eq!(at, want_at);
            let form = vocab_max(hidden, &lengths, rows);
            close(&to_vec(form.max), &want, 1e-5);
            assert_eq!(to_ids(form.argmax), want_at);
        }
    }

    #[test]
    fn padding_never_takes_part() {
        let (hidden, rows) = setup(1, 6, 4, 9);
        let short = vocab_max(hidden.clone().slice([0..1, 0..4, 0..4]), &[4], rows.clone());
        let padded = vocab_max(hidden, &[4], rows);
        assert_eq!(to_vec(short.max), to_vec(padded.max));
    }

    #[test]
    fn backward_forms_agree_and_equal_finite_differences() {
        let (batch, length, width, dims) = (2, 5, 3, 70);
        let (hidden, rows) = setup(batch, length, width, dims);
        let lengths = [3, 5];
        let weights = random(batch * dims, 3);
        let grad: Tensor<2> = from_vec(weights.clone(), [batch, dims], &Device::flex());
        let form = vocab_max(hidden.clone(), &lengths, rows.clone());
        let (dh, dr) = vocab_max_backward(grad.clone(), form.argmax.clone(), hidden.clone(), rows.clone());
        let packed = pack(&hidden, &lengths);
        let (_, argmax) = vocab_max_rows(&packed, &lengths, &rows);
        let (twin_dh, twin_dr) =
            vocab_max_rows_back(&weights, &argmax, &to_vec(packed), &lengths, &to_vec(rows.clone()), width);
        close(&twin_dh, &to_vec(pack(&dh, &lengths)), 1e-5);
        close(&twin_dr, &to_vec(dr.clone()), 1e-5);
        let (tiled_dh, tiled_dr) =
            vocab_max_backward_in_tiles(grad.clone(), form.argmax.clone(), hidden.clone(), rows.clone());
        close(&to_vec(tiled_dh), &to_vec(dh.clone()), 1e-5);
        close(&to_vec(tiled_dr), &to_vec(dr.clone()), 1e-5);

        // In 16 bits, whatever the size of the gradient.
        let halves = halved(hidden.clone(), &lengths, rows.clone());
        close(&to_vec(halves.max), &to_vec(form.max), 2e-3);
        for size in [1e-6, 1.0, 1e6] {
            let grad = grad.clone().mul_scalar(size);
            let (half_dh, half_dr) = halved_backward(grad, form.argmax.clone(), hidden.clone(), rows.clone());
            close(&to_vec(half_dh.div_scalar(size)), &to_vec(dh.clone()), 5e-3);
            close(&to_vec(half_dr.div_scalar(size)), &to_vec(dr.clone()), 5e-3);
        }

        let loss = |h: &[f32], r: &[f32]| -> f64 {
            let (max, _) = naive(h, &lengths, r, length, width);
            max.iter().zip(&weights).map(|(m, w)| f64::from(m * w)).sum()
        };
        let (h, r) = (to_vec(hidden), to_vec(rows));
        let eps = 1e-3f32;
        for (i, got) in to_vec(dh).iter().enumerate() {
            let (mut up, mut down) = (h.clone(), h.clone());
            up[i] += eps;
            down[i] -= eps;
            let slope = (loss(&up, &r) - loss(&down, &r)) / f64::from(2.0 * eps);
            assert!((slope - f64::from(*got)).abs() < 2e-2, "d hidden {i}: {slope} {got}");
        }
        for (i, got) in to_vec(dr).iter().enumerate() {
            let (mut up, mut down) = (r.clone(), r.clone());
            up[i] += eps;
            down[i] -= eps;
            let slope = (loss(&h, &up) - loss(&h, &down)) / f64::from(2.0 * eps);
            assert!((slope - f64::from(*got)).abs() < 2e-2, "d rows {i}: {slope} {got}");
        }
    }
}
