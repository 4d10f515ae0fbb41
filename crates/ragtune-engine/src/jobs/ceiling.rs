//! What a device reaches at most, as it is measured: the product of square matrices, and a copy.

use burn::tensor::{DType, Device, Tensor};
use ragtune_kernels::on_gpu::times_turned;
use ragtune_kernels::{from_vec, is_cpu, limits, to_vec};

use crate::Result;
use crate::session::JobContext;

/// Side of the square matrices.
pub(super) const SIDE: usize = 1024;
/// Side of those that keep a card busy.
const LARGE: usize = 4096;
/// Floats that are copied: more than a processor's cache holds.
const COPIED: usize = 1 << 24;
/// The same for a device that is done with those at once, if its buffers hold so many.
const LARGE_COPY: usize = 1 << 28;
/// The larger ones are measured where their product takes no more seconds than this: not on an adapter in software.
const PATIENCE: f64 = 1.0;
/// Seconds that orders to a device should fill between two reads, and most orders.
const FILLED: f64 = 0.1;
const ORDERS: usize = 64;

/// What a device reaches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ceiling {
    /// Side of the square matrices.
    pub(super) side: usize,
    /// Operations a second of the product, where a multiplication and an addition are two.
    pub(super) flops: f64,
    /// The same in 16 bits, where that is measured.
    pub(super) half_flops: Option<f64>,
    /// Bytes a second that are read and written.
    pub(super) bytes: f64,
}

/// Medians of some rounds; `side` is that of the square matrices, which are larger where a card is done with those at once;
/// `half`: in 16 bits too.
pub(super) fn measure(
    device: &Device,
    side: usize,
    half: bool,
    rounds: usize,
    context: &mut JobContext<'_>,
) -> Result<Ceiling> {
    let square = |side: usize| from_vec::<2>(numbers(side * side), [side, side], device);
    let small = square(side);
    let mut seconds = median(rounds, context, || one(small.clone().matmul(small.clone())))?;
    let fast = !is_cpu(device) && seconds * (LARGE as f64 / side as f64).powi(3) < PATIENCE;
    let side = if fast { LARGE } else { side };
    if fast {
        let square = square(side);
        // The better of burn's and, where a shader serves, ragtune's own.
        let burns = || square.clone().matmul(square.clone());
        let ours = || times_turned(&square, &square, None, false).unwrap_or_else(burns);
        seconds = product(device, rounds, context, &burns)?.min(product(device, rounds, context, &ours)?);
    }
    let flops = |seconds: f64| 2.0 * (side as f64).powi(3) / seconds;
    let halved = half.then(|| {
        let square = square(side);
        let cast = square.clone().cast(DType::F16);
        // Where matrix units are reached, that is how ragtune multiplies in 16 bits.
        let order = || times_turned(&square, &square, None, true).unwrap_or_else(|| cast.clone().matmul(cast.clone()));
        product(device, rounds, context, &order)
    });
    let halved = halved.transpose()?;
    let fits = limits(device).is_some_and(|limits| limits.buffer_bytes >= 4 * LARGE_COPY as u64);
    let copied = if fast && fits { LARGE_COPY } else { COPIED };
    let long: Tensor<2> = Tensor::ones([copied / SIDE, SIDE], device);
    // Each is read: what nobody reads need not be computed.
    let copy = median(rounds, context, || one(long.clone() + 1.0))?;
    Ok(Ceiling { side, flops: flops(seconds), half_flops: halved.map(flops), bytes: (2 * 4 * copied) as f64 / copy })
}

/// Numbers that no multiplication is spared by.
fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i % 13) as f32 * 0.1 - 0.6).collect()
}

/// Reading one number waits for the device.
fn one(tensor: Tensor<2>) {
    drop(to_vec(tensor.slice([0..1, 0..1])));
}

/// Median seconds of a product, among so many that waiting for the last one does not count.
fn product(device: &Device, rounds: usize, context: &mut JobContext<'_>, order: &dyn Fn() -> Tensor<2>) -> Result<f64> {
    let alone = median(1, context, || one(order()))?;
    let many = if is_cpu(device) { 1 } else { ((FILLED / alone) as usize).clamp(1, ORDERS) };
    let all = median(rounds, context, || {
        let mut last = order();
        for _ in 1..many {
            last = order();
        }
        one(last);
    })?;
    Ok(all / many as f64)
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
