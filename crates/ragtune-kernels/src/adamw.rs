//! One AdamW update of one weight, in one pass over it.

use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::{from_vec, is_cpu, shader, to_vec};

/// The scalars of one update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate of this step.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Factor on the gradient (from clipping).
    pub grad_scale: f32,
    /// Number of this step, from 1.
    pub step: u32,
}

impl AdamWStep {
    /// What the moments are divided by, because they begin at 0.
    pub(crate) fn corrections(&self) -> (f32, f32) {
        let correct = |beta: f32| (1.0 - f64::from(beta).powf(f64::from(self.step))) as f32;
        (correct(self.beta1), correct(self.beta2))
    }
}

/// The updated weight and its two moments. All tensors have the same shape and no tape.
pub fn adamw<const D: usize>(
    weight: Tensor<D>,
    grad: Tensor<D>,
    moments: (Tensor<D>, Tensor<D>),
    step: &AdamWStep,
) -> (Tensor<D>, Tensor<D>, Tensor<D>) {
    let device = weight.device();
    if shader::runs(&device) {
        return shader::adamw(weight, grad, moments, step);
    }
    if !is_cpu(&device) {
        return device_form(weight, grad, moments, step);
    }
    let shape = weight.dims();
    let (mut w, g) = (to_vec(weight), to_vec(grad));
    let (mut m, mut v) = (to_vec(moments.0), to_vec(moments.1));
    let (c1, c2) = step.corrections();
    let block = 1 << 14;
    (w.par_chunks_mut(block), m.par_chunks_mut(block), v.par_chunks_mut(block), g.par_chunks(block))
        .into_par_iter()
        .for_each(|(w, m, v, g)| {
            for i in 0..w.len() {
                let g = g[i] * step.grad_scale;
                m[i] = step.beta1 * m[i] + (1.0 - step.beta1) * g;
                v[i] = step.beta2 * v[i] + (1.0 - step.beta2) * g * g;
                let update = (m[i] / c1) / ((v[i] / c2).sqrt() + step.eps);
                w[i] -= step.lr * (update + step.weight_decay * w[i]);
            }
        });
    (from_vec(w, shape, &device), from_vec(m, shape, &device), from_vec(v, shape, &device))
}

fn device_form<const D: usize>(
    weight: Tensor<D>,
    grad: Tensor<D>,
    moments: (Tensor<D>, Tensor<D>),
    step: &AdamWStep,
) -> (Tensor<D>, Tensor<D>, Tensor<D>) {
    let (c1, c2) = step.corrections();
    let g = grad * step.grad_scale;
    let m = moments.0 * step.beta1 + g.clone() * (1.0 - step.beta1);
    let v = moments.1 * step.beta2 + g.square() * (1.0 - step.beta2);
    let update = (m.clone() / c1) / ((v.clone() / c2).sqrt() + step.eps);
    let weight = weight.clone() - (update + weight * step.weight_decay) * step.lr;
    (weight, m, v)
}

/// Sum of the squares of all numbers of tensors on one device: in double precision, in blocks whose order does not depend on the
/// number of threads, on the CPU; of parts summed in single precision on a GPU, with one wait for all of them.
pub fn sum_of_squares(tensors: Vec<Tensor<1>>) -> f64 {
    let on_gpu = tensors.first().is_some_and(|tensor| shader::runs(&tensor.device()));
    if on_gpu {
        let parts = Tensor::cat(tensors.into_iter().map(shader::squares).collect(), 0);
        return to_vec(parts).into_iter().map(f64::from).sum();
    }
    let squares = |tensor: Tensor<1>| {
        let values = to_vec(tensor);
        let parts: Vec<f64> =
            values.par_chunks(1 << 14).map(|part| part.iter().map(|&x| f64::from(x) * f64::from(x)).sum()).collect();
        parts.iter().sum::<f64>()
    };
    tensors.into_iter().map(squares).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_fused_twin_equals_the_tensor_form() {
        let device = Device::flex();
        let tensor = |scale: f32| -> Tensor<1> {
            from_vec((0..40_000).map(|i| scale * ((i % 97) as f32 - 48.0)).collect(), [40_000], &device)
        };
        let step =
            AdamWStep { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, grad_scale: 0.5, step: 3 };
        let moments = || (tensor(0.02), tensor(0.1).square());
        let fused = adamw(tensor(0.3), tensor(0.7), moments(), &step);
        let plain = device_form(tensor(0.3), tensor(0.7), moments(), &step);
        for (a, b) in [(fused.0, plain.0), (fused.1, plain.1), (fused.2, plain.2)] {
            for (a, b) in to_vec(a).iter().zip(to_vec(b)) {
                assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{a} {b}");
            }
        }
    }

    #[test]
    fn the_sum_of_squares_is_exact_on_integers() {
        let x: Tensor<1> = from_vec(vec![3.0; 100_000], [100_000], &Device::flex());
        assert_eq!(sum_of_squares(vec![x.clone(), x]), 1_800_000.0);
    }
}
