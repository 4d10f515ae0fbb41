//! GGML's block formats: numbers that share a scale, and what they stand for.

use half::{bf16, f16};

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

/// Numbers in a block of the older formats.
const BLOCK: usize = 32;
/// Numbers in a block of the newer ones.
const SUPER: usize = 256;

impl Format {
    /// By GGML's number.
    pub(super) fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// As GGML names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Numbers in a block, and its bytes.
    pub(super) fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (BLOCK, 2 + 16),
            Self::Q4_1 => (BLOCK, 4 + 16),
            Self::Q5_0 => (BLOCK, 2 + 4 + 16),
            Self::Q5_1 => (BLOCK, 4 + 4 + 16),
            Self::Q8_0 => (BLOCK, 2 + 32),
            Self::Q4K => (SUPER, 4 + 12 + 128),
            Self::Q5K => (SUPER, 4 + 12 + 32 + 128),
            Self::Q6K => (SUPER, 128 + 64 + 16 + 2),
        }
    }

    /// Bytes of so many numbers; none when they are no whole blocks.
    pub(super) fn bytes(self, numbers: usize) -> Option<usize> {
        let (size, bytes) = self.block();
        numbers.is_multiple_of(size).then(|| (numbers / size).checked_mul(bytes)).flatten()
    }

    /// What whole blocks stand for.
    pub(super) fn values(self, data: &[u8]) -> Vec<f32> {
        let (size, bytes) = self.block();
        let mut out = Vec::with_capacity(data.len() / bytes * size);
        for block in data.chunks_exact(bytes) {
            match self {
                Self::F32 => out.push(f32::from_le_bytes([block[0], block[1], block[2], block[3]])),
                Self::F16 => out.push(half(block)),
                Self::Bf16 => out.push(bf16::from_le_bytes([block[0], block[1]]).to_f32()),
                Self::Q4_0 => nibbles(&block[2..], |_| 0, half(block), -8, 0.0, &mut out),
                Self::Q4_1 => nibbles(&block[4..], |_| 0, half(block), 0, half(&block[2..]), &mut out),
                Self::Q5_0 => {
                    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
                    nibbles(&block[6..], |i| (high >> i & 1) << 4, half(block), -16, 0.0, &mut out);
                }
                Self::Q5_1 => {
                    let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
                    nibbles(&block[8..], |i| (high >> i & 1) << 4, half(block), 0, half(&block[2..]), &mut out);
                }
                Self::Q8_0 => {
                    let scale = half(block);
                    out.extend(block[2..].iter().map(|&q| f32::from(q as i8) * scale));
                }
                Self::Q4K => k_block(block, &block[16..], None, &mut out),
                Self::Q5K => k_block(block, &block[48..], Some(&block[16..48]), &mut out),
                Self::Q6K => q6k(block, &mut out),
            }
        }
        out
    }
}

/// The half-precision number at the beginning.
fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// 32 numbers of four bits, the low halves of the bytes first, each with its higher bits.
fn nibbles(q: &[u8], high: impl Fn(usize) -> u32, scale: f32, shift: i32, least: f32, out: &mut Vec<f32>) {
    let low = q.iter().map(|byte| byte & 15);
    let all = low.chain(q.iter().map(|byte| byte >> 4)).enumerate();
    out.extend(all.map(|(i, low)| ((u32::from(low) | high(i)) as i32 + shift) as f32 * scale + least));
}

/// The scale and the least value of one of eight groups, six bits each, packed in twelve bytes.
fn group(packed: &[u8], i: usize) -> (f32, f32) {
    let (scale, least) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        (packed[i + 4] & 15 | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4)
    };
    (f32::from(scale), f32::from(least))
}

/// 256 numbers in eight groups of four bits, and of a fifth where there is one.
fn k_block(block: &[u8], q: &[u8], fifth: Option<&[u8]>, out: &mut Vec<f32>) {
    let (scale, least) = (half(block), half(&block[2..]));
    for i in 0..8 {
        let (group_scale, group_least) = group(&block[4..16], i);
        let (scale, least) = (scale * group_scale, least * group_least);
        let bytes = &q[i / 2 * 32..][..32];
        out.extend(bytes.iter().enumerate().map(|(l, byte)| {
            let low = if i % 2 == 0 { byte & 15 } else { byte >> 4 };
            let high = fifth.map_or(0, |fifth| (fifth[l] >> i & 1) << 4);
            scale * f32::from(low | high) - least
        }));
    }
}

/// 256 numbers of six bits in sixteen groups.
fn q6k(block: &[u8], out: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(&block[208..]);
    for part in 0..8 {
        // Two halves of 128 numbers, each of four rows of 32.
        let (side, row) = (part / 4, part % 4);
        out.extend((0..32).map(|l| {
            let byte = low[side * 64 + row % 2 * 32 + l];
            let four = if row < 2 { byte & 15 } else { byte >> 4 };
            let two = high[side * 32 + l] >> (2 * row) & 3;
            let group = scales[side * 8 + row * 2 + l / 16] as i8;
            scale * f32::from(group) * (f32::from(four | two << 4) - 32.0)
        }));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn blocks_stand_for_what_ggml_says() {
        // Random bytes, and what GGML's own Python package makes of them.
        let reference = include_str!("../../../../tests/references/gguf/reference.json");
        let reference: Value = serde_json::from_str(reference).unwrap();
        let blocks = reference["blocks"].as_object().unwrap();
        assert_eq!(blocks.len(), 11);
        for (name, block) in blocks {
            let format = (0..=30).filter_map(Format::of).find(|format| format.name() == name).unwrap();
            let hex = block["hex"].as_str().unwrap();
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let data: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
            let want: Vec<f32> =
                block["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
            assert_eq!(format.bytes(want.len()), Some(data.len()), "{name}");
            let got = format.values(&data);
            assert_eq!(got.len(), want.len(), "{name}");
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                assert!((got - want).abs() <= 1e-6 * want.abs(), "{name} at {i}: {got} and not {want}");
            }
        }
    }

    #[test]
    fn numbers_that_fill_no_block_have_no_bytes() {
        assert_eq!(Format::Q8_0.bytes(33), None);
        assert_eq!(Format::Q6K.bytes(512), Some(420));
        assert_eq!(Format::of(10), None);
    }
}
