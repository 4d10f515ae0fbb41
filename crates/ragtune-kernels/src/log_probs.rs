//! Log-probabilities of chosen words under a softmax over the vocabulary.

use burn::tensor::{Tensor, activation};

use crate::shader::{self, ELSEWHERE};
use crate::to_vec;

/// log softmax(x Wᵀ)[i, words[i]] for states `x` [n, width] and the head `W` [vocabulary, width], which may lie in parts of
/// some rows each: n numbers. A `cap` bends logits to cap · tanh(logit / cap).
///
/// Logits are not written where the device runs the shaders: memory is n numbers for 1,024 words.
pub fn log_probs(
    states: &Tensor<2>,
    parts: impl IntoIterator<Item = Tensor<2>>,
    words: &[u32],
    cap: Option<f32>,
) -> Vec<f32> {
    if !shader::runs(&states.device()) {
        let logits = parts.into_iter().map(|part| states.clone().matmul(part.transpose())).collect();
        return of_logits(bent(Tensor::cat(logits, 1), cap), words);
    }
    let (mut sums, mut chosen) = (Vec::new(), Tensor::zeros([words.len()], &states.device()));
    let mut first = 0;
    for part in parts {
        let end = first + part.dims()[0] as u32;
        let own = words.iter().map(|&word| if (first..end).contains(&word) { word - first } else { ELSEWHERE });
        let (part_sums, part_chosen) = shader::log_sums(states.clone(), part, own.collect(), cap.unwrap_or(0.0));
        sums.push(part_sums);
        chosen = chosen + part_chosen;
        first = end;
    }
    let sums = Tensor::cat(sums, 1);
    let [n, strips, _] = sums.dims();
    let of = |i: usize| sums.clone().slice([0..n, 0..strips, i..i + 1]).reshape([n, strips]);
    let most = of(0).max_dim(1);
    let total = (of(1) * (of(0) - most.clone()).exp()).sum_dim(1);
    to_vec(chosen.reshape([n, 1]) - most - total.log())
}

/// The same for logits [n, vocabulary] that are there.
pub fn of_logits(logits: Tensor<2>, words: &[u32]) -> Vec<f32> {
    let ids = words.iter().map(|&word| word as i32).collect::<Vec<_>>();
    let ids = Tensor::from_data(burn::tensor::TensorData::new(ids, [words.len(), 1]), &logits.device());
    to_vec(activation::log_softmax(logits, 1).gather(1, ids))
}

/// Logits bent by a cap, where there is one.
pub fn bent(logits: Tensor<2>, cap: Option<f32>) -> Tensor<2> {
    match cap {
        Some(cap) => (logits / cap).tanh() * cap,
        None => logits,
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use crate::from_vec;

    use super::*;

    #[test]
    fn parts_give_what_the_whole_gives_and_probabilities_sum_to_one() {
        let device = Device::flex();
        let numbers = |n: usize, by: usize| (0..n).map(|i| (i * by % 101) as f32 / 50.0 - 1.0).collect::<Vec<f32>>();
        let states: Tensor<2> = from_vec(numbers(3 * 4, 37), [3, 4], &device);
        let head: Tensor<2> = from_vec(numbers(7 * 4, 53), [7, 4], &device);
        let parts = [head.clone().slice([0..5, 0..4]), head.clone().slice([5..7, 0..4])];
        for cap in [None, Some(2.0)] {
            let mut total = [0.0f32; 3];
            for word in 0..7 {
                let whole = log_probs(&states, [head.clone()], &[word; 3], cap);
                assert_eq!(log_probs(&states, parts.clone(), &[word; 3], cap), whole);
                total.iter_mut().zip(whole).for_each(|(total, log)| *total += log.exp());
            }
            assert!(total.iter().all(|total| (total - 1.0).abs() < 1e-5), "{total:?}");
        }
    }
}
