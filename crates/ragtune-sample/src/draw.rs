//! Random access to randomness: hashing, a small keyed stream, and permutations of `0..size`.
//!
//! The world keeps no state. Whatever it needs to know about an entity or a passage is a function of the seed and of
//! a few numbers, so any part of a world of any size can be made by itself.

/// The SplitMix64 finaliser: every input bit reaches every output bit.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One key made of several numbers; the order counts.
pub(crate) fn key(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |state, &part| mix(state ^ mix(part)))
}

/// A SplitMix64 stream that starts from a key.
#[derive(Clone)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(parts: &[u64]) -> Self {
        Self(key(parts))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number in `0..end`; the bias for the small ends met here is below 2^-40.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64) < probability * (1u64 << 53) as f64
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

/// A keyed bijection of `0..size` with random access both ways: a Feistel network on the next even number of bits,
/// walked until it lands inside.
#[derive(Clone, Copy)]
pub(crate) struct Permutation {
    size: u64,
    half_bits: u32,
    key: u64,
}

const ROUNDS: u64 = 4;

impl Permutation {
    /// `size` must be in `1..=2^62`.
    pub(crate) fn new(size: u64, key: u64) -> Self {
        let bits = u64::BITS - size.saturating_sub(1).leading_zeros();
        Self { size, half_bits: bits.div_ceil(2).max(1), key }
    }

    fn round(&self, half: u64, round: u64) -> u64 {
        mix(self.key ^ mix(half ^ (round << 56))) & ((1 << self.half_bits) - 1)
    }

    /// Where `index` goes; `index` must be below the size.
    pub(crate) fn forward(&self, index: u64) -> u64 {
        self.walk(index, |this, (left, right), round| (right, left ^ this.round(right, round)), false)
    }

    /// The index that goes to `place`.
    pub(crate) fn backward(&self, place: u64) -> u64 {
        self.walk(place, |this, (left, right), round| (right ^ this.round(left, round), left), true)
    }

    fn walk(&self, start: u64, step: impl Fn(&Self, (u64, u64), u64) -> (u64, u64), reverse: bool) -> u64 {
        debug_assert!(start < self.size);
        let mut value = start;
        loop {
            let mut halves = (value >> self.half_bits, value & ((1 << self.half_bits) - 1));
            for i in 0..ROUNDS {
                halves = step(self, halves, if reverse { ROUNDS - 1 - i } else { i });
            }
            value = halves.0 << self.half_bits | halves.1;
            if value < self.size {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_permutation_visits_every_place_once_and_can_be_undone(size in 1u64..3000, key: u64) {
            let permutation = Permutation::new(size, key);
            let mut seen = vec![false; size as usize];
            for index in 0..size {
                let place = permutation.forward(index);
                prop_assert!(!std::mem::replace(&mut seen[place as usize], true));
                prop_assert_eq!(permutation.backward(place), index);
            }
        }
    }

    #[test]
    fn chances_and_shuffles_follow_their_share() {
        let mut draw = Draw::new(&[1, 2]);
        let hits = (0..10_000).filter(|_| draw.chance(0.3)).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
        assert!(!draw.chance(0.0) && draw.chance(1.0));
        let mut first = [0; 4];
        for _ in 0..4_000 {
            let mut items = [0, 1, 2, 3];
            draw.shuffle(&mut items);
            first[items[0]] += 1;
        }
        assert!(first.iter().all(|&n| (850..1_150).contains(&n)), "{first:?}");
    }
}
