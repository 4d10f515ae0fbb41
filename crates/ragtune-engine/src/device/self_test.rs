//! Questions to a device whose answers are known from the CPU.

use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData, activation};
use ragtune_kernels::units::units;
use ragtune_kernels::{from_vec, log_probs, on_gpu, product, to_vec, vocab_max, vocab_max_in};
use ragtune_model::{BertConfig, Keep, Tower, Weight, Weights};
use ragtune_tune::{AdamW, OptimSettings};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::SeedableRng;

/// What was computed, with its numbers.
pub(super) type Answers = Vec<(&'static str, Vec<f32>)>;

/// Rows of the matrix products: one token, an odd number of them, whole tiles.
const ROWS: [(&str, usize); 3] =
    [("a matrix product of 1 row", 1), ("a matrix product of 535 rows", 535), ("a matrix product of 1,024 rows", 1024)];
/// Largest difference in 16 bits, relative.
const HALF: f32 = 1e-2;

/// The operation that a device got wrong, if there is one.
pub(super) fn wrong(computed: &Answers, expected: &Answers) -> Option<&'static str> {
    let mut both = computed.iter().zip(expected);
    both.find(|((_, got), (_, want))| !agree(got, want, 1e-3)).map(|((what, _), _)| *what)
}

fn agree(got: &[f32], want: &[f32], tolerance: f32) -> bool {
    got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() <= tolerance * w.abs().max(1.0))
}

/// Numbers without pattern in -1..1, the same everywhere.
fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(n).collect()
}

/// What the models are made of, on small inputs of odd sizes: asked at every start.
pub(super) fn short(device: &Device) -> Answers {
    let a: Tensor<2> = from_vec(numbers(33 * 17, 1), [33, 17], device);
    let b: Tensor<2> = from_vec(numbers(17 * 29, 2), [17, 29], device);
    let product = a.clone().matmul(b.clone());
    let (largest, at) = product.clone().max_dim_with_indices(1);
    let rows: Tensor<1, Int> = Tensor::from_data(TensorData::new(vec![32i32, 0, 7, 7], [4]), device);
    let columns: Tensor<2, Int> =
        Tensor::from_data(TensorData::new((0..33).map(|n| n % 29).collect::<Vec<i32>>(), [33, 1]), device);
    let states: Tensor<3> = from_vec(numbers(3 * 5 * 16, 3), [3, 5, 16], device);
    let words: Tensor<2> = from_vec(numbers(41 * 16, 4), [41, 16], device);
    vec![
        ("a matrix product", to_vec(product.clone())),
        ("softmax", to_vec(activation::softmax(product.clone(), 1))),
        ("a maximum", to_vec(largest)),
        ("the place of a maximum", to_vec(at.float())),
        ("a selection of rows", to_vec(a.select(0, rows))),
        ("a gathering of columns", to_vec(product.gather(1, columns))),
        ("the vocabulary maximum", to_vec(vocab_max(states, &[5, 2, 4], words).max)),
    ]
}

/// Products of the sizes that occur, probabilities, and a training step: asked once of each device and driver.
pub(super) fn long(device: &Device) -> Answers {
    let (depth, columns) = (96, 80);
    let right: Tensor<2> = from_vec(numbers(depth * columns, 6), [depth, columns], device);
    let product = |rows: usize| {
        let left: Tensor<2> = from_vec(numbers(rows * depth, 5), [rows, depth], device);
        to_vec(product::times_turned(left, right.clone().transpose()))
    };
    let mut answers: Answers = ROWS.into_iter().map(|(what, rows)| (what, product(rows))).collect();
    let states: Tensor<2> = from_vec(numbers(5 * 16, 7), [5, 16], device);
    let head: Tensor<2> = from_vec(numbers(1100 * 16, 8), [1100, 16], device);
    answers.push(("log-probabilities", log_probs(&states, [head], &[0, 1099, 7, 512, 1024], None)));
    answers.extend(training_step(device));
    answers
}

/// Vectors, gradients and an update of a tiny encoder.
fn training_step(device: &Device) -> Answers {
    let config = BertConfig {
        model_type: "bert".to_owned(),
        vocab_size: 41,
        hidden_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 32,
        max_position_embeddings: 16,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        hidden_act: "gelu".to_owned(),
        ..BertConfig::default()
    };
    let lexical: Vec<u32> = (3..41).collect();
    // Drawn on the host: the same on every device.
    let mut tower = Tower::init(config, &lexical, device, &mut Pcg64Mcg::seed_from_u64(9));
    let pass = tower.pass(&[&[3, 5, 8, 40, 1], &[7, 2]], Keep::Everything);
    let vectors = to_vec(pass.vectors.clone());
    let grad: Tensor<2> = from_vec(numbers(2 * lexical.len(), 10), [2, lexical.len()], device);
    let gradients = all(&tower.gradients(pass, grad));
    // The update is asked with gradients of its own: where one is nearly 0, its sign decides the first step.
    let mut given = Weights::default();
    for (at, (name, weight)) in tower.weights.iter().enumerate() {
        let values = numbers(weight.elements(), 11 + at as u32);
        given.insert(name.clone(), Weight::from_vec(values, &weight.shape(), device));
    }
    AdamW::new(OptimSettings::default()).step(&mut tower.weights, &given, 1e-2);
    vec![
        ("the vectors of an encoder", vectors),
        ("the gradients of a training step", gradients),
        ("an optimiser's step", all(&tower.weights)),
    ]
}

fn all(weights: &Weights) -> Vec<f32> {
    weights.iter().flat_map(|(_, weight)| weight.values()).collect()
}

/// Whether the device multiplies rightly in 16 bits; none where it does not say that it can.
pub(super) fn halves(device: &Device) -> Option<bool> {
    if !device.supports_dtype(FloatDType::F16) {
        return None;
    }
    let product = |device: &Device, half: bool| {
        let cast = |tensor: Tensor<2>| if half { tensor.cast(FloatDType::F16) } else { tensor };
        let left = cast(from_vec(numbers(33 * 64, 1), [33, 64], device));
        let right = cast(from_vec(numbers(64 * 29, 2), [64, 29], device));
        to_vec(left.matmul(right).cast(FloatDType::F32))
    };
    // The sum of 64 products of up to 1 is rounded at its own size.
    Some(near(&product(device, true), &product(&Device::flex(), false)))
}

/// Whether the device's matrix units multiply rightly, forth and back, and find the vocabulary's maxima; none where it has none
/// that are used.
pub(super) fn on_units(device: &Device) -> Option<bool> {
    units(device)?;
    let (rows, columns, depth) = (133, 76, 72);
    let answers = |device: &Device, half: bool| {
        let leaf = |seed: u32, rows: usize| {
            from_vec::<2>(numbers(rows * depth, seed), [rows, depth], device).autodiff().require_grad()
        };
        let (x, w) = (leaf(1, rows), leaf(2, columns));
        let product =
            if half { on_gpu::times_turned(&x, &w, None, true)? } else { x.clone().matmul(w.clone().transpose()) };
        let gradient = from_vec::<2>(numbers(rows * columns, 3), [rows, columns], device).autodiff();
        let mut found = (product.clone() * gradient.mul_scalar(1e-6)).sum().backward();
        let d_x = to_vec(x.grad_remove(&mut found)?.mul_scalar(1e6));
        let d_w = to_vec(w.grad_remove(&mut found)?.mul_scalar(1e6));
        let states = x.inner().reshape([7, 19, depth]);
        let largest = vocab_max_in(half, states, &[19, 1, 3, 18, 7, 16, 19], w.inner()).max;
        Some([to_vec(product.inner()), d_x, d_w, to_vec(largest)])
    };
    let (Some(got), Some(want)) = (answers(device, true), answers(&Device::flex(), false)) else { return Some(false) };
    Some(got.iter().zip(&want).all(|(got, want)| near(got, want)))
}

/// Whether sums are as far apart as 16 bits are at the size of the largest.
fn near(got: &[f32], want: &[f32]) -> bool {
    let most = want.iter().fold(1.0f32, |most, w| most.max(w.abs()));
    got.len() == want.len() && got.iter().zip(want).all(|(g, w)| (g - w).abs() <= HALF * most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_agrees_with_itself() {
        let (first, second) = (short(&Device::flex()), short(&Device::flex()));
        assert_eq!(wrong(&first, &second), None);
        let (first, second) = (long(&Device::flex()), long(&Device::flex()));
        assert_eq!(wrong(&first, &second), None);
        let numbers = |(_, numbers): &(_, Vec<f32>)| numbers.len() > 4 && numbers.iter().all(|x| x.is_finite());
        assert!(first.iter().all(numbers));
    }

    #[test]
    fn every_wrong_number_is_seen_and_named() {
        for answers in [short(&Device::flex()), long(&Device::flex())] {
            for at in 0..answers.len() {
                for bad in [0.5, f32::NAN] {
                    let mut broken = answers.clone();
                    broken[at].1[0] += bad;
                    assert_eq!(wrong(&broken, &answers), Some(answers[at].0));
                }
            }
        }
    }
}
