//! The hand-written shaders as operations of burn, for devices behind wgpu.
//!
//! They take contiguous tensors of 32-bit floats without a tape; who calls them asks [`runs`] first. Each has a twin in
//! plain loops, and a form in tensor operations for devices that run other languages than WGSL.

mod batch;
mod launch;
pub(crate) mod layers;
#[cfg_attr(not(feature = "matrix-units"), path = "shader/without_units.rs")]
pub(crate) mod on_units;
pub(crate) mod products;
pub(crate) mod select;
mod step;

use std::ops::Range;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, DispatchDevice, backend_extension};
use burn::tensor::{DType, Device, Int, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

pub(crate) use batch::{batch_scores, batch_scores_back, forms};
pub(crate) use step::{adamw, squares};

use launch::{dim, empty, flat, launch, of_bytes, shader};

/// Words that a workgroup of `log_sums.wgsl` takes.
const STRIP: usize = 1024;
/// States that a workgroup's tile of `log_sums.wgsl` holds.
const SIDE: usize = 64;
/// Rows that a workgroup of `vocab_max.wgsl` takes.
const ROWS: usize = 128;
/// Positions that a workgroup of `vocab_max_back_states.wgsl` takes.
const POSITIONS: usize = 8;
/// Threads of a workgroup.
const THREADS: usize = 256;
/// A wanted word that lies in another part.
pub(crate) const ELSEWHERE: u32 = u32::MAX;

/// Whether the shaders serve tensors of this device: a GPU of this machine whose kernels are WGSL. One of another machine gets
/// burn's own operations.
pub(crate) fn runs(device: &Device) -> bool {
    takes_wgsl(device) == Some(true)
}

/// Whether kernels for this device are compiled to SPIR-V instead of WGSL, which takes no text and reaches a card's matrix units.
pub(crate) fn has_units(device: &Device) -> bool {
    cfg!(feature = "vulkan") && takes_wgsl(device) == Some(false)
}

/// None for what is no GPU of this machine.
fn takes_wgsl(device: &Device) -> Option<bool> {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(cube) => Some(cube.client().name().contains("wgsl")),
        _ => None,
    }
}

/// [`vocab_max`](crate::vocab_max) without a single product written.
pub(crate) fn vocab_max(hidden: Tensor<3>, lengths: &[usize], rows: Tensor<2>) -> (Tensor<2>, Tensor<2, Int>) {
    let lengths = lengths.iter().map(|&n| n as u32).collect();
    let found = <Dispatch as Shaders>::vocab_max(hidden.into_dispatch(), rows.into_dispatch(), lengths);
    (Tensor::from_dispatch(found.0), Tensor::from_dispatch(found.1))
}

/// [`vocab_max_backward`](crate::vocab_max_backward), gathered instead of scattered.
pub(crate) fn vocab_max_back(
    grad: Tensor<2>,
    argmax: Tensor<2, Int>,
    hidden: Tensor<3>,
    rows: Tensor<2>,
) -> (Tensor<3>, Tensor<2>) {
    let (grad, argmax, hidden, rows) =
        (grad.into_dispatch(), argmax.into_dispatch(), hidden.into_dispatch(), rows.into_dispatch());
    let found = <Dispatch as Shaders>::vocab_max_back(grad, argmax, hidden, rows);
    (Tensor::from_dispatch(found.0), Tensor::from_dispatch(found.1))
}

/// Largest logits and sums [count, strips, 2] of `states` [count, width] and a part of the head's rows, and the logits
/// [count] of the wanted words; those that are [`ELSEWHERE`] are 0.
pub(crate) fn log_sums(states: Tensor<2>, rows: Tensor<2>, wanted: Vec<u32>, cap: f32) -> (Tensor<3>, Tensor<1>) {
    let found = <Dispatch as Shaders>::log_sums(states.into_dispatch(), rows.into_dispatch(), wanted, cap);
    (Tensor::from_dispatch(found.0), Tensor::from_dispatch(found.1))
}

/// Some rows of a matrix of `columns` that is held in fewer bits, [rows, columns]: those of the ids, or all from the first of
/// the range on. `bytes` are its words, `row_bytes` those of a row.
pub(crate) fn expand(
    bytes: &Tensor<1, Int>,
    format: u32,
    columns: usize,
    row_bytes: usize,
    rows: Rows<'_>,
) -> Tensor<2> {
    let (count, first, ids) = match rows {
        Rows::Range(range) => (range.len(), range.start as u32, &[][..]),
        Rows::Ids(ids) => (ids.len(), 0, ids),
    };
    let head = [format, columns as u32, row_bytes as u32, count as u32, first, u32::from(!ids.is_empty())];
    let sizes = head.into_iter().chain(ids.iter().copied()).collect();
    Tensor::from_dispatch(<Dispatch as Shaders>::expand(bytes.clone().into_dispatch(), sizes))
}

/// The `m` largest scores [questions, m] of bags, and their places [questions, m]: for weights [questions, dims], bags that
/// end at `ends` [passages] and `m` of 1 to `passages`.
pub(crate) fn best_bags(
    weights: Tensor<2>,
    ends: Tensor<1, Int>,
    bags: Tensor<1, Int>,
    m: usize,
) -> (Tensor<2>, Tensor<2, Int>) {
    let (weights, ends, bags) = (weights.into_dispatch(), ends.into_dispatch(), bags.into_dispatch());
    let found = <Dispatch as Shaders>::best_bags(weights, ends, bags, m as u32);
    (Tensor::from_dispatch(found.0), Tensor::from_dispatch(found.1))
}

/// Rows of a matrix.
pub(crate) enum Rows<'a> {
    /// Those behind each other.
    Range(Range<usize>),
    /// Those of the ids, at least one.
    Ids(&'a [u32]),
}

#[backend_extension(Cube)]
trait Shaders: Backend {
    fn expand(bytes: IntTensor<Self>, sizes: Vec<u32>) -> FloatTensor<Self>;

    fn best_bags(
        weights: FloatTensor<Self>,
        ends: IntTensor<Self>,
        bags: IntTensor<Self>,
        m: u32,
    ) -> (FloatTensor<Self>, IntTensor<Self>);

    fn vocab_max(
        states: FloatTensor<Self>,
        rows: FloatTensor<Self>,
        lengths: Vec<u32>,
    ) -> (FloatTensor<Self>, IntTensor<Self>);

    fn vocab_max_back(
        grad: FloatTensor<Self>,
        place: IntTensor<Self>,
        states: FloatTensor<Self>,
        rows: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn log_sums(
        states: FloatTensor<Self>,
        rows: FloatTensor<Self>,
        wanted: Vec<u32>,
        cap: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl Shaders for CubeBackend {
    fn expand(bytes: CubeTensor, sizes: Vec<u32>) -> CubeTensor {
        let bytes = into_contiguous(bytes);
        let (columns, rows) = (sizes[1] as usize, sizes[3] as usize);
        let out = empty(&bytes, [rows, columns].into(), DType::F32);
        let grid = flat((rows * columns).div_ceil(THREADS));
        launch(shader!("expand"), grid, [THREADS as u32, 1], &[&bytes, &out], &sizes);
        out
    }

    fn best_bags(weights: CubeTensor, ends: CubeTensor, bags: CubeTensor, m: u32) -> (CubeTensor, CubeTensor) {
        let (weights, ends, bags) = (into_contiguous(weights), into_contiguous(ends), into_contiguous(bags));
        let (questions, dims, passages) = (dim(&weights, 0), dim(&weights, 1), dim(&ends, 0));
        let scores = empty(&weights, [questions, passages].into(), DType::F32);
        let sizes = [questions, dims, passages].map(|n| n as u32);
        let [across, down, _] = flat(passages.div_ceil(THREADS));
        let grid = [across, down, questions];
        launch(shader!("bag_scores"), grid, [THREADS as u32, 1], &[&weights, &ends, &bags, &scores], &sizes);
        let values = empty(&weights, [questions, m as usize].into(), DType::F32);
        let places = empty(&weights, [questions, m as usize].into(), DType::I32);
        let sizes = [questions as u32, passages as u32, m];
        launch(shader!("largest"), [questions, 1, 1], [THREADS as u32, 1], &[&scores, &values, &places], &sizes);
        (values, places)
    }

    fn vocab_max(states: CubeTensor, rows: CubeTensor, lengths: Vec<u32>) -> (CubeTensor, CubeTensor) {
        let (states, rows) = (into_contiguous(states), into_contiguous(rows));
        let (batch, length, width) = (dim(&states, 0), dim(&states, 1), dim(&states, 2));
        let dims = dim(&rows, 0);
        let sizes: Vec<u32> = [batch, length, width, dims].map(|n| n as u32).into_iter().chain(lengths).collect();
        let largest = empty(&states, [batch, dims].into(), DType::F32);
        let place = empty(&states, [batch, dims].into(), DType::I32);
        let tensors = [&states, &rows, &largest, &place];
        launch(shader!("vocab_max"), [dims.div_ceil(ROWS), batch, 1], [16, 16], &tensors, &sizes);
        (largest, place)
    }

    fn vocab_max_back(
        grad: CubeTensor,
        place: CubeTensor,
        states: CubeTensor,
        rows: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        let (grad, place) = (into_contiguous(grad), into_contiguous(place));
        let (states, rows) = (into_contiguous(states), into_contiguous(rows));
        let (batch, length, width) = (dim(&states, 0), dim(&states, 1), dim(&states, 2));
        let dims = dim(&rows, 0);
        let sizes = [batch, length, width, dims].map(|n| n as u32);
        let d_rows = empty(&states, [dims, width].into(), DType::F32);
        let tensors = [&grad, &place, &states, &d_rows];
        let grid = flat((dims * width).div_ceil(THREADS));
        launch(shader!("vocab_max_back_rows"), grid, [THREADS as u32, 1], &tensors, &sizes);
        let d_states = empty(&states, [batch, length, width].into(), DType::F32);
        let tensors = [&grad, &place, &rows, &d_states];
        let groups = [width.div_ceil(THREADS), length.div_ceil(POSITIONS), batch];
        launch(shader!("vocab_max_back_states"), groups, [THREADS as u32, 1], &tensors, &sizes);
        (d_states, d_rows)
    }

    fn log_sums(states: CubeTensor, rows: CubeTensor, wanted: Vec<u32>, cap: f32) -> (CubeTensor, CubeTensor) {
        let (states, rows) = (into_contiguous(states), into_contiguous(rows));
        let (count, width, words) = (dim(&states, 0), dim(&states, 1), dim(&rows, 0));
        let strips = words.div_ceil(STRIP);
        let sizes = [count, width, words, strips].map(|n| n as u32).into_iter();
        let sizes: Vec<u32> = sizes.chain([cap.to_bits()]).chain(wanted).collect();
        let sums = empty(&states, [count, strips, 2].into(), DType::F32);
        let logits = of_bytes(&states, [count].into(), DType::F32, &vec![0; 4 * count]);
        let tensors = [&states, &rows, &sums, &logits];
        launch(shader!("log_sums"), [strips, count.div_ceil(SIDE), 1], [16, 16], &tensors, &sizes);
        (sums, logits)
    }
}
