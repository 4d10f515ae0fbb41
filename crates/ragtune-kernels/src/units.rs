//! Products on a card's matrix units, which multiply small squares of 16-bit numbers and add in 32: what a card's tensor cores
//! do, reached from WGSL. Numbers stay in 32 bits in memory and are rounded on their way into a product.

use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use burn::tensor::{DType, Device, Tensor, s};

use crate::shader;
use crate::shader::on_units::{self, Plan};

/// The matrix units of a device: squares of 16-bit numbers whose products are added in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Units {
    /// Rows, columns and depth of a square: 8 or 16.
    pub size: u32,
    /// Threads that run in step.
    pub lanes: u32,
}

impl Units {
    /// Whether the shaders' division of the work fits: each lane of a subgroup has one row of a square or a part of one, and
    /// brings at most four quads of a tile.
    pub fn serve(self) -> bool {
        matches!(self.size, 8 | 16)
            && self.lanes.is_multiple_of(self.size)
            && self.size * self.size <= 8 * self.lanes
            && self.lanes <= 64
    }

    /// Bytes that a workgroup shares at most, and its threads.
    pub fn needs(self) -> (u32, u32) {
        let tile = 8 * self.size * (self.size / 2 + 2) * 8;
        (2 * tile + 8 * self.size * self.size * 4 + 64, self.threads())
    }

    pub(crate) fn threads(self) -> u32 {
        8 * self.lanes
    }

    /// Rows and columns of a workgroup's tile.
    pub(crate) fn tile(self) -> usize {
        8 * self.size as usize
    }

    /// How much depth a workgroup takes at a time.
    pub(crate) fn deep(self) -> usize {
        2 * self.size as usize
    }
}

static KNOWN: RwLock<Vec<(Device, Units)>> = RwLock::new(Vec::new());

/// From now on products that may be of 16 bits go to these units of the device; none: no longer.
pub fn use_units(device: &Device, units: Option<Units>) {
    let device = device.clone().inner();
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    known.retain(|(other, _)| *other != device);
    known.extend(units.filter(|units| units.serve()).map(|units| (device, units)));
}

/// The matrix units of a device that products go to.
pub fn units(device: &Device) -> Option<Units> {
    let device = device.clone().inner();
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let found = known.iter().find(|(other, _)| *other == device).map(|(_, units)| *units);
    found.filter(|_| shader::runs(&device))
}

static IN_HALVES: RwLock<Vec<Device>> = RwLock::new(Vec::new());

/// Whether from now on every layer's products on a device are of numbers in 16 bits, whatever a call asks for.
pub fn multiply_in_halves(device: &Device, halves: bool) {
    let device = device.clone().inner();
    let mut all = IN_HALVES.write().unwrap_or_else(PoisonError::into_inner);
    all.retain(|other| *other != device);
    all.extend(halves.then_some(device));
}

/// Whether they are.
pub fn in_halves(device: &Device) -> bool {
    let all = IN_HALVES.read().unwrap_or_else(PoisonError::into_inner);
    !all.is_empty() && all.contains(&device.clone().inner())
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

/// Texts whose scores are there at once; none where one has too many.
fn texts_at_once(heads: usize, length: usize) -> Option<usize> {
    let bytes = 4 * heads * length * length;
    SCORES.checked_div(bytes).filter(|&texts| texts > 0)
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

/// Twin of `product.wgsl`: left rightᵀ of numbers rounded to 16 bits, `left` [rows, depth], `right` [columns, depth].
pub fn products(left: &[f32], right: &[f32], depth: usize) -> Vec<f32> {
    let rounded = |side: &[f32]| side.iter().map(|x| f32::from(half::f16::from_f32(*x))).collect::<Vec<f32>>();
    let (left, right) = (rounded(left), rounded(right));
    let row = |l: &[f32]| {
        let sums = right.chunks_exact(depth).map(|r| l.iter().zip(r).map(|(l, r)| l * r).sum());
        sums.collect::<Vec<f32>>()
    };
    left.chunks_exact(depth).flat_map(row).collect()
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
