//! Four numbers that are computed at once.
//!
//! A browser's module is put together at a level at which the compiler makes no vectors out of numbers that stand beside
//! each other; so they are vectors from the beginning there. Elsewhere they are an array.

#[cfg(target_arch = "wasm32")]
use core::arch::wasm32::{f32x4_add, f32x4_mul, f32x4_splat, v128, v128_load, v128_store};

/// How many.
pub(crate) const LANES: usize = 4;

/// Four numbers.
#[derive(Clone, Copy)]
#[cfg(target_arch = "wasm32")]
pub(crate) struct Lanes(v128);

#[cfg(target_arch = "wasm32")]
impl Lanes {
    #[inline(always)]
    pub(crate) fn splat(x: f32) -> Self {
        Self(f32x4_splat(x))
    }

    #[inline(always)]
    pub(crate) fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: 16 bytes can be read there; they need not be aligned.
        #[allow(unsafe_code)]
        Self(unsafe { v128_load(from.as_ptr().cast()) })
    }

    #[inline(always)]
    pub(crate) fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: as above, for writing.
        #[allow(unsafe_code)]
        unsafe {
            v128_store(to.as_mut_ptr().cast(), self.0);
        }
    }

    /// self + a b
    #[inline(always)]
    pub(crate) fn plus_product(self, a: Self, b: Self) -> Self {
        Self(f32x4_add(self.0, f32x4_mul(a.0, b.0)))
    }
}

/// Four numbers.
#[derive(Clone, Copy)]
#[cfg(not(target_arch = "wasm32"))]
pub(crate) struct Lanes([f32; LANES]);

#[cfg(not(target_arch = "wasm32"))]
impl Lanes {
    #[inline(always)]
    pub(crate) fn splat(x: f32) -> Self {
        Self([x; LANES])
    }

    #[inline(always)]
    pub(crate) fn load(from: &[f32; LANES]) -> Self {
        Self(*from)
    }

    #[inline(always)]
    pub(crate) fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }

    /// self + a b
    #[inline(always)]
    pub(crate) fn plus_product(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
    }
}

/// An inner product, always summed in the same order.
#[inline(always)]
#[cfg(target_arch = "wasm32")]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const SUMS: usize = 8;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<{ SUMS * LANES }>(), b.as_chunks::<{ SUMS * LANES }>());
    let mut sums = [Lanes::splat(0.0); SUMS];
    for (a, b) in a.iter().zip(b) {
        let ((a, _), (b, _)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = sum.plus_product(Lanes::load(a), Lanes::load(b));
        }
    }
    let mut all = [0.0; SUMS * LANES];
    all.as_chunks_mut::<LANES>().0.iter_mut().zip(sums).for_each(|(all, sum)| sum.store(all));
    all.iter().sum::<f32>() + rest(a_rest, b_rest)
}

/// An inner product, always summed in the same order.
#[inline(always)]
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const SUMS: usize = 32;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<SUMS>(), b.as_chunks::<SUMS>());
    // So many sums at once are registers of any width.
    let mut sums = [0.0f32; SUMS];
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + rest(a_rest, b_rest)
}

#[inline(always)]
fn rest(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_products_of_every_length_are_right() {
        for n in [0, 1, 31, 32, 33, 100, 256] {
            let a: Vec<f32> = (0..n).map(|i| (i % 7) as f32 - 3.0).collect();
            let b: Vec<f32> = (0..n).map(|i| (i % 5) as f32 - 2.0).collect();
            assert_eq!(dot(&a, &b), a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>(), "{n}");
        }
    }
}
