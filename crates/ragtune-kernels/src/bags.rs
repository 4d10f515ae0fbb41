//! Search by bags of tokens on a device: the first stage of late parametric retrieval beside an encoder that lies there.

use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;

use crate::{binding_bytes, from_vec, shader, to_ids, to_vec};

/// Bytes of a buffer where the device names no limit.
const BUFFER: u64 = 128 << 20;
/// Bytes for one passage's scores, beside its bag: so many questions are asked at once at least.
const QUESTIONS: u64 = 16;

/// The bags of tokens of passages, resident on a device.
pub struct Bags {
    parts: Vec<Part>,
    dims: usize,
    device: Device,
    /// Bytes of a buffer at most.
    most: u64,
}

/// Passages behind each other, as many as a buffer holds.
struct Part {
    /// Where each bag ends, [passages].
    ends: Tensor<1, Int>,
    /// The bags' dimensions, [entries].
    bags: Tensor<1, Int>,
    passages: usize,
}

impl Bags {
    /// Whether a device searches bags that lie on it.
    pub fn serves(device: &Device) -> bool {
        shader::runs(device)
    }

    /// Puts bags on a device. Each is ascending, without repeats, its dimensions below `dims`.
    ///
    /// # Errors
    /// Those that the bags come with.
    pub fn new<E>(
        bags: impl IntoIterator<Item = Result<Vec<u32>, E>>,
        dims: usize,
        device: &Device,
    ) -> Result<Self, E> {
        Self::within(bags, dims, device, binding_bytes(device).unwrap_or(BUFFER))
    }

    fn within<E>(
        bags: impl IntoIterator<Item = Result<Vec<u32>, E>>,
        dims: usize,
        device: &Device,
        most: u64,
    ) -> Result<Self, E> {
        let entries = (most / 4) as usize;
        let passages = (most / 4 / QUESTIONS).max(1) as usize;
        let mut all = Self { parts: Vec::new(), dims, device: device.clone(), most };
        let (mut ends, mut flat) = (Vec::new(), Vec::new());
        for bag in bags {
            let bag = bag?;
            if !ends.is_empty() && (ends.len() == passages || flat.len() + bag.len() > entries) {
                all.add(std::mem::take(&mut ends), std::mem::take(&mut flat));
            }
            flat.extend(bag.into_iter().map(|dim| dim as i32));
            ends.push(flat.len() as i32);
        }
        if !ends.is_empty() {
            all.add(ends, flat);
        }
        Ok(all)
    }

    fn add(&mut self, ends: Vec<i32>, mut flat: Vec<i32>) {
        // A buffer has at least one number.
        flat.resize(flat.len().max(1), 0);
        let passages = ends.len();
        let there = |numbers: Vec<i32>| {
            let count = numbers.len();
            Tensor::from_data(TensorData::new(numbers, [count]), &self.device)
        };
        self.parts.push(Part { ends: there(ends), bags: there(flat), passages });
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| 4 * (part.passages + part.bags.dims()[0]) as u64).sum()
    }

    /// The `m` best passages of each question by <q, BoT(d)>: ordinals with scores, best first, ties to the lower ordinal.
    /// `weights`: the questions' vectors, row-major [questions, dims].
    ///
    /// Sums run in ascending order of the dimensions, so scores are those of a search on the CPU, bit for bit.
    pub fn best(&self, weights: &[f32], m: usize) -> Vec<Vec<(u32, f32)>> {
        let questions = weights.len() / self.dims.max(1);
        let mut best = vec![Vec::new(); questions];
        let mut base = 0;
        for part in &self.parts {
            let keep = m.min(part.passages);
            let at_once = (self.most / 4 / part.passages.max(self.dims) as u64).max(1) as usize;
            for (chunk, weights) in weights.chunks((at_once * self.dims).max(1)).enumerate() {
                if keep == 0 {
                    break;
                }
                for (i, found) in part.best(weights, self.dims, keep, &self.device).into_iter().enumerate() {
                    best[chunk * at_once + i].extend(found.into_iter().map(|(place, score)| (base + place, score)));
                }
            }
            base += part.passages as u32;
        }
        if self.parts.len() > 1 {
            best.iter_mut().for_each(|found| cut(found, m));
        }
        best
    }
}

impl Part {
    fn best(&self, weights: &[f32], dims: usize, m: usize, device: &Device) -> Vec<Vec<(u32, f32)>> {
        if !shader::runs(device) {
            return plain(&to_ids(self.ends.clone()), &to_ids(self.bags.clone()), weights, dims, m);
        }
        let questions = weights.len() / dims;
        let weights: Tensor<2> = from_vec(weights.to_vec(), [questions, dims], device);
        let (values, places) = shader::best_bags(weights, self.ends.clone(), self.bags.clone(), m);
        let (values, places) = (to_vec(values), to_ids(places));
        values
            .chunks(m)
            .zip(places.chunks(m))
            .map(|(v, p)| p.iter().copied().zip(v.iter().copied()).collect())
            .collect()
    }
}

/// The same in loops.
fn plain(ends: &[u32], bags: &[u32], weights: &[f32], dims: usize, m: usize) -> Vec<Vec<(u32, f32)>> {
    let of = |weights: &[f32]| {
        let mut start = 0;
        let scores = ends.iter().enumerate().map(|(place, &end)| {
            let bag = &bags[start..end as usize];
            start = end as usize;
            (place as u32, bag.iter().map(|&dim| weights[dim as usize]).sum::<f32>() + 0.0)
        });
        let mut found: Vec<(u32, f32)> = scores.collect();
        cut(&mut found, m);
        found
    };
    weights.par_chunks(dims).map(of).collect()
}

/// The `m` best, best first, ties to the lower place.
fn cut(found: &mut Vec<(u32, f32)>, m: usize) {
    found.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found.truncate(m);
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn parts_give_what_the_whole_gives() {
        let bags: Vec<Vec<u32>> = (0..100u32).map(|p| (0..20).filter(|d| (p * 7 + d * d) % 5 < 2).collect()).collect();
        let weights: Vec<f32> = (0..60).map(|i| (i * 37 % 11) as f32 / 4.0).collect();
        let all = || bags.iter().cloned().map(Ok::<_, Infallible>);
        let Ok(whole) = Bags::new(all(), 20, &Device::flex());
        let Ok(cut) = Bags::within(all(), 20, &Device::flex(), 256);
        assert!(cut.parts.len() > 10);
        for m in [0, 1, 7, 100, 1000] {
            let found = whole.best(&weights, m);
            assert_eq!(found.len(), 3);
            assert!(found.iter().all(|found| found.len() == m.min(100)));
            assert_eq!(cut.best(&weights, m), found);
        }
        let best = whole.best(&weights, 100);
        for (question, found) in best.iter().enumerate() {
            for &(place, score) in found {
                let bag = &bags[place as usize];
                assert_eq!(score, bag.iter().map(|&dim| weights[20 * question + dim as usize]).sum::<f32>());
            }
            assert!(found.is_sorted_by(|a, b| a.1 > b.1 || (a.1 == b.1 && a.0 < b.0)));
        }
    }
}
