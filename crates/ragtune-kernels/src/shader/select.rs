//! The selection of rows with its way back.

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
use burn_cubecl::ops::numeric::zeros;
use burn_cubecl::tensor::CubeTensor;

use super::THREADS;
use super::launch::{dim, flat, launch, of_bytes, shader};
use crate::select::Shown;

/// [`select`](crate::select) of one place at least.
pub(crate) fn select(table: Tensor<2>, places: Vec<Option<u32>>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Selects>::rows(table.into_dispatch(), places))
}

fn of_numbers(beside: &CubeTensor, numbers: &[u32]) -> CubeTensor {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    of_bytes(beside, [numbers.len()].into(), DType::I32, &bytes)
}

#[backend_extension(Cube, Autodiff)]
trait Selects: Backend {
    fn rows(table: FloatTensor<Self>, places: Vec<Option<u32>>) -> FloatTensor<Self>;
}

/// What only a way back calls.
trait BackSelects: Selects {
    /// The gradient of a table of so many rows.
    fn rows_back(gradient: FloatTensor<Self>, places: &[Option<u32>], rows: usize) -> FloatTensor<Self>;
}

impl Selects for CubeBackend {
    fn rows(table: CubeTensor, places: Vec<Option<u32>>) -> CubeTensor {
        let ids: Vec<u32> = places.into_iter().map(|row| row.unwrap_or(0)).collect();
        let ids = of_numbers(&table, &ids);
        CubeBackend::float_select(table, 0, ids)
    }
}

impl BackSelects for CubeBackend {
    fn rows_back(gradient: CubeTensor, places: &[Option<u32>], rows: usize) -> CubeTensor {
        let shown = Shown::of(places);
        let gradient = into_contiguous(gradient);
        let width = dim(&gradient, 1);
        let out = zeros(gradient.device.clone(), Shape::from([rows, width]), DType::F32);
        if shown.rows > 0 {
            let lists = of_numbers(&gradient, &shown.lists);
            let groups = flat(shown.rows * width.div_ceil(THREADS));
            let sizes = [width as u32, shown.rows as u32];
            launch(shader!("select_back"), groups, [THREADS as u32, 1], &[&gradient, &lists, &out], &sizes);
        }
        out
    }
}

impl<B: BackSelects, C: CheckpointStrategy> Selects for Autodiff<B, C> {
    fn rows(table: FloatTensor<Self>, places: Vec<Option<u32>>) -> FloatTensor<Self> {
        let (table, guard) = table.into_parts();
        match Rows.prepare::<C>([guard]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept = (places.clone(), table.shape()[0]);
                prep.finish(kept, B::rows(table, places))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::rows(table, places)),
        }
    }
}

#[derive(Debug)]
struct Rows;

impl<B: BackSelects> Backward<B, 1> for Rows {
    type State = (Vec<Option<u32>>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (places, rows) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::rows_back(grad, &places, rows));
        }
    }
}
