//! Independent pieces of work at the same time: on the cores of the CPU, and on several devices.

use burn::tensor::Device;
use rayon::prelude::*;

use crate::is_cpu;

/// Maps items in order. On the CPU the pieces are computed side by side on the cores; a GPU orders its work itself, so
/// there they follow each other. The result does not depend on which piece is done first.
pub fn side_by_side<I: Send, T: Send>(device: &Device, items: Vec<I>, work: impl Fn(I) -> T + Sync + Send) -> Vec<T> {
    shared_out(items.into_iter().map(|item| (device.clone(), item)).collect(), work)
}

/// As [`side_by_side`], for pieces of which each has its device. All devices compute at the same time if `work` reads nothing
/// back: those that take orders get theirs first, then the CPU computes its own.
pub fn shared_out<I: Send, T: Send>(items: Vec<(Device, I)>, work: impl Fn(I) -> T + Sync + Send) -> Vec<T> {
    let (mut own, mut done) = (Vec::new(), Vec::new());
    for (at, (device, item)) in items.into_iter().enumerate() {
        if is_cpu(&device) {
            own.push((at, item));
        } else {
            done.push((at, work(item)));
        }
    }
    let one = |(at, item)| (at, work(item));
    if own.len() > 1 {
        done.par_extend(own.into_par_iter().map(one));
    } else {
        done.extend(own.into_iter().map(one));
    }
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// As [`shared_out`], for results that are too large to be kept all at once: `take` gets them in order, and of each device no
/// more than [`at_once`] are there at a time.
pub fn taken_in_order<I: Send, T: Send>(
    items: Vec<(Device, I)>,
    work: impl Fn(I) -> T + Sync + Send,
    mut take: impl FnMut(T),
) {
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        let mut group: Vec<(Device, I)> = Vec::new();
        let has_room = |group: &[(Device, I)], device: &Device| {
            group.iter().filter(|(known, _)| known == device).count() < at_once(device)
        };
        while let Some(item) = items.next_if(|(device, _)| has_room(&group, device)) {
            group.push(item);
        }
        shared_out(group, &work).into_iter().for_each(&mut take);
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
        let items = (0..100).map(|i| (device.clone(), i)).collect();
        let work = |i: usize| {
            made.fetch_add(1, Ordering::Relaxed);
            i
        };
        taken_in_order(items, work, |i| {
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
