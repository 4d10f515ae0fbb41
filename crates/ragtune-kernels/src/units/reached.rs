//! What is computed on matrix units, where a card has them.

use std::ops::Range;

use burn::tensor::{DType, Tensor, s};

use super::units;
use crate::VocabMax;
use crate::shader::on_units::{self, Plan};

/// The vocabulary head of numbers in 16 bits; none where the device has no units, or the width is no multiple of 4.
pub(crate) fn vocab_max(hidden: &Tensor<3>, lengths: &[usize], rows: &Tensor<2>) -> Option<VocabMax> {
    let units = units(&hidden.device()).filter(|_| hidden.dims()[2].is_multiple_of(4))?;
    let (max, argmax) = on_units::vocab_max(hidden.clone(), lengths, rows.clone(), units);
    Some(VocabMax { max, argmax })
}

/// x wᵀ + b on the device's units, for `x` [rows, depth], `w` [columns, depth] of 32 or 16 bits, `b` [columns]; with a gradient.
/// None where the device has none, or the sizes are no multiples of 4.
pub fn times_turned(x: &Tensor<2>, w: &Tensor<2>, b: Option<Tensor<1>>) -> Option<Tensor<2>> {
    let units = units(&x.device())?;
    let ([rows, depth], [columns, _]) = (x.dims(), w.dims());
    if !depth.is_multiple_of(4) || !columns.is_multiple_of(4) || rows == 0 || x.dtype() != DType::F32 {
        return None;
    }
    let plan = Plan { units, beside: false };
    Some(on_units::product(x.clone(), w.clone(), b, plan))
}

/// Attention on the device's units: softmax(q kᵀ / √width) v over each text's real positions, [batch, length, heads x width],
/// for `q`, `k`, `v` [batch, heads, length, width]; with a gradient. What stands at padded positions is meaningless.
///
/// None where the device has no units, or length or width are no multiples of 4.
pub fn attend_on_units(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>, lengths: &[usize]) -> Option<Tensor<3>> {
    let units = units(&q.device())?;
    let [batch, heads, length, width] = q.dims();
    let at_once = texts_at_once(heads, length)?;
    if !length.is_multiple_of(4) || !width.is_multiple_of(4) || q.dtype() != DType::F32 {
        return None;
    }
    let plan = Plan { units, beside: false };
    let attend = |texts: Range<usize>| {
        let [q, k, v] = [q, k, v].map(|side| some(side, &texts));
        let scores = on_units::product(q, k, None, plan);
        let factor = 1.0 / (width as f32).sqrt();
        let probabilities = on_units::probabilities(scores, Some(&lengths[texts.clone()]), factor, units);
        let attended = on_units::product(probabilities, v.swap_dims(2, 3), None, Plan { beside: true, ..plan });
        attended.swap_dims(1, 2).reshape([texts.len(), length, heads * width])
    };
    Some(in_parts(batch, at_once, attend))
}

/// Attention on the device's units of tokens that see themselves and what comes before them, [batch, length, heads x width]:
/// for `q` [batch, heads, length, width], `k` and `v` [batch, key heads, length, width], whose heads serve as many neighbours
/// among the queries' as there are for each. Scores are multiplied by `factor`.
///
/// None where the device has no units, or length or width are no multiples of 4.
pub fn attend_back_on_units(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>, factor: f32) -> Option<Tensor<3>> {
    let units = units(&q.device())?;
    let ([batch, heads, length, width], shared) = (q.dims(), k.dims()[1]);
    let at_once = texts_at_once(heads, length)?;
    if !length.is_multiple_of(4) || !width.is_multiple_of(4) || q.dtype() != DType::F32 || k.dims()[2] != length {
        return None;
    }
    let plan = Plan { units, beside: false };
    let attend = |texts: Range<usize>| {
        let [q, k, v] = [q, k, v].map(|side| some(side, &texts));
        let batch = texts.len();
        // The queries' heads that share keys stand below each other.
        let below = [batch, shared, heads / shared * length, width];
        let scores = on_units::product(q.reshape(below), k, None, plan);
        let probabilities = on_units::probabilities(scores, None, factor, units);
        let attended = on_units::product(probabilities, v.swap_dims(2, 3), None, plan);
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
