//! Products and attention on a GPU by shaders of our own, forth and back: of numbers in 32 bits anywhere, in 16 on a card's
//! matrix units. Numbers stay in 32 bits in memory and are rounded on their way into a product.
//!
//! What no shader serves is left to burn: another machine's device, kernels in SPIR-V, a few rows, sizes that units do not take.

use std::ops::Range;

use burn::tensor::{DType, Tensor, s};

use crate::shader;
use crate::shader::products::{Plan, probabilities as soft_max, product};
use crate::units::units;

/// Below so many rows a tile of the shader would be empty for the most part.
const FEW: usize = 16;

/// How numbers are multiplied on the device of `x`, in 16 bits where that is asked for; none where a shader does not serve.
fn plan<const D: usize>(x: &Tensor<D>, half: bool) -> Option<Plan> {
    let device = x.device();
    if x.dtype() != DType::F32 || !shader::runs(&device) {
        return None;
    }
    let units = if half { Some(units(&device)?) } else { None };
    Some(Plan { units, beside: false })
}

/// Whether units take rows of that length.
fn fits(plan: Plan, length: usize) -> bool {
    plan.units.is_none() || length.is_multiple_of(4)
}

/// x wᵀ + b by a shader, for `x` [rows, depth], `w` [columns, depth], `b` [columns]; with a gradient. With `half` the product is of
/// numbers in 16 bits, and `w` may be of 16 bits in memory too.
///
/// None where no shader serves: on the CPU, for 16 bits on a device without matrix units or in sizes that are no multiples of 4,
/// for fewer than 16 rows in 32 bits.
pub fn times_turned(x: &Tensor<2>, w: &Tensor<2>, b: Option<Tensor<1>>, half: bool) -> Option<Tensor<2>> {
    let plan = plan(x, half)?;
    let ([rows, depth], [columns, _]) = (x.dims(), w.dims());
    let served = if half { rows > 0 && fits(plan, depth) && fits(plan, columns) } else { rows >= FEW };
    let whole = half || w.dtype() == DType::F32;
    (served && whole && depth > 0 && columns > 0).then(|| product(x.clone(), w.clone(), b, plan))
}

/// Attention by shaders: softmax(q kᵀ / √width) v over each text's real positions, [batch, length, heads x width], for `q`, `k`,
/// `v` [batch, heads, length, width]; with a gradient. With `half` the products are of numbers in 16 bits. What stands at padded
/// positions is meaningless.
///
/// None where no shader serves: on the CPU, for 16 bits on a device without matrix units or where length or width are no
/// multiples of 4.
pub fn attend(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>, lengths: &[usize], half: bool) -> Option<Tensor<3>> {
    let plan = plan(q, half)?;
    let [batch, heads, length, width] = q.dims();
    let at_once = texts_at_once(heads, length)?;
    if !fits(plan, length) || !fits(plan, width) {
        return None;
    }
    let attend = |texts: Range<usize>| {
        let [q, k, v] = [q, k, v].map(|side| some(side, &texts));
        let scores = product(q, k, None, plan);
        let factor = 1.0 / (width as f32).sqrt();
        let probabilities = soft_max(scores, Some(&lengths[texts.clone()]), factor);
        let attended = product(probabilities, v.swap_dims(2, 3), None, Plan { beside: true, ..plan });
        attended.swap_dims(1, 2).reshape([texts.len(), length, heads * width])
    };
    Some(in_parts(batch, at_once, attend))
}

/// Attention by shaders of tokens that see themselves and what comes before them, [batch, length, heads x width]: for `q` [batch,
/// heads, length, width], `k` and `v` [batch, key heads, length, width], whose heads serve as many neighbours among the queries'
/// as there are for each. Scores are multiplied by `factor`. With `half` the products are of numbers in 16 bits.
///
/// None where no shader serves, as [`attend`].
pub fn attend_back(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>, factor: f32, half: bool) -> Option<Tensor<3>> {
    let plan = plan(q, half)?;
    let ([batch, heads, length, width], shared) = (q.dims(), k.dims()[1]);
    let at_once = texts_at_once(heads, length)?;
    if !fits(plan, length) || !fits(plan, width) || k.dims()[2] != length {
        return None;
    }
    let attend = |texts: Range<usize>| {
        let [q, k, v] = [q, k, v].map(|side| some(side, &texts));
        let batch = texts.len();
        // The queries' heads that share keys stand below each other.
        let below = [batch, shared, heads / shared * length, width];
        let scores = product(q.reshape(below), k, None, plan);
        let probabilities = soft_max(scores, None, factor);
        let attended = product(probabilities, v.swap_dims(2, 3), None, plan);
        attended.reshape([batch, heads, length, width]).swap_dims(1, 2).reshape([batch, length, heads * width])
    };
    Some(in_parts(batch, at_once, attend))
}

/// Bytes of scores that are there at once: WebGPU's smallest binding.
const SCORES: usize = 128 << 20;

/// Most workgroups in one dimension: each head of each text has some of its own.
const WORKGROUPS: usize = 65535;

/// Texts whose scores are there at once; none where one has too many.
fn texts_at_once(heads: usize, length: usize) -> Option<usize> {
    let bytes = 4 * heads * length * length;
    let texts = SCORES.checked_div(bytes)?.min(WORKGROUPS / heads);
    (texts > 0).then_some(texts)
}

fn some(side: &Tensor<4>, texts: &Range<usize>) -> Tensor<4> {
    if texts.len() == side.dims()[0] { side.clone() } else { side.clone().slice(s![texts.clone(), .., .., ..]) }
}

/// What is computed of some texts at a time.
fn in_parts(texts: usize, at_once: usize, part: impl Fn(Range<usize>) -> Tensor<3>) -> Tensor<3> {
    if texts <= at_once {
        return part(0..texts);
    }
    Tensor::cat((0..texts).step_by(at_once).map(|from| part(from..(from + at_once).min(texts))).collect(), 0)
}

/// Twin of `product.wgsl`: left rightᵀ, for `left` [rows, depth] and `right` [columns, depth].
pub fn products(left: &[f32], right: &[f32], depth: usize) -> Vec<f32> {
    let row = |l: &[f32]| {
        let sums = right.chunks_exact(depth).map(|r| l.iter().zip(r).map(|(l, r)| l * r).sum());
        sums.collect::<Vec<f32>>()
    };
    left.chunks_exact(depth).flat_map(row).collect()
}

/// Numbers rounded to 16 bits: the products of such are the twin of `product_units.wgsl`.
pub fn rounded(numbers: &[f32]) -> Vec<f32> {
    numbers.iter().map(|x| f32::from(half::f16::from_f32(*x))).collect()
}

/// Twin of `softmax.wgsl`, for the scores of one text, [rows, length], of which the first `real` of each row count.
pub fn probabilities(scores: &[f32], length: usize, real: usize, factor: f32) -> Vec<f32> {
    let mut out = vec![0.0; scores.len()];
    for (row, out) in scores.chunks_exact(length).zip(out.chunks_exact_mut(length)) {
        let most = row[..real].iter().fold(f32::NEG_INFINITY, |most, s| most.max(factor * s));
        let raised: Vec<f32> = row[..real].iter().map(|s| (factor * s - most).exp()).collect();
        let sum: f32 = raised.iter().sum();
        out.iter_mut().zip(raised).for_each(|(out, raised)| *out = raised / sum);
    }
    out
}

/// Twin of `softmax_back.wgsl`: the gradient of scores from that of their probabilities, rows of `length`.
pub fn probabilities_back(probabilities: &[f32], gradient: &[f32], length: usize, factor: f32) -> Vec<f32> {
    let rows = probabilities.chunks_exact(length).zip(gradient.chunks_exact(length));
    let back = |(p, d): (&[f32], &[f32])| {
        let sum: f32 = p.iter().zip(d).map(|(p, d)| p * d).sum();
        p.iter().zip(d).map(|(p, d)| factor * p * (d - sum)).collect::<Vec<f32>>()
    };
    rows.flat_map(back).collect()
}
