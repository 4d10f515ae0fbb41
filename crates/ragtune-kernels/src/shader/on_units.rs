//! The shaders for a card's matrix units as operations of burn, with their gradients.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Int, Shape, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::THREADS;
use super::launch::{Shader, dim, empty, flat, launch, nothing, shader};
use super::layers::Back;
use crate::Units;

/// How a product is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) units: Units,
    /// Whether the rows lie outside of the second index, [first, rows, second, columns]: for heads that are put beside each
    /// other.
    pub(crate) beside: bool,
}

/// left rightᵀ + bias, for sides [rows, depth] and [columns, depth], or batches of them with two indices in front. They may be
/// views. Numbers that lie behind each other come in fours.
pub(crate) fn product<const D: usize>(
    left: Tensor<D>,
    right: Tensor<D>,
    bias: Option<Tensor<1>>,
    plan: Plan,
) -> Tensor<D> {
    let (left, right) = (left.into_dispatch(), right.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => <Dispatch as OnUnits>::biased_product(left, right, bias.into_dispatch(), plan),
        None => <Dispatch as OnUnits>::product(left, right, plan),
    })
}

/// Softmax of each row of `scores` [batch, heads, rows, length], times `factor`, over the text's real positions; without lengths
/// over the positions up to the row's own, where each head's rows are any number of texts' positions. 0 elsewhere.
pub(crate) fn probabilities(scores: Tensor<4>, lengths: Option<&[usize]>, factor: f32, units: Units) -> Tensor<4> {
    let lengths = lengths.into_iter().flatten().map(|&n| n as u32).collect();
    Tensor::from_dispatch(<Dispatch as OnUnits>::probabilities(scores.into_dispatch(), lengths, factor, units))
}

/// [`vocab_max`](super::vocab_max) of numbers in 16 bits; the width is a multiple of 4.
pub(crate) fn vocab_max(
    hidden: Tensor<3>,
    lengths: &[usize],
    rows: Tensor<2>,
    units: Units,
) -> (Tensor<2>, Tensor<2, Int>) {
    let lengths = lengths.iter().map(|&n| n as u32).collect();
    let found = <Dispatch as HeadOnUnits>::vocab_max(hidden.into_dispatch(), rows.into_dispatch(), lengths, units);
    (Tensor::from_dispatch(found.0), Tensor::from_dispatch(found.1))
}

#[backend_extension(Cube)]
trait HeadOnUnits: Backend {
    fn vocab_max(
        states: FloatTensor<Self>,
        rows: FloatTensor<Self>,
        lengths: Vec<u32>,
        units: Units,
    ) -> (FloatTensor<Self>, IntTensor<Self>);
}

#[backend_extension(Cube, Autodiff)]
trait OnUnits: Backend {
    fn product(left: FloatTensor<Self>, right: FloatTensor<Self>, plan: Plan) -> FloatTensor<Self>;

    fn biased_product(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self>;

    fn probabilities(scores: FloatTensor<Self>, lengths: Vec<u32>, factor: f32, units: Units) -> FloatTensor<Self>;
}

/// What only a way back calls.
trait BackOnUnits: OnUnits + Back {
    /// The largest size of a tensor's numbers, [1].
    fn largest_size(tensor: FloatTensor<Self>) -> FloatTensor<Self>;

    /// A product whose left side, of that largest size, is brought to one that 16 bits hold: gradients are of any size.
    fn scaled_product(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        largest: FloatTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self>;

    fn probabilities_back(
        probabilities: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factor: f32,
        units: Units,
    ) -> FloatTensor<Self>;
}

impl HeadOnUnits for CubeBackend {
    fn vocab_max(states: CubeTensor, rows: CubeTensor, lengths: Vec<u32>, units: Units) -> (CubeTensor, CubeTensor) {
        let (states, rows) = (into_contiguous(states), into_contiguous(rows));
        let (batch, length, width, dims) = (dim(&states, 0), dim(&states, 1), dim(&states, 2), dim(&rows, 0));
        let sizes: Vec<u32> = [batch, length, width, dims].map(|n| n as u32).into_iter().chain(lengths).collect();
        let largest = empty(&states, [batch, dims].into(), DType::F32);
        let place = empty(&states, [batch, dims].into(), DType::I32);
        let tensors = [&states, &rows, &largest, &place];
        let grid = [batch, dims.div_ceil(units.tile()), 1];
        launch(vocab_max_shader(units), grid, [units.threads(), 1], &tensors, &sizes);
        (largest, place)
    }
}

/// How the sides of a product lie.
#[derive(Debug, Clone, Copy, Default)]
struct Sides {
    left: Side,
    right: Side,
    /// Whether the left side is brought to a size that 16 bits hold.
    scaled: bool,
    /// Whether a bias is added.
    biased: bool,
}

/// One side.
#[derive(Debug, Clone, Copy, Default)]
struct Side {
    /// Whether its rows lie behind each other instead of its depth.
    turned: bool,
    /// Whether it is of 16 bits in memory too.
    half: bool,
}

const LANES: &str = "const LANES: u32";

fn lanes(units: Units) -> String {
    format!("{}u", units.lanes)
}

/// A shader for the size of the units' squares and the lanes of a subgroup.
fn on(units: Units, shader: Shader) -> Shader {
    let square = |of: &str| format!("coop_mat{0}x{0}<{of}>", units.size);
    shader
        .with(LANES, lanes(units))
        .with("const UNIT: u32", format!("{}u", units.size))
        .with("alias LeftSquare", square("f16, A"))
        .with("alias RightSquare", square("f16, B"))
        .with("alias Sums", square("f32, C"))
}

impl Units {
    fn threads(self) -> u32 {
        8 * self.lanes
    }

    /// Rows and columns of a workgroup's tile.
    fn tile(self) -> usize {
        8 * self.size as usize
    }

    /// How much depth a workgroup takes at a time.
    fn deep(self) -> usize {
        2 * self.size as usize
    }
}

fn product_shader(units: Units, sides: Sides) -> Shader {
    let turned = |side: Side| if side.turned { "1u" } else { "0u" };
    let quad = |side: Side| if side.half { "vec4<f16>" } else { "vec4<f32>" };
    on(units, shader!("product"))
        .with("const LEFT_TURNED: u32", turned(sides.left))
        .with("const RIGHT_TURNED: u32", turned(sides.right))
        .with("const SCALED: bool", sides.scaled)
        .with("const BIASED: bool", sides.biased)
        .with("alias LeftQuad", quad(sides.left))
        .with("alias RightQuad", quad(sides.right))
}

fn vocab_max_shader(units: Units) -> Shader {
    on(units, shader!("vocab_max_units"))
}

fn softmax_shader(units: Units, causal: bool) -> Shader {
    shader!("softmax").with(LANES, lanes(units)).with("const CAUSAL: bool", causal)
}

fn softmax_back_shader(units: Units) -> Shader {
    shader!("softmax_back").with(LANES, lanes(units))
}

/// A side of a product: a view of what lies behind each other in fours, with its strides in fours.
struct Operand {
    tensor: CubeTensor,
    side: Side,
    stride: usize,
    first: usize,
    second: usize,
}

impl Operand {
    fn new(tensor: CubeTensor) -> Self {
        let fours = |tensor: &CubeTensor| {
            let strides = tensor.meta.strides();
            let rank = strides.len();
            let (rows, depth) = (strides[rank - 2], strides[rank - 1]);
            let inner = [(depth, rank - 1), (rows, rank - 2)].into_iter().find(|(stride, _)| *stride == 1)?.1;
            let others = (0..rank).filter(|axis| *axis != inner && tensor.meta.shape()[*axis] > 1);
            others.into_iter().all(|axis| strides[axis].is_multiple_of(4)).then_some(inner == rank - 2)
        };
        let (tensor, turned) = match fours(&tensor) {
            Some(turned) => (tensor, turned),
            None => (into_contiguous(tensor), false),
        };
        let strides = tensor.meta.strides();
        let rank = strides.len();
        let side = Side { turned, half: tensor.dtype == DType::F16 };
        let stride = strides[if turned { rank - 1 } else { rank - 2 }] / 4;
        let outer = |axis: usize| if rank == 4 { strides[axis] / 4 } else { 0 };
        let (first, second) = (outer(0), outer(1));
        Self { tensor, side, stride, first, second }
    }
}

/// In how many parts a depth is divided, so that there is work for a whole card, and how deep each is.
fn parts(tiles: usize, depth: usize, deep: usize) -> (usize, usize) {
    const WORKGROUPS: usize = 256;
    const LEAST: usize = 256;
    let wanted = (WORKGROUPS / tiles.max(1)).clamp(1, 16).min(depth / LEAST).max(1);
    let part = depth.div_ceil(wanted).next_multiple_of(deep);
    (depth.div_ceil(part), part)
}

/// Whether a view shows every number of its memory once, in whatever order.
fn is_whole(tensor: &CubeTensor) -> bool {
    let shape = tensor.meta.shape();
    let reach = shape.iter().zip(tensor.meta.strides().iter()).map(|(n, stride)| n.saturating_sub(1) * stride);
    reach.sum::<usize>() + 1 == tensor.meta.num_elements()
}

/// left rightᵀ + bias; with the largest size of the left side, that is brought to a size that 16 bits hold.
fn multiply(
    left: CubeTensor,
    right: CubeTensor,
    bias: Option<CubeTensor>,
    largest: Option<CubeTensor>,
    plan: Plan,
) -> CubeTensor {
    let units = plan.units;
    let rank = left.meta.shape().len();
    let (rows, columns, depth) = (dim(&left, rank - 2), dim(&right, rank - 2), dim(&left, rank - 1));
    let [firsts, seconds] = if rank == 4 { [dim(&left, 0), dim(&left, 1)] } else { [1, 1] };
    let (left, right) = (Operand::new(left), Operand::new(right));
    let bias = bias.map(into_contiguous);

    let tile = units.tile();
    let across = [columns.div_ceil(tile), rows.div_ceil(tile)];
    let tiles = across[0] * across[1] * firsts * seconds;
    let (parts, part) = if bias.is_some() { (1, depth) } else { parts(tiles, depth, units.deep()) };
    // One part behind the other; in each the rows outside of the second index, or inside of it.
    let inner = if plan.beside { [rows, seconds] } else { [seconds, rows] };
    let count = firsts * inner[0] * inner[1] * columns;
    let outer = [firsts * inner[0] * inner[1], columns];
    let out = empty(&left.tensor, [parts, outer[0], outer[1]].into(), DType::F32);
    let (row, second) = if plan.beside { (seconds * columns, columns) } else { (columns, rows * columns) };
    let sizes = [
        rows,
        columns,
        depth,
        seconds,
        parts,
        part,
        left.stride,
        left.first,
        left.second,
        right.stride,
        right.first,
        right.second,
        row / 4,
        seconds * rows * columns / 4,
        second / 4,
        count / 4,
    ];
    let sides = Sides { left: left.side, right: right.side, scaled: largest.is_some(), biased: bias.is_some() };
    let [largest, bias] = [largest, bias].map(|tensor| tensor.unwrap_or_else(|| nothing(&out)));
    let tensors = [&left.tensor, &right.tensor, &largest, &bias, &out];
    let groups = [across[0], across[1], firsts * seconds * parts];
    let sizes = sizes.map(|n| n as u32);
    launch(product_shader(units, sides), groups, [units.threads(), 1], &tensors, &sizes);
    let out = if parts == 1 { out } else { CubeBackend::float_sum_dim(out, 0) };
    if rank == 2 {
        return CubeBackend::float_reshape(out, Shape::from([rows, columns]));
    }
    let out = CubeBackend::float_reshape(out, Shape::from([firsts, inner[0], inner[1], columns]));
    if plan.beside { CubeBackend::float_swap_dims(out, 1, 2) } else { out }
}

impl OnUnits for CubeBackend {
    fn product(left: CubeTensor, right: CubeTensor, plan: Plan) -> CubeTensor {
        multiply(left, right, None, None, plan)
    }

    fn biased_product(left: CubeTensor, right: CubeTensor, bias: CubeTensor, plan: Plan) -> CubeTensor {
        multiply(left, right, Some(bias), None, plan)
    }

    fn probabilities(scores: CubeTensor, lengths: Vec<u32>, factor: f32, units: Units) -> CubeTensor {
        let scores = into_contiguous(scores);
        let shape = scores.meta.shape().clone();
        let (heads, length) = (shape[1], shape[3]);
        let rows = shape.num_elements() / length.max(1);
        let sizes = [(heads * shape[2]) as u32, length as u32, rows as u32, factor.to_bits()];
        let causal = lengths.is_empty();
        let sizes: Vec<u32> = sizes.into_iter().chain(lengths).collect();
        let out = empty(&scores, shape, DType::F32);
        let shader = softmax_shader(units, causal);
        launch(shader, flat(rows.div_ceil(8)), [units.threads(), 1], &[&scores, &out], &sizes);
        out
    }
}

impl BackOnUnits for CubeBackend {
    fn largest_size(tensor: CubeTensor) -> CubeTensor {
        let tensor = if is_whole(&tensor) { tensor } else { into_contiguous(tensor) };
        let count = tensor.meta.num_elements();
        let groups = count.div_ceil(8 * THREADS).clamp(1, THREADS);
        let parts = empty(&tensor, [groups].into(), DType::F32);
        let threads = [THREADS as u32, 1];
        launch(shader!("largest_size"), [groups, 1, 1], threads, &[&tensor, &parts], &[count as u32]);
        let largest = empty(&tensor, [1].into(), DType::F32);
        launch(shader!("largest_size"), [1, 1, 1], threads, &[&parts, &largest], &[groups as u32]);
        largest
    }

    fn scaled_product(left: CubeTensor, right: CubeTensor, largest: CubeTensor, plan: Plan) -> CubeTensor {
        multiply(left, right, None, Some(largest), plan)
    }

    fn probabilities_back(probabilities: CubeTensor, gradient: CubeTensor, factor: f32, units: Units) -> CubeTensor {
        let (probabilities, gradient) = (into_contiguous(probabilities), into_contiguous(gradient));
        let shape = probabilities.meta.shape().clone();
        let length = shape[shape.len() - 1];
        let rows = shape.num_elements() / length.max(1);
        let sizes = [length as u32, rows as u32, factor.to_bits()];
        let out = empty(&probabilities, shape, DType::F32);
        let tensors = [&probabilities, &gradient, &out];
        launch(softmax_back_shader(units), flat(rows.div_ceil(8)), [units.threads(), 1], &tensors, &sizes);
        out
    }
}

impl<B: BackOnUnits, C: CheckpointStrategy> OnUnits for Autodiff<B, C> {
    fn product(left: FloatTensor<Self>, right: FloatTensor<Self>, plan: Plan) -> FloatTensor<Self> {
        let ((left, left_guard), (right, right_guard)) = (left.into_parts(), right.into_parts());
        match Product.prepare::<C>([left_guard, right_guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept = (left.clone(), right.clone(), plan);
                prep.finish(kept, B::product(left, right, plan))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::product(left, right, plan)),
        }
    }

    fn biased_product(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self> {
        let ((left, left_guard), (right, right_guard)) = (left.into_parts(), right.into_parts());
        let (bias, guard) = bias.into_parts();
        match BiasedProduct.prepare::<C>([left_guard, right_guard, guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept = (left.clone(), right.clone(), plan);
                prep.finish(kept, B::biased_product(left, right, bias, plan))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::biased_product(left, right, bias, plan)),
        }
    }

    fn probabilities(scores: FloatTensor<Self>, lengths: Vec<u32>, factor: f32, units: Units) -> FloatTensor<Self> {
        let (scores, guard) = scores.into_parts();
        match Softmax.prepare::<C>([guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let found = B::probabilities(scores, lengths, factor, units);
                prep.finish((found.clone(), factor, units), found)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::probabilities(scores, lengths, factor, units)),
        }
    }
}

/// Gradients of the sides of a product from that of what it gives.
fn sides_back<B: BackOnUnits>(
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
    let largest = B::largest_size(grad.clone());
    let left_grad = wanted[0].then(|| B::scaled_product(grad.clone(), turned(right), largest.clone(), plan));
    let right_grad = wanted[1].then(|| B::scaled_product(turned(grad.clone()), turned(left), largest, plan));
    [left_grad, right_grad]
}

#[derive(Debug)]
struct Product;

impl<B: BackOnUnits> Backward<B, 2> for Product {
    type State = (FloatTensor<B>, FloatTensor<B>, Plan);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (left, right, plan) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let found = sides_back::<B>(&grad, left, right, plan, ops.parents.each_ref().map(Option::is_some));
        for (node, found) in ops.parents.iter().flatten().zip(found.into_iter().flatten()) {
            grads.register::<B>(node.id, found);
        }
    }
}

#[derive(Debug)]
struct BiasedProduct;

impl<B: BackOnUnits> Backward<B, 3> for BiasedProduct {
    type State = (FloatTensor<B>, FloatTensor<B>, Plan);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (left, right, plan) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let [for_left, for_right, for_bias] = ops.parents;
        let wanted = [for_left.is_some(), for_right.is_some()];
        let found = sides_back::<B>(&grad, left, right, plan, wanted);
        for (node, found) in [for_left, for_right].iter().flatten().zip(found.into_iter().flatten()) {
            grads.register::<B>(node.id, found);
        }
        if let Some(node) = for_bias {
            grads.register::<B>(node.id, B::column_sums(grad));
        }
    }
}

#[derive(Debug)]
struct Softmax;

impl<B: BackOnUnits> Backward<B, 1> for Softmax {
    type State = (FloatTensor<B>, f32, Units);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (probabilities, factor, units) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::probabilities_back(probabilities, grad, factor, units));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_found_in_the_files_and_leaves_them_valid() {
        let mut all = Vec::new();
        for units in [Units { size: 16, lanes: 32 }, Units { size: 8, lanes: 8 }, Units { size: 8, lanes: 32 }] {
            assert!(units.serve());
            for bits in 0..64 {
                let has = |bit: u32| bits & bit != 0;
                let [left, right] =
                    [(1, 2), (4, 8)].map(|(turned, half)| Side { turned: has(turned), half: has(half) });
                all.push(product_shader(units, Sides { left, right, scaled: has(16), biased: has(32) }));
            }
            all.push(vocab_max_shader(units));
        }
        for units in [Units { size: 8, lanes: 8 }, Units { size: 16, lanes: 32 }] {
            all.extend([softmax_shader(units, false), softmax_shader(units, true), softmax_back_shader(units)]);
        }
        super::super::launch::assert_valid(all);
    }

    #[test]
    fn units_of_other_sizes_are_left_alone() {
        for (size, lanes) in [(16, 16), (16, 8), (8, 4), (32, 32), (8, 128), (12, 36)] {
            assert!(!Units { size, lanes }.serve(), "{size} {lanes}");
        }
    }
}
