//! Products of views and attention's probabilities as operations of burn, with their gradients.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::launch::{Shader, dim, empty, flat, launch, nothing, shader};
use super::layers::Back;
use super::{THREADS, on_units};
use crate::Units;

/// How a product is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What multiplies numbers in 16 bits; none: they stay in 32.
    pub(crate) units: Option<Units>,
    /// Whether the rows lie outside of the second index, [first, rows, second, columns]: for heads that are put beside each
    /// other.
    pub(crate) beside: bool,
}

/// left rightᵀ + bias, for sides [rows, depth] and [columns, depth], or batches of them with two indices in front. They may be
/// views. On units, numbers that lie behind each other come in fours.
pub(crate) fn product<const D: usize>(
    left: Tensor<D>,
    right: Tensor<D>,
    bias: Option<Tensor<1>>,
    plan: Plan,
) -> Tensor<D> {
    let (left, right, biased) = (left.into_dispatch(), right.into_dispatch(), bias.is_some());
    let bias = bias.map_or_else(|| left.clone(), Tensor::into_dispatch);
    Tensor::from_dispatch(<Dispatch as Products>::product(left, right, bias, biased, plan))
}

/// Softmax of each row of `scores` [batch, heads, rows, length], times `factor`, over the text's real positions; without lengths
/// over the positions up to the row's own, where each head's rows are any number of texts' positions. 0 elsewhere.
pub(crate) fn probabilities(scores: Tensor<4>, lengths: Option<&[usize]>, factor: f32) -> Tensor<4> {
    let lengths = lengths.into_iter().flatten().map(|&n| n as u32).collect();
    Tensor::from_dispatch(<Dispatch as Products>::probabilities(scores.into_dispatch(), lengths, factor))
}

#[backend_extension(Cube, Autodiff)]
trait Products: Backend {
    /// Unless it is `biased`, the bias is anything.
    fn product(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        biased: bool,
        plan: Plan,
    ) -> FloatTensor<Self>;

    fn probabilities(scores: FloatTensor<Self>, lengths: Vec<u32>, factor: f32) -> FloatTensor<Self>;
}

/// What only a way back calls.
trait BackProducts: Products + Back {
    /// The largest size of a gradient's numbers, [1], where its products need it.
    fn largest_size(gradient: FloatTensor<Self>, plan: Plan) -> Option<FloatTensor<Self>>;

    /// A product whose left side, of that largest size, is brought to one that 16 bits hold: gradients are of any size.
    fn scaled_product(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        largest: Option<FloatTensor<Self>>,
        plan: Plan,
    ) -> FloatTensor<Self>;

    fn probabilities_back(
        probabilities: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factor: f32,
    ) -> FloatTensor<Self>;
}

/// A product as it is launched.
pub(super) struct Call {
    /// [.., rows, depth], a view.
    pub(super) left: CubeTensor,
    /// [.., columns, depth], likewise.
    pub(super) right: CubeTensor,
    /// [columns]
    pub(super) bias: Option<CubeTensor>,
    /// First and second indices.
    pub(super) batch: [usize; 2],
    /// Rows, columns and depth.
    pub(super) sizes: [usize; 3],
    /// In how many parts the depth is divided, and how deep each is.
    pub(super) parts: [usize; 2],
    /// Strides of what comes out, [parts, .., rows, columns]: of a row, of the first and of the second index, of a part.
    pub(super) out: [usize; 4],
}

/// How the work is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    /// Rows and columns of a workgroup's tile.
    pub(super) side: usize,
    /// How much depth a workgroup takes at a time.
    pub(super) deep: usize,
}

const TILES: Tiles = Tiles { side: 128, deep: 8 };

impl Call {
    /// Workgroups, for tiles of that side.
    pub(super) fn groups(&self, side: usize) -> [usize; 3] {
        let [rows, columns, _] = self.sizes;
        [columns.div_ceil(side), rows.div_ceil(side), self.batch[0] * self.batch[1] * self.parts[0]]
    }

    /// In numbers of 32 bits.
    fn launch(&self, out: &CubeTensor) {
        let [rows, columns, depth] = self.sizes;
        let [left, right] = [&self.left, &self.right].map(|side| {
            let strides = side.meta.strides();
            let rank = strides.len();
            let [first, second] = if rank == 4 { [strides[0], strides[1]] } else { [0, 0] };
            [strides[rank - 2], strides[rank - 1], first, second]
        });
        let head = [rows, columns, depth, self.batch[1], self.parts[0], self.parts[1]];
        let sizes: Vec<u32> =
            head.into_iter().chain(left).chain(right).chain(self.out).map(|size| size as u32).collect();
        // Neighbours bring what lies behind each other.
        let turned = |[row, deep, ..]: [usize; 4]| deep != 1 && row == 1;
        let shader = product_shader(turned(left), turned(right), self.bias.is_some());
        let bias = self.bias.clone().unwrap_or_else(|| nothing(out));
        launch(shader, self.groups(TILES.side), [16, 16], &[&self.left, &self.right, &bias, out], &sizes);
    }
}

fn product_shader(left_turned: bool, right_turned: bool, biased: bool) -> Shader {
    shader!("product")
        .with("const LEFT_TURNED: bool", left_turned)
        .with("const RIGHT_TURNED: bool", right_turned)
        .with("const BIASED: bool", biased)
}

fn softmax_shader(causal: bool) -> Shader {
    shader!("softmax").with("const CAUSAL: bool", causal)
}

/// In how many parts a depth is divided, so that there is work for a whole card, and how deep each is.
fn parts(tiles: usize, depth: usize, deep: usize) -> [usize; 2] {
    const WORKGROUPS: usize = 256;
    const LEAST: usize = 256;
    let wanted = (WORKGROUPS / tiles.max(1)).clamp(1, 16).min(depth / LEAST).max(1);
    let part = depth.div_ceil(wanted).next_multiple_of(deep);
    [depth.div_ceil(part), part]
}

/// left rightᵀ + bias; with the largest size of the left side, that is brought to a size that 16 bits hold.
fn multiply(
    left: CubeTensor,
    right: CubeTensor,
    bias: Option<CubeTensor>,
    largest: Option<CubeTensor>,
    plan: Plan,
) -> CubeTensor {
    let rank = left.meta.shape().len();
    let (rows, columns, depth) = (dim(&left, rank - 2), dim(&right, rank - 2), dim(&left, rank - 1));
    let [firsts, seconds] = if rank == 4 { [dim(&left, 0), dim(&left, 1)] } else { [1, 1] };
    let tiles = plan.units.map_or(TILES, on_units::tiles);
    let count = columns.div_ceil(tiles.side) * rows.div_ceil(tiles.side) * firsts * seconds;
    let parts = parts(count, depth, tiles.deep);
    // What is in parts gets its bias behind their sum.
    let (bias, bias_behind) = if parts[0] == 1 { (bias, None) } else { (None, bias) };
    // One part behind the other; in each the rows outside of the second index, or inside of it.
    let inner = if plan.beside { [rows, seconds] } else { [seconds, rows] };
    let lines = firsts * inner[0] * inner[1];
    let out = empty(&left, [parts[0], lines, columns].into(), DType::F32);
    let (row, second) = if plan.beside { (seconds * columns, columns) } else { (columns, rows * columns) };
    let call = Call {
        left,
        right,
        bias: bias.map(into_contiguous),
        batch: [firsts, seconds],
        sizes: [rows, columns, depth],
        parts,
        out: [row, seconds * rows * columns, second, lines * columns],
    };
    match plan.units {
        Some(units) => on_units::launch_product(call, largest, units, &out),
        None => call.launch(&out),
    }
    let mut out = if parts[0] == 1 { out } else { CubeBackend::float_sum_dim(out, 0) };
    if let Some(bias) = bias_behind {
        out = CubeBackend::float_add(out, CubeBackend::float_reshape(bias, Shape::from([1, 1, columns])));
    }
    if rank == 2 {
        return CubeBackend::float_reshape(out, Shape::from([rows, columns]));
    }
    let out = CubeBackend::float_reshape(out, Shape::from([firsts, inner[0], inner[1], columns]));
    if plan.beside { CubeBackend::float_swap_dims(out, 1, 2) } else { out }
}

impl Products for CubeBackend {
    fn product(left: CubeTensor, right: CubeTensor, bias: CubeTensor, biased: bool, plan: Plan) -> CubeTensor {
        multiply(left, right, biased.then_some(bias), None, plan)
    }

    fn probabilities(scores: CubeTensor, lengths: Vec<u32>, factor: f32) -> CubeTensor {
        let scores = into_contiguous(scores);
        let shape = scores.meta.shape().clone();
        let (heads, length) = (shape[1], shape[3]);
        let rows = shape.num_elements() / length.max(1);
        let sizes = [(heads * shape[2]) as u32, length as u32, rows as u32, factor.to_bits()];
        let shader = softmax_shader(lengths.is_empty());
        let sizes: Vec<u32> = sizes.into_iter().chain(lengths).collect();
        let out = empty(&scores, shape, DType::F32);
        launch(shader, flat(rows.div_ceil(8)), [THREADS as u32, 1], &[&scores, &out], &sizes);
        out
    }
}

impl BackProducts for CubeBackend {
    fn largest_size(gradient: CubeTensor, plan: Plan) -> Option<CubeTensor> {
        plan.units.map(|_| on_units::largest_size(gradient))
    }

    fn scaled_product(left: CubeTensor, right: CubeTensor, largest: Option<CubeTensor>, plan: Plan) -> CubeTensor {
        multiply(left, right, None, largest, plan)
    }

    fn probabilities_back(probabilities: CubeTensor, gradient: CubeTensor, factor: f32) -> CubeTensor {
        let (probabilities, gradient) = (into_contiguous(probabilities), into_contiguous(gradient));
        let shape = probabilities.meta.shape().clone();
        let length = shape[shape.len() - 1];
        let rows = shape.num_elements() / length.max(1);
        let sizes = [length as u32, rows as u32, factor.to_bits()];
        let out = empty(&probabilities, shape, DType::F32);
        let tensors = [&probabilities, &gradient, &out];
        launch(shader!("softmax_back"), flat(rows.div_ceil(8)), [THREADS as u32, 1], &tensors, &sizes);
        out
    }
}

impl<B: BackProducts, C: CheckpointStrategy> Products for Autodiff<B, C> {
    fn product(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        biased: bool,
        plan: Plan,
    ) -> FloatTensor<Self> {
        let ((left, of_left), (right, of_right)) = (left.into_parts(), right.into_parts());
        let (bias, of_bias) = bias.into_parts();
        match Product.prepare::<C>([of_left, of_right, of_bias]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept = (left.clone(), right.clone(), biased, plan);
                prep.finish(kept, B::product(left, right, bias, biased, plan))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::product(left, right, bias, biased, plan)),
        }
    }

    fn probabilities(scores: FloatTensor<Self>, lengths: Vec<u32>, factor: f32) -> FloatTensor<Self> {
        let (scores, guard) = scores.into_parts();
        match Softmax.prepare::<C>([guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let found = B::probabilities(scores, lengths, factor);
                prep.finish((found.clone(), factor), found)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::probabilities(scores, lengths, factor)),
        }
    }
}

/// Gradients of the sides of a product from that of what it gives.
fn sides_back<B: BackProducts>(
    grad: &FloatTensor<B>,
    left: FloatTensor<B>,
    right: FloatTensor<B>,
    plan: Plan,
    wanted: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let plan = Plan { beside: false, ..plan };
    let turned = |tensor: FloatTensor<B>| {
        let rank = tensor.shape().num_dims();
        B::float_swap_dims(tensor, rank - 2, rank - 1)
    };
    let largest = B::largest_size(grad.clone(), plan);
    let left_grad = wanted[0].then(|| B::scaled_product(grad.clone(), turned(right), largest.clone(), plan));
    let right_grad = wanted[1].then(|| B::scaled_product(turned(grad.clone()), turned(left), largest, plan));
    [left_grad, right_grad]
}

#[derive(Debug)]
struct Product;

impl<B: BackProducts> Backward<B, 3> for Product {
    type State = (FloatTensor<B>, FloatTensor<B>, bool, Plan);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (left, right, biased, plan) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let [for_left, for_right, for_bias] = ops.parents;
        let wanted = [for_left.is_some(), for_right.is_some()];
        let [left, right] = sides_back::<B>(&grad, left, right, plan, wanted);
        let bias = (biased && for_bias.is_some()).then(|| B::column_sums(grad));
        for (node, found) in [(for_left, left), (for_right, right), (for_bias, bias)] {
            if let (Some(node), Some(found)) = (node, found) {
                grads.register::<B>(node.id, found);
            }
        }
    }
}

#[derive(Debug)]
struct Softmax;

impl<B: BackProducts> Backward<B, 1> for Softmax {
    type State = (FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (probabilities, factor) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::probabilities_back(probabilities, grad, factor));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_found_in_the_files_and_leaves_them_valid() {
        let bits = |n: u32| [1, 2, 4].map(|bit| n & bit != 0);
        let mut all: Vec<Shader> =
            (0..8).map(bits).map(|[left, right, biased]| product_shader(left, right, biased)).collect();
        all.extend([softmax_shader(false), softmax_shader(true), shader!("softmax_back")]);
        super::super::launch::assert_valid(all);
    }

    #[test]
    fn a_depth_is_divided_where_there_are_few_tiles() {
        assert_eq!(parts(48, 768, 8), [3, 256]);
        assert_eq!(parts(1, 100, 8), [1, 104]);
        assert_eq!(parts(1000, 4096, 8), [1, 4096]);
        assert_eq!(parts(1, 30522, 32), [16, 1920]);
    }
}
