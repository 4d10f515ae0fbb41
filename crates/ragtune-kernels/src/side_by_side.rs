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

/// As [`side_by_side`], for results that are too large to be kept all at once: `take` gets them in order, and no more than
/// [`at_once`] are there at a time.
pub fn taken_in_order<I: Send, T: Send>(
    device: &Device,
    items: Vec<I>,
    work: impl Fn(I) -> T + Sync + Send,
    mut take: impl FnMut(T),
) {
    let mut items = items.into_iter();
    loop {
        let group: Vec<I> = items.by_ref().take(at_once(device)).collect();
        if group.is_empty() {
            return;
        }
        side_by_side(device, group, &work).into_iter().for_each(&mut take);
    }
}

/// Pieces of work that are computed at the same time.
pub fn at_once(device: &Device) -> usize {
    if is_cpu(device) { rayon::current_num_threads().max(1) } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_taken_in_order_and_few_wait() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (made, mut taken) = (AtomicUsize::new(0), Vec::new());
        let device = Device::flex();
        let work = |i: usize| {
            made.fetch_add(1, Ordering::Relaxed);
            i
        };
        taken_in_order(&device, (0..100).collect(), work, |i| {
            taken.push(i);
            assert!(made.load(Ordering::Relaxed) - taken.len() < at_once(&device));
        });
        assert_eq!(taken, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn the_order_is_that_of_the_items() {
        let squares = side_by_side(&Device::flex(), (0..100u64).collect(), |i| i * i);
        assert_eq!(squares, (0..100u64).map(|i| i * i).collect::<Vec<_>>());
    }
}
