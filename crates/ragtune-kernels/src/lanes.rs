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
