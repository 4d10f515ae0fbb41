//! Numbers in fewer bits than 32, as files hold them: halves, and GGML's blocks of numbers that share a scale.

use crate::wide::wide;

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// The upper half of 32-bit floats.
    Bf16,
    /// 4 bits and a scale.
    Q4_0,
    /// 4 bits, a scale and a least value.
    Q4_1,
    /// 5 bits and a scale.
    Q5_0,
    /// 5 bits, a scale and a least value.
    Q5_1,
    /// 8 bits and a scale.
    Q8_0,
    /// 4 bits, scales of scales.
    Q4K,
    /// 5 bits, scales of scales.
    Q5K,
    /// 6 bits, scales of scales.
    Q6K,
}

/// Numbers in a block of the older formats.
const BLOCK: usize = 32;
/// Numbers in a block of the newer ones.
const SUPER: usize = 256;

impl Format {
    /// By GGML's number.
    pub fn of(number: u32) -> Option<Self> {
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
    pub fn name(self) -> &'static str {
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
    pub fn block(self) -> (usize, usize) {
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

    /// Its number in the shader that expands it; none for those that shaders do not take.
    pub fn in_shaders(self) -> Option<u32> {
        Some(match self {
            Self::F16 => 0,
            Self::Bf16 => 1,
            Self::Q8_0 => 2,
            Self::Q4_0 => 3,
            _ => return None,
        })
    }

    /// Bytes of so many numbers; none when they are no whole blocks.
    pub fn bytes(self, numbers: usize) -> Option<usize> {
        let (size, bytes) = self.block();
        numbers.is_multiple_of(size).then(|| (numbers / size).checked_mul(bytes)).flatten()
    }

    /// What whole blocks stand for.
    pub fn values(self, data: &[u8]) -> Vec<f32> {
        let (size, bytes) = self.block();
        let mut values = vec![0.0; data.len() / bytes * size];
        self.expand(data, &mut values);
        values
    }

    /// Writes what whole blocks stand for; as many numbers are wanted as the blocks hold.
    pub fn expand(self, data: &[u8], into: &mut [f32]) {
        wide(|| self.expand_here(data, into));
    }

    #[inline(always)]
    fn expand_here(self, data: &[u8], into: &mut [f32]) {
        match self {
            Self::F32 => {
                let numbers = data.as_chunks::<4>().0;
                into.iter_mut().zip(numbers).for_each(|(to, bytes)| *to = f32::from_le_bytes(*bytes));
            }
            Self::F16 => {
                let numbers = data.as_chunks::<2>().0;
                into.iter_mut().zip(numbers).for_each(|(to, bytes)| *to = from_half(u16::from_le_bytes(*bytes)));
            }
            Self::Bf16 => {
                let numbers = data.as_chunks::<2>().0;
                let whole = |bytes: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
                into.iter_mut().zip(numbers).for_each(|(to, bytes)| *to = whole(bytes));
            }
            Self::Q4_0 => blocks::<18, BLOCK>(data, into, |block, to| {
                nibbles(&block[2..], |_| 0, half(block), -8, 0.0, to);
            }),
            Self::Q4_1 => blocks::<20, BLOCK>(data, into, |block, to| {
                nibbles(&block[4..], |_| 0, half(block), 0, half(&block[2..]), to);
            }),
            Self::Q5_0 => blocks::<22, BLOCK>(data, into, |block, to| {
                let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
                nibbles(&block[6..], |i| (high >> i & 1) << 4, half(block), -16, 0.0, to);
            }),
            Self::Q5_1 => blocks::<24, BLOCK>(data, into, |block, to| {
                let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
                nibbles(&block[8..], |i| (high >> i & 1) << 4, half(block), 0, half(&block[2..]), to);
            }),
            Self::Q8_0 => blocks::<34, BLOCK>(data, into, |block, to| {
                let scale = half(block);
                to.iter_mut().zip(&block[2..]).for_each(|(to, &q)| *to = f32::from(q as i8) * scale);
            }),
            Self::Q4K => blocks::<144, SUPER>(data, into, |block, to| k_block(block, &block[16..], None, to)),
            Self::Q5K => blocks::<176, SUPER>(data, into, |block, to| {
                k_block(block, &block[48..], Some(&block[16..48]), to);
            }),
            Self::Q6K => blocks::<210, SUPER>(data, into, q6k),
        }
    }
}

/// Goes through blocks of so many bytes, each with its numbers.
#[inline(always)]
fn blocks<const BYTES: usize, const NUMBERS: usize>(
    data: &[u8],
    into: &mut [f32],
    one: impl Fn(&[u8; BYTES], &mut [f32; NUMBERS]),
) {
    let (data, into) = (data.as_chunks().0, into.as_chunks_mut().0);
    data.iter().zip(into).for_each(|(block, to)| one(block, to));
}

/// A half-precision number, in a form that the compiler makes vectors of.
#[inline(always)]
fn from_half(bits: u16) -> f32 {
    let bits = u32::from(bits);
    // Exponent and fraction in their places; what is left is the difference of the exponents' zeros, 2^112. The product
    // is exact, and makes numbers that are subnormal in 16 bits normal.
    let size = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    // What is not finite in 16 bits stays so.
    let beyond = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(size.to_bits() | beyond | (bits & 0x8000) << 16)
}

/// The half-precision number at the beginning.
#[inline(always)]
fn half(bytes: &[u8]) -> f32 {
    from_half(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// 32 numbers of four bits, the low halves of the bytes first, each with its higher bits.
#[inline(always)]
fn nibbles(q: &[u8], high: impl Fn(usize) -> u32, scale: f32, shift: i32, least: f32, to: &mut [f32; BLOCK]) {
    let number = |low: u8, i: usize| ((u32::from(low) | high(i)) as i32 + shift) as f32 * scale + least;
    let Some(q) = q.first_chunk::<{ BLOCK / 2 }>() else { return };
    // Two loops of a known length each: the compiler makes vectors of them.
    let (first, second) = to.split_at_mut(BLOCK / 2);
    first.iter_mut().zip(q).enumerate().for_each(|(i, (to, byte))| *to = number(byte & 15, i));
    second.iter_mut().zip(q).enumerate().for_each(|(i, (to, byte))| *to = number(byte >> 4, BLOCK / 2 + i));
}

/// The scale and the least value of one of eight groups, six bits each, packed in twelve bytes.
#[inline(always)]
fn group(packed: &[u8], i: usize) -> (f32, f32) {
    let (scale, least) = if i < 4 {
        (packed[i] & 63, packed[i + 4] & 63)
    } else {
        (packed[i + 4] & 15 | packed[i - 4] >> 6 << 4, packed[i + 4] >> 4 | packed[i] >> 6 << 4)
    };
    (f32::from(scale), f32::from(least))
}

/// 256 numbers in eight groups of four bits, and of a fifth where there is one.
#[inline(always)]
fn k_block(block: &[u8], q: &[u8], fifth: Option<&[u8]>, to: &mut [f32; SUPER]) {
    let (scale, least) = (half(block), half(&block[2..]));
    for (i, to) in to.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (group_scale, group_least) = group(&block[4..16], i);
        let (scale, least) = (scale * group_scale, least * group_least);
        let Some(bytes) = q[i / 2 * 32..].first_chunk::<32>() else { return };
        let shift = if i % 2 == 0 { 0 } else { 4 };
        match fifth.and_then(|fifth| fifth.first_chunk::<32>()) {
            None => {
                let four = |byte: &u8| f32::from(byte >> shift & 15);
                to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = scale * four(byte) - least);
            }
            Some(fifth) => {
                let five = |byte: &u8, high: &u8| f32::from(byte >> shift & 15 | (high >> i & 1) << 4);
                let both = bytes.iter().zip(fifth);
                to.iter_mut().zip(both).for_each(|(to, (byte, high))| *to = scale * five(byte, high) - least);
            }
        }
    }
}

/// 256 numbers of six bits in sixteen groups.
#[inline(always)]
fn q6k(block: &[u8; 210], to: &mut [f32; SUPER]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(&block[208..]);
    for (part, to) in to.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        // Two halves of 128 numbers, each of four rows of 32.
        let (side, row) = (part / 4, part % 4);
        for (l, to) in to.iter_mut().enumerate() {
            let byte = low[side * 64 + row % 2 * 32 + l];
            let four = if row < 2 { byte & 15 } else { byte >> 4 };
            let two = high[side * 32 + l] >> (2 * row) & 3;
            let group = scales[side * 8 + row * 2 + l / 16] as i8;
            *to = scale * f32::from(group) * (f32::from(four | two << 4) - 32.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn blocks_stand_for_what_ggml_says() {
        // Random bytes, and what GGML's own Python package makes of them.
        let reference = include_str!("../../../tests/references/gguf/reference.json");
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
    fn halves_are_what_they_are_everywhere_else() {
        for bits in 0..=u16::MAX {
            let (found, wanted) = (from_half(bits), half::f16::from_bits(bits).to_f32());
            let same = found.to_bits() == wanted.to_bits() || !wanted.is_finite() && !found.is_finite();
            assert!(same, "{bits:04x}: {found} and not {wanted}");
        }
    }

    #[test]
    fn numbers_that_fill_no_block_have_no_bytes() {
        assert_eq!(Format::Q8_0.bytes(33), None);
        assert_eq!(Format::Q6K.bytes(512), Some(420));
        assert_eq!(Format::of(10), None);
    }
}
