//! What a card's matrix units are launched for.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::launch::{Shader, dim, empty, launch, nothing, shader};
use super::products::{Call, Tiles};
use super::step::reduced;
use crate::Units;

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
    on(units, shader!("product_units"))
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

/// A product of numbers in 16 bits; with the largest size of the left side, that is brought to a size that they hold.
pub(super) fn launch_product(call: Call, largest: Option<CubeTensor>, units: Units, out: &CubeTensor) {
    let (groups, [rows, columns, depth]) = (call.groups(units.tile()), call.sizes);
    let (left, right) = (Operand::new(call.left), Operand::new(call.right));
    let head = [rows, columns, depth, call.batch[1], call.parts[0], call.parts[1]];
    let strides = [left.stride, left.first, left.second, right.stride, right.first, right.second];
    let sizes = head.into_iter().chain(strides).chain(call.out.map(|stride| stride / 4));
    let sizes: Vec<u32> = sizes.map(|size| size as u32).collect();
    let sides = Sides { left: left.side, right: right.side, scaled: largest.is_some(), biased: call.bias.is_some() };
    let [largest, bias] = [largest, call.bias].map(|tensor| tensor.unwrap_or_else(|| nothing(out)));
    let tensors = [&left.tensor, &right.tensor, &largest, &bias, out];
    launch(product_shader(units, sides), groups, [units.threads(), 1], &tensors, &sizes);
}

/// How they divide a product.
pub(super) fn tiles(units: Units) -> Tiles {
    Tiles { side: units.tile(), deep: units.deep() }
}

/// Whether a view shows every number of its memory once, in whatever order.
fn is_whole(tensor: &CubeTensor) -> bool {
    let shape = tensor.meta.shape();
    let reach = shape.iter().zip(tensor.meta.strides().iter()).map(|(n, stride)| n.saturating_sub(1) * stride);
    reach.sum::<usize>() + 1 == tensor.meta.num_elements()
}

/// The largest size of a tensor's numbers, [1].
pub(super) fn largest_size(tensor: CubeTensor) -> CubeTensor {
    let tensor = if is_whole(&tensor) { tensor } else { into_contiguous(tensor) };
    let parts = reduced(&tensor, true);
    // 256 at most: of those there is one part.
    if parts.meta.num_elements() == 1 { parts } else { reduced(&parts, true) }
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
        super::super::launch::assert_valid(all);
    }

    #[test]
    fn units_of_other_sizes_are_left_alone() {
        for (size, lanes) in [(16, 16), (16, 8), (8, 4), (32, 32), (8, 128), (12, 36)] {
            assert!(!Units { size, lanes }.serve(), "{size} {lanes}");
        }
    }
}
