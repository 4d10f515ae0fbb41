//! What weights become when they are stored with fewer bits: to see what that does to a model's scores.

use burn::tensor::Device;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::{Weight, Weights};

/// Numbers that share a scale.
const BLOCK: usize = 32;

/// How numbers are stored; names are GGML's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rounding {
    /// 16 bits.
    F16,
    /// 16 bits with the range of 32.
    #[serde(rename = "BF16")]
    Bf16,
    /// 8 bits and a scale for 32 numbers.
    #[serde(rename = "Q8_0")]
    Q8,
    /// 4 bits and a scale for 32 numbers.
    #[serde(rename = "Q4_0")]
    Q4,
}

impl Rounding {
    /// All of them, finest first.
    pub const ALL: [Self; 4] = [Self::F16, Self::Bf16, Self::Q8, Self::Q4];

    /// As GGML calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q8 => "Q8_0",
            Self::Q4 => "Q4_0",
        }
    }

    /// Bytes of a matrix.
    fn bytes(self, numbers: usize) -> u64 {
        match self {
            Self::F16 | Self::Bf16 => 2 * numbers as u64,
            Self::Q8 => (numbers / BLOCK * (2 + 32)) as u64,
            Self::Q4 => (numbers / BLOCK * (2 + 16)) as u64,
        }
    }

    /// The numbers as they come back, in place. Rows of `columns` that are no whole blocks become 16 bits wide.
    pub fn round(self, values: &mut [f32], columns: usize) {
        match self {
            Self::Q8 | Self::Q4 if !columns.is_multiple_of(BLOCK) => Self::F16.round(values, columns),
            Self::F16 => values.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32()),
            Self::Bf16 => values.iter_mut().for_each(|x| *x = bf16::from_f32(*x).to_f32()),
            Self::Q8 => values.chunks_mut(BLOCK).for_each(eight_bits),
            Self::Q4 => values.chunks_mut(BLOCK).for_each(four_bits),
        }
    }
}

fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

fn eight_bits(block: &mut [f32]) {
    let scale = block.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
    let (inverse, stored) = (inverse(scale), f16::from_f32(scale).to_f32());
    block.iter_mut().for_each(|x| *x = (*x * inverse).round() * stored);
}

fn four_bits(block: &mut [f32]) {
    // The number farthest from zero, with its sign, becomes the end of the scale: -8.
    let end = block.iter().fold(0.0f32, |end, &x| if x.abs() > end.abs() { x } else { end });
    let scale = end / -8.0;
    let (inverse, stored) = (inverse(scale), f16::from_f32(scale).to_f32());
    block.iter_mut().for_each(|x| *x = ((*x * inverse + 8.5).trunc().clamp(0.0, 15.0) - 8.0) * stored);
}

impl Weights {
    /// The weights as they are when their matrices were stored so; vectors, which are few numbers, stay as they are. Beside
    /// them the bytes of both.
    pub fn rounded(&self, rounding: Rounding, device: &Device) -> (Self, u64) {
        let (mut rounded, mut bytes) = (Self::default(), 0);
        for (name, weight) in self.iter() {
            let (mut values, shape) = (weight.values(), weight.shape());
            if let [_, columns] = shape[..] {
                rounding.round(&mut values, columns);
                let whole = matches!(rounding, Rounding::F16 | Rounding::Bf16) || columns.is_multiple_of(BLOCK);
                bytes += if whole { rounding.bytes(values.len()) } else { 2 * values.len() as u64 };
            } else {
                bytes += 4 * values.len() as u64;
            }
            rounded.insert(name.clone(), Weight::from_vec(values, &shape, device));
        }
        (rounded, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_without_numbers_stay_without() {
        for rounding in Rounding::ALL {
            let mut zeros = vec![0.0f32; 64];
            rounding.round(&mut zeros, 32);
            assert!(zeros.iter().all(|x| *x == 0.0), "{}", rounding.name());
        }
    }

    #[test]
    fn narrow_rows_become_sixteen_bits_wide() {
        let (mut narrow, mut half) = (vec![0.1f32, -0.3, 0.7], vec![0.1f32, -0.3, 0.7]);
        Rounding::Q4.round(&mut narrow, 3);
        Rounding::F16.round(&mut half, 3);
        assert_eq!(narrow, half);
        let mut weights = Weights::default();
        weights.insert("m", Weight::from_vec(vec![0.5; 4 * 32], &[4, 32], &Device::flex()));
        weights.insert("n", Weight::from_vec(vec![0.5; 6], &[2, 3], &Device::flex()));
        weights.insert("b", Weight::from_vec(vec![0.5; 5], &[5], &Device::flex()));
        let (rounded, bytes) = weights.rounded(Rounding::Q8, &Device::flex());
        assert_eq!(bytes, 4 * 34 + 2 * 6 + 4 * 5);
        assert_eq!(rounded.len(), 3);
    }
}
