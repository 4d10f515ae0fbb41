//! The shaders of what stands between a layer's products, with their gradients.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::THREADS;
use super::launch::{Shader, empty, flat, launch, nothing, shader};
use crate::layers::Gate;

/// Widest rows of `norm_back.wgsl`.
pub(crate) const WIDEST: usize = 8 * THREADS;
/// Rows that a workgroup of it takes.
const ROWS: usize = 16;
/// Rows that a thread of `column_sums.wgsl` takes at first.
const PART: usize = 64;

/// x times the share of a normal distribution that is below it; `tanh`: the form with a hyperbolic tangent.
pub(crate) fn gelu<const D: usize>(x: Tensor<D>, tanh: bool) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as Layers>::activation(x.into_dispatch(), tanh))
}

/// LayerNorm over the last dimension, at most [`WIDEST`], of `x`, or of `x` and what is added to it.
pub(crate) fn norm<const D: usize>(
    x: Tensor<D>,
    added: Option<Tensor<D>>,
    gain: Tensor<1>,
    shift: Tensor<1>,
    eps: f64,
) -> Tensor<D> {
    let (x, gain, shift) = (x.into_dispatch(), gain.into_dispatch(), shift.into_dispatch());
    let sum = added.is_some();
    let added = added.map_or_else(|| x.clone(), Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as Layers>::norm(x, added, gain, shift, sum, eps as f32))
}

/// The last dimension brought to a mean square of 1, times the gain. Without a gradient.
pub(crate) fn root_norm<const D: usize>(x: Tensor<D>, gain: Tensor<1>, eps: f64) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as Forth>::root_norm(x.into_dispatch(), gain.into_dispatch(), eps as f32))
}

/// The activation of `gate` times `up`. Without a gradient.
pub(crate) fn gated<const D: usize>(kind: Gate, gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as Forth>::gated(gate.into_dispatch(), up.into_dispatch(), kind))
}

/// Turns what the cosines and sines [1 or batch, 1, length, half] cover of each head, for `x` [batch, heads, length, width].
pub(crate) fn turn(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Layers>::turn(x.into_dispatch(), cos.into_dispatch(), sin.into_dispatch()))
}

/// What has no gradient.
#[backend_extension(Cube)]
trait Forth: Backend {
    fn root_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, eps: f32) -> FloatTensor<Self>;

    fn gated(gate: FloatTensor<Self>, up: FloatTensor<Self>, kind: Gate) -> FloatTensor<Self>;
}

impl Forth for CubeBackend {
    fn root_norm(x: CubeTensor, gain: CubeTensor, eps: f32) -> CubeTensor {
        let shift = nothing(&gain);
        normed(x, None, gain, shift, eps, true).0
    }

    fn gated(gate: CubeTensor, up: CubeTensor, kind: Gate) -> CubeTensor {
        let (gate, up) = (into_contiguous(gate), into_contiguous(up));
        let count = gate.meta.num_elements();
        let out = empty(&gate, gate.meta.shape().clone(), DType::F32);
        let grid = flat(count.div_ceil(THREADS));
        launch(gate_shader(kind), grid, [THREADS as u32, 1], &[&gate, &up, &out], &[count as u32]);
        out
    }
}

#[backend_extension(Cube, Autodiff)]
trait Layers: Backend {
    fn turn(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self>;

    fn activation(x: FloatTensor<Self>, tanh: bool) -> FloatTensor<Self>;

    /// Unless it is the norm of a `sum`, what is added is anything.
    fn norm(
        x: FloatTensor<Self>,
        added: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        sum: bool,
        eps: f32,
    ) -> FloatTensor<Self>;
}

fn gate_shader(kind: Gate) -> Shader {
    shader!("gated").with("const KIND: u32", format!("{}u", kind as u32))
}

fn turn_shader(back: bool) -> Shader {
    shader!("turn").with("const BACK: bool", back)
}

fn activation_shader(tanh: bool, back: bool) -> Shader {
    shader!("activation").with("const TANH: bool", tanh).with("const BACK: bool", back)
}

fn norm_shader(added: bool, root: bool) -> Shader {
    shader!("norm").with("const ADDED: bool", added).with("const ROOT: bool", root)
}

fn norm_back_shader(added: bool) -> Shader {
    shader!("norm_back").with("const ADDED: bool", added)
}

/// The ways back, and what they need of the ways forth.
pub(super) trait Back: Backend {
    fn turn_back(grad: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self>;

    fn activation_back(x: FloatTensor<Self>, grad: FloatTensor<Self>, tanh: bool) -> FloatTensor<Self>;

    /// What is normed, with each row's mean and one over its standard deviation.
    fn norm_kept(
        x: FloatTensor<Self>,
        added: Option<FloatTensor<Self>>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of what was normed, of the gain and of the shift.
    fn norm_back(
        kept: Normed<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Sums [columns] of the columns of a matrix.
    fn column_sums(matrix: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// What a norm's way back needs.
#[derive(Debug, Clone)]
pub(super) struct Normed<B: Backend> {
    x: FloatTensor<B>,
    added: Option<FloatTensor<B>>,
    /// Mean and one over the standard deviation of each row.
    rows: FloatTensor<B>,
    gain: FloatTensor<B>,
}

fn activate(x: CubeTensor, grad: Option<CubeTensor>, tanh: bool) -> CubeTensor {
    let (x, grad) = (into_contiguous(x), grad.map(into_contiguous));
    let count = x.meta.num_elements();
    let out = empty(&x, x.meta.shape().clone(), DType::F32);
    let shader = activation_shader(tanh, grad.is_some());
    let grad = grad.unwrap_or_else(|| nothing(&x));
    let tensors = [&x, &grad, &out];
    launch(shader, flat(count.div_ceil(THREADS)), [THREADS as u32, 1], &tensors, &[count as u32]);
    out
}

/// What is normed, with each row's mean and one over its standard deviation; `root`: to a mean square of 1 alone.
fn normed(
    x: CubeTensor,
    added: Option<CubeTensor>,
    gain: CubeTensor,
    shift: CubeTensor,
    eps: f32,
    root: bool,
) -> (CubeTensor, CubeTensor) {
    let (x, added) = (into_contiguous(x), added.map(into_contiguous));
    let (gain, shift) = (into_contiguous(gain), into_contiguous(shift));
    let width = gain.meta.num_elements();
    let rows = x.meta.num_elements() / width.max(1);
    let out = empty(&x, x.meta.shape().clone(), DType::F32);
    let kept = empty(&x, [rows, 2].into(), DType::F32);
    let sum = added.is_some();
    let added = added.unwrap_or_else(|| nothing(&x));
    let tensors = [&x, &added, &gain, &shift, &out, &kept];
    let sizes = [rows as u32, width as u32, eps.to_bits()];
    launch(norm_shader(sum, root), flat(rows.div_ceil(4)), [THREADS as u32, 1], &tensors, &sizes);
    (out, kept)
}

fn turned(x: CubeTensor, cos: CubeTensor, sin: CubeTensor, back: bool) -> CubeTensor {
    let x = if x.meta.strides()[3] == 1 { x } else { into_contiguous(x) };
    let (cos, sin) = (into_contiguous(cos), into_contiguous(sin));
    let shape = x.meta.shape().clone();
    let count = shape.num_elements();
    let out = empty(&x, shape.clone(), DType::F32);
    let strides = x.meta.strides();
    let of_angles = cos.meta.shape();
    let head = [shape[1], shape[2], shape[3], of_angles[3], of_angles[0]];
    let sizes = head.into_iter().chain([strides[0], strides[1], strides[2], count]).map(|n| n as u32);
    let sizes: Vec<u32> = sizes.collect();
    let grid = flat(count.div_ceil(THREADS));
    launch(turn_shader(back), grid, [THREADS as u32, 1], &[&x, &cos, &sin, &out], &sizes);
    out
}

impl Layers for CubeBackend {
    fn turn(x: CubeTensor, cos: CubeTensor, sin: CubeTensor) -> CubeTensor {
        turned(x, cos, sin, false)
    }

    fn activation(x: CubeTensor, tanh: bool) -> CubeTensor {
        activate(x, None, tanh)
    }

    fn norm(x: CubeTensor, added: CubeTensor, gain: CubeTensor, shift: CubeTensor, sum: bool, eps: f32) -> CubeTensor {
        Self::norm_kept(x, sum.then_some(added), gain, shift, eps).0
    }
}

impl Back for CubeBackend {
    fn turn_back(grad: CubeTensor, cos: CubeTensor, sin: CubeTensor) -> CubeTensor {
        turned(grad, cos, sin, true)
    }

    fn activation_back(x: CubeTensor, grad: CubeTensor, tanh: bool) -> CubeTensor {
        activate(x, Some(grad), tanh)
    }

    fn norm_kept(
        x: CubeTensor,
        added: Option<CubeTensor>,
        gain: CubeTensor,
        shift: CubeTensor,
        eps: f32,
    ) -> (CubeTensor, CubeTensor) {
        normed(x, added, gain, shift, eps, false)
    }

    fn norm_back(kept: Normed<Self>, grad: CubeTensor) -> (CubeTensor, CubeTensor, CubeTensor) {
        let grad = into_contiguous(grad);
        let (x, added, gain) = (into_contiguous(kept.x), kept.added.map(into_contiguous), into_contiguous(kept.gain));
        let width = gain.meta.num_elements();
        let rows = x.meta.num_elements() / width.max(1);
        let parts = rows.div_ceil(ROWS);
        let back = empty(&x, x.meta.shape().clone(), DType::F32);
        let sums = empty(&x, [parts, 2 * width].into(), DType::F32);
        let shader = norm_back_shader(added.is_some());
        let added = added.unwrap_or_else(|| nothing(&x));
        let tensors = [&x, &added, &kept.rows, &gain, &grad, &back, &sums];
        launch(shader, [parts, 1, 1], [THREADS as u32, 1], &tensors, &[rows as u32, width as u32]);
        let sums = Self::float_reshape(Self::column_sums(sums), Shape::from([2, width]));
        let row = |i: usize| {
            let part = Self::float_slice(sums.clone(), &[(i..i + 1).into(), (0..width).into()]);
            Self::float_reshape(part, Shape::from([width]))
        };
        (back, row(0), row(1))
    }

    fn column_sums(matrix: CubeTensor) -> CubeTensor {
        let mut matrix = into_contiguous(matrix);
        let columns = matrix.meta.shape()[1];
        let mut rows = matrix.meta.shape()[0];
        // Over parts, until there is one.
        loop {
            let parts = rows.div_ceil(PART).max(1);
            let sums = empty(&matrix, [parts, columns].into(), DType::F32);
            let sizes = [rows, columns, PART].map(|n| n as u32);
            let grid = [columns.div_ceil(THREADS), parts, 1];
            launch(shader!("column_sums"), grid, [THREADS as u32, 1], &[&matrix, &sums], &sizes);
            (matrix, rows) = (sums, parts);
            if parts == 1 {
                return Self::float_reshape(matrix, Shape::from([columns]));
            }
        }
    }
}

impl<B: Layers + Back, C: CheckpointStrategy> Layers for Autodiff<B, C> {
    fn turn(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, guard), cos, sin) = (x.into_parts(), cos.into_primitive(), sin.into_primitive());
        match Turned.prepare::<C>([guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((cos.clone(), sin.clone()), B::turn(x, cos, sin)),
            OpsKind::UnTracked(prep) => prep.finish(B::turn(x, cos, sin)),
        }
    }

    fn activation(x: FloatTensor<Self>, tanh: bool) -> FloatTensor<Self> {
        let (x, guard) = x.into_parts();
        match Activated.prepare::<C>([guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.clone(), tanh), B::activation(x, tanh)),
            OpsKind::UnTracked(prep) => prep.finish(B::activation(x, tanh)),
        }
    }

    fn norm(
        x: FloatTensor<Self>,
        added: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        sum: bool,
        eps: f32,
    ) -> FloatTensor<Self> {
        let ((x, of_x), (added, of_added)) = (x.into_parts(), added.into_parts());
        let ((gain, of_gain), (shift, of_shift)) = (gain.into_parts(), shift.into_parts());
        match NormedRows.prepare::<C>([of_x, of_added, of_gain, of_shift]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let added = sum.then_some(added);
                let (out, rows) = B::norm_kept(x.clone(), added.clone(), gain.clone(), shift, eps);
                prep.finish(Normed { x, added, rows, gain }, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::norm(x, added, gain, shift, sum, eps)),
        }
    }
}

#[derive(Debug)]
struct Turned;

impl<B: Back> Backward<B, 1> for Turned {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (cos, sin) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::turn_back(grad, cos, sin));
        }
    }
}

#[derive(Debug)]
struct Activated;

impl<B: Back> Backward<B, 1> for Activated {
    type State = (FloatTensor<B>, bool);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, tanh) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::activation_back(x, grad, tanh));
        }
    }
}

#[derive(Debug)]
struct NormedRows;

impl<B: Back> Backward<B, 4> for NormedRows {
    type State = Normed<B>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let sum = ops.state.added.is_some();
        let (back, of_gain, of_shift) = B::norm_back(ops.state, grad);
        let found = [Some(back.clone()), sum.then_some(back), Some(of_gain), Some(of_shift)];
        for (node, found) in ops.parents.into_iter().zip(found) {
            if let (Some(node), Some(found)) = (node, found) {
                grads.register::<B>(node.id, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_found_in_the_files_and_leaves_them_valid() {
        let both = [false, true];
        let pairs = || both.into_iter().flat_map(|a| both.map(|b| (a, b)));
        let mut all: Vec<Shader> = [Gate::Silu, Gate::Gelu, Gate::GeluTanh, Gate::Relu].map(gate_shader).into();
        all.extend(both.into_iter().flat_map(|x| [turn_shader(x), norm_back_shader(x)]));
        all.extend(pairs().flat_map(|(a, b)| [activation_shader(a, b), norm_shader(a, b)]));
        super::super::launch::assert_valid(all);
    }
}
