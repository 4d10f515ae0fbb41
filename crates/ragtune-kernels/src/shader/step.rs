//! The shaders of an optimiser's step.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::THREADS;
use super::launch::{Shader, empty, flat, launch, shader};
use crate::AdamWStep;

/// [`adamw`](crate::adamw) in one launch.
pub(crate) fn adamw<const D: usize>(
    weight: Tensor<D>,
    grad: Tensor<D>,
    moments: (Tensor<D>, Tensor<D>),
    step: &AdamWStep,
) -> (Tensor<D>, Tensor<D>, Tensor<D>) {
    let [weight, grad, first, second] = [weight, grad, moments.0, moments.1].map(Tensor::into_dispatch);
    let found = <Dispatch as Steps>::adamw(weight, grad, first, second, *step);
    (Tensor::from_dispatch(found.0), Tensor::from_dispatch(found.1), Tensor::from_dispatch(found.2))
}

/// Sums of squares of parts of a tensor, [parts].
pub(crate) fn squares(tensor: Tensor<1>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as Steps>::squares(tensor.into_dispatch()))
}

#[backend_extension(Cube)]
trait Steps: Backend {
    fn adamw(
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn squares(tensor: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl Steps for CubeBackend {
    fn adamw(
        weight: CubeTensor,
        grad: CubeTensor,
        first: CubeTensor,
        second: CubeTensor,
        step: AdamWStep,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [weight, grad, first, second] = [weight, grad, first, second].map(into_contiguous);
        let shape = weight.meta.shape().clone();
        let count = shape.num_elements();
        let [new, new_first, new_second] = [(); 3].map(|()| empty(&weight, shape.clone(), DType::F32));
        let (of_first, of_second) = step.corrections();
        let told = [step.lr, step.beta1, step.beta2, step.eps, step.weight_decay, step.grad_scale, of_first, of_second];
        let sizes: Vec<u32> = std::iter::once(count as u32).chain(told.map(f32::to_bits)).collect();
        let tensors = [&weight, &grad, &first, &second, &new, &new_first, &new_second];
        launch(shader!("adamw"), flat(count.div_ceil(THREADS)), [THREADS as u32, 1], &tensors, &sizes);
        (new, new_first, new_second)
    }

    fn squares(tensor: CubeTensor) -> CubeTensor {
        reduced(&into_contiguous(tensor), false)
    }
}

/// Of parts of a tensor, whose numbers lie in whatever order, the sum of squares or the largest size, [at most 256].
pub(super) fn reduced(tensor: &CubeTensor, largest: bool) -> CubeTensor {
    let count = tensor.meta.num_elements();
    let groups = count.div_ceil(8 * THREADS).clamp(1, THREADS);
    let out = empty(tensor, [groups].into(), DType::F32);
    launch(reduced_shader(largest), [groups, 1, 1], [THREADS as u32, 1], &[tensor, &out], &[count as u32]);
    out
}

fn reduced_shader(largest: bool) -> Shader {
    shader!("reduced").with("const LARGEST: bool", largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_found_in_the_file_and_leaves_it_valid() {
        super::super::launch::assert_valid([true, false].map(reduced_shader).into());
    }
}
