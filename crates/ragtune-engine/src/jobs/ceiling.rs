//! What a device reaches at most, as it is measured: the product of square matrices, and a copy.

use burn::tensor::{Device, Tensor};
use ragtune_kernels::{from_vec, to_vec};

use crate::Result;
use crate::session::JobContext;

/// Side of the square matrices.
pub(super) const SIDE: usize = 1024;
/// Floats that are copied: more than a processor's cache holds.
const COPIED: usize = 1 << 24;

/// What a device reaches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ceiling {
    /// Operations a second of the product, where a multiplication and an addition are two.
    pub(super) flops: f64,
    /// Bytes a second that are read and written.
    pub(super) bytes: f64,
}

/// Medians of some rounds; `side` is that of the square matrices.
pub(super) fn measure(device: &Device, side: usize, rounds: usize, context: &mut JobContext<'_>) -> Result<Ceiling> {
    let numbers = |n: usize| (0..n).map(|i| (i % 13) as f32 * 0.1 - 0.6).collect::<Vec<f32>>();
    // Reading one number waits for the device.
    let one = |product: Tensor<2>| drop(to_vec(product.slice([0..1, 0..1])));
    let square: Tensor<2> = from_vec(numbers(side * side), [side, side], device);
    let product = median(rounds, context, || one(square.clone().matmul(square.clone())))?;
    let long: Tensor<2> = from_vec(numbers(COPIED), [COPIED / SIDE, SIDE], device);
    let copy = median(rounds, context, || one(long.clone() + 1.0))?;
    Ok(Ceiling { flops: 2.0 * (side as f64).powi(3) / product, bytes: (2 * 4 * COPIED) as f64 / copy })
}

/// Median seconds of some rounds, after one that prepares what later ones find prepared.
pub(super) fn median(rounds: usize, context: &mut JobContext<'_>, mut work: impl FnMut()) -> Result<f64> {
    let mut all = Vec::with_capacity(rounds);
    for round in 0..=rounds {
        context.check()?;
        let start = context.seconds();
        work();
        if round > 0 {
            all.push(context.seconds() - start);
        }
    }
    all.sort_by(f64::total_cmp);
    Ok(all[all.len() / 2].max(1e-9))
}
