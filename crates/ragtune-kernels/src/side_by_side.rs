//! Independent pieces of work at the same time, where the device is the CPU.

use burn::tensor::Device;
use rayon::prelude::*;

use crate::is_cpu;

/// Maps items in order. On the CPU the pieces are computed side by side on the cores; a GPU orders its work itself, so
/// there they follow each other. The result does not depend on which piece is done first.
pub fn side_by_side<I: Send, T: Send>(device: &Device, items: Vec<I>, work: impl Fn(I) -> T + Sync + Send) -> Vec<T> {
    if is_cpu(device) && items.len() > 1 {
        items.into_par_iter().map(work).collect()
    } else {
        items.into_iter().map(work).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_items() {
        let squares = side_by_side(&Device::flex(), (0..100u64).collect(), |i| i * i);
        assert_eq!(squares, (0..100u64).map(|i| i * i).collect::<Vec<_>>());
    }
}
