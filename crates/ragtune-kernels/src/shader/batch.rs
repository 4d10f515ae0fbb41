//! The shaders of a training batch's scores.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::THREADS;
use super::launch::{dim, empty, launch, shader};

/// Passages that a workgroup of `batch_scores.wgsl` takes.
const PASSAGES: usize = 4;

/// For vectors [rows, dims] 1 where the `k` largest of a row and the dimensions of its bag are, and 2 more at the bag's.
pub(crate) fn forms(vectors: Tensor<2>, k: usize, bags: &[Vec<u32>]) -> Tensor<2, Int> {
    let mut end = 0;
    let ends = bags.iter().map(|bag| {
        end += bag.len() as u32;
        end
    });
    let told = [vectors.dims()[1], k].map(|n| n as u32).into_iter();
    let told = told.chain(ends.collect::<Vec<u32>>()).chain(bags.iter().flatten().copied()).collect();
    Tensor::from_dispatch(<Dispatch as Scores>::forms(vectors.into_dispatch(), told))
}

/// The four kinds of scores [4, questions, passages].
pub(crate) fn batch_scores(q: Tensor<2>, d: Tensor<2>, of_q: Tensor<2, Int>, of_d: Tensor<2, Int>) -> Tensor<3> {
    let (q, d, of_q, of_d) = (q.into_dispatch(), d.into_dispatch(), of_q.into_dispatch(), of_d.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Scores>::batch_scores(q, d, of_q, of_d))
}

/// The gradient of one side's vectors from the other's `vectors` and `forms`, this side's forms and the gradient of the scores;
/// `passages`: whether this side is the passages'.
pub(crate) fn batch_scores_back(
    vectors: Tensor<2>,
    forms: Tensor<2, Int>,
    own_forms: Tensor<2, Int>,
    grad: Tensor<3>,
    passages: bool,
) -> Tensor<2> {
    let (vectors, grad) = (vectors.into_dispatch(), grad.into_dispatch());
    let (forms, own_forms) = (forms.into_dispatch(), own_forms.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Scores>::batch_scores_back(vectors, forms, own_forms, grad, passages))
}

#[backend_extension(Cube)]
trait Scores: Backend {
    fn forms(vectors: FloatTensor<Self>, told: Vec<u32>) -> IntTensor<Self>;

    fn batch_scores(
        q: FloatTensor<Self>,
        d: FloatTensor<Self>,
        of_q: IntTensor<Self>,
        of_d: IntTensor<Self>,
    ) -> FloatTensor<Self>;

    fn batch_scores_back(
        vectors: FloatTensor<Self>,
        forms: IntTensor<Self>,
        own_forms: IntTensor<Self>,
        grad: FloatTensor<Self>,
        passages: bool,
    ) -> FloatTensor<Self>;
}

impl Scores for CubeBackend {
    fn forms(vectors: CubeTensor, told: Vec<u32>) -> CubeTensor {
        let vectors = into_contiguous(vectors);
        let rows = dim(&vectors, 0);
        let kept = empty(&vectors, vectors.meta.shape().clone(), DType::I32);
        launch(shader!("forms"), [rows, 1, 1], [THREADS as u32, 1], &[&vectors, &kept], &told);
        kept
    }

    fn batch_scores(q: CubeTensor, d: CubeTensor, of_q: CubeTensor, of_d: CubeTensor) -> CubeTensor {
        let [q, d, of_q, of_d] = [q, d, of_q, of_d].map(into_contiguous);
        let (questions, passages, dims) = (dim(&q, 0), dim(&d, 0), dim(&q, 1));
        let scores = empty(&q, [4, questions, passages].into(), DType::F32);
        let sizes = [questions, passages, dims].map(|n| n as u32);
        let grid = [passages.div_ceil(PASSAGES), questions, 1];
        launch(shader!("batch_scores"), grid, [THREADS as u32, 1], &[&q, &d, &of_q, &of_d, &scores], &sizes);
        scores
    }

    fn batch_scores_back(
        vectors: CubeTensor,
        forms: CubeTensor,
        own_forms: CubeTensor,
        grad: CubeTensor,
        passages: bool,
    ) -> CubeTensor {
        let [vectors, forms, own_forms, grad] = [vectors, forms, own_forms, grad].map(into_contiguous);
        let (rows, others, dims) = (dim(&own_forms, 0), dim(&forms, 0), dim(&forms, 1));
        let out = empty(&vectors, [rows, dims].into(), DType::F32);
        // The gradient lies question by question; kinds of scores: by S+(q), by S+(d), by BoT(d), by BoT(q).
        let (row, other) = if passages { (1, rows) } else { (others, 1) };
        let kinds = if passages { [1, 0, 3] } else { [0, 1, 2] };
        let sizes = [rows, others, dims, rows * others, row, other].into_iter().chain(kinds);
        let sizes: Vec<u32> = sizes.map(|n| n as u32).collect();
        let tensors = [&vectors, &forms, &own_forms, &grad, &out];
        launch(shader!("batch_scores_back"), [dims.div_ceil(THREADS), rows, 1], [THREADS as u32, 1], &tensors, &sizes);
        out
    }
}
