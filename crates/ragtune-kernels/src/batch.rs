//! The scores of a training batch, of every question with every passage, in the four kinds that the loss compares (method,
//! section 6). The sides that are sparse stay sparse: lists of dimensions on the CPU, bits on a GPU.

use std::borrow::Cow;

use burn::tensor::{Device, Int, Tensor};
use rayon::prelude::*;

use crate::wide::wide;
use crate::{from_vec, is_cpu, lexical_forms, shader, to_ids, to_vec};

/// Ascending dimensions of each text.
pub type Lists<'a> = Cow<'a, [Vec<u32>]>;

/// Which dimensions the sparse forms of some texts keep: S+ and the bag of tokens of each.
#[derive(Debug, Clone)]
pub struct BatchForms(Held);

#[derive(Debug, Clone)]
enum Held {
    /// Ascending dimensions of S+ and of the bag, text by text.
    Lists(Vec<Vec<u32>>, Vec<Vec<u32>>),
    /// [texts, dims]: 1 for a dimension of S+, 2 more for one of the bag.
    Flags(Box<Tensor<2, Int>>),
    /// [texts, dims] each: 1 for a dimension of S+, and for one of the bag.
    Masks(Box<[Tensor<2>; 2]>),
}

impl BatchForms {
    /// The forms of texts whose vectors are the rows of `vectors` [texts, dims]: the `k` largest dimensions with those of the
    /// text's bag, and the bag. Bags are ascending and without repeats.
    pub fn new(vectors: &Tensor<2>, k: usize, bags: Vec<Vec<u32>>) -> Self {
        if shader::runs(&vectors.device()) {
            return Self(Held::Flags(Box::new(shader::forms(vectors.clone(), k, &bags))));
        }
        let dims = vectors.dims()[1];
        let values = to_vec(vectors.clone());
        let rows = values.par_chunks(dims.max(1)).zip(&bags);
        let kept = rows.map(|(row, bag)| lexical_forms(row, k, bag)).collect();
        Self::of_lists(kept, bags, dims, &vectors.device())
    }

    /// Forms that are known: of each text the dimensions of S+ and those of its bag, ascending.
    pub fn of_lists(kept: Vec<Vec<u32>>, bags: Vec<Vec<u32>>, dims: usize, device: &Device) -> Self {
        if is_cpu(device) {
            return Self(Held::Lists(kept, bags));
        }
        let shape = [kept.len(), dims];
        let mask = |lists: &[Vec<u32>]| {
            let mut mask = vec![0.0f32; shape[0] * dims];
            for (row, list) in lists.iter().enumerate() {
                list.iter().for_each(|&d| mask[row * dims + d as usize] = 1.0);
            }
            from_vec::<2>(mask, shape, device)
        };
        let (kept, bags) = (mask(&kept), mask(&bags));
        Self(match shader::runs(device) {
            true => Held::Flags(Box::new((kept + bags.mul_scalar(2.0)).int())),
            false => Held::Masks(Box::new([kept, bags])),
        })
    }

    /// Of each text the dimensions of S+ and those of its bag, ascending. Waits for the device.
    pub fn lists(&self) -> (Lists<'_>, Lists<'_>) {
        let rows = |values: &[u32], dims: usize, bit: u32| -> Lists<'_> {
            let row = |row: &[u32]| (0..dims as u32).filter(|d| row[*d as usize] & bit != 0).collect();
            values.chunks_exact(dims.max(1)).map(row).collect::<Vec<_>>().into()
        };
        match &self.0 {
            Held::Lists(kept, bags) => (kept.into(), bags.into()),
            Held::Flags(flags) => {
                let (values, dims) = (to_ids(Tensor::clone(flags)), flags.dims()[1]);
                (rows(&values, dims, 1), rows(&values, dims, 2))
            }
            Held::Masks(masks) => {
                let [kept, bags] = &**masks;
                let dims = kept.dims()[1];
                (rows(&to_ids(kept.clone().int()), dims, 1), rows(&to_ids(bags.clone().int()), dims, 1))
            }
        }
    }
}

/// The vectors of N questions and P passages on one device, [rows, dims], with their forms.
#[derive(Debug, Clone, Copy)]
pub struct BatchSides<'a> {
    /// V(q), [N, dims].
    pub questions: &'a Tensor<2>,
    /// V(d), [P, dims].
    pub passages: &'a Tensor<2>,
    /// Of the questions.
    pub question_forms: &'a BatchForms,
    /// Of the passages.
    pub passage_forms: &'a BatchForms,
}

impl BatchSides<'_> {
    /// Scores [4, N, P]: <S+(q), V(d)>, <V(q), S+(d)>, <V(q), BoT(d)>, <BoT(q), V(d)>. Without a tape; see
    /// [`BatchSides::scores_back`].
    pub fn scores(&self) -> Tensor<3> {
        let (q, d) = (self.questions.clone(), self.passages.clone());
        let ([n, dims], [p, _]) = (q.dims(), d.dims());
        match (&self.question_forms.0, &self.passage_forms.0) {
            (Held::Flags(of_q), Held::Flags(of_d)) => {
                shader::batch_scores(q, d, Tensor::clone(of_q), Tensor::clone(of_d))
            }
            (Held::Masks(of_q), Held::Masks(of_d)) => {
                let ([kept_q, bag_q], [kept_d, bag_d]) = (&**of_q, &**of_d);
                let times = |q: Tensor<2>, d: Tensor<2>| q.matmul(d.transpose()).reshape([1, n, p]);
                let kept = [times(q.clone() * kept_q.clone(), d.clone()), times(q.clone(), d.clone() * kept_d.clone())];
                let bags = [times(q, bag_d.clone()), times(bag_q.clone(), d)];
                Tensor::cat(kept.into_iter().chain(bags).collect(), 0)
            }
            _ => {
                let (of_q, of_d) = (self.question_forms.lists(), self.passage_forms.lists());
                let found = scores((&to_vec(q), &of_q.0, &of_q.1), (&to_vec(d), &of_d.0, &of_d.1), dims);
                from_vec(found, [4, n, p], &self.questions.device())
            }
        }
    }

    /// Gradients of V(q) [N, dims] and V(d) [P, dims] from that of the scores [4, N, P]. What the forms keep is a constant.
    pub fn scores_back(&self, grad: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let (q, d) = (self.questions.clone(), self.passages.clone());
        let ([n, dims], [p, _]) = (q.dims(), d.dims());
        match (&self.question_forms.0, &self.passage_forms.0) {
            (Held::Flags(of_q), Held::Flags(of_d)) => {
                let (of_q, of_d) = (Tensor::clone(of_q), Tensor::clone(of_d));
                let for_d = shader::batch_scores_back(q, of_q.clone(), of_d.clone(), grad.clone(), true);
                (shader::batch_scores_back(d, of_d, of_q, grad, false), for_d)
            }
            (Held::Masks(of_q), Held::Masks(of_d)) => {
                let ([kept_q, bag_q], [kept_d, bag_d]) = (&**of_q, &**of_d);
                let kind = |i: usize| grad.clone().slice([i..i + 1, 0..n, 0..p]).reshape([n, p]);
                let d_q = kind(0).matmul(d.clone()) * kept_q.clone()
                    + kind(1).matmul(d * kept_d.clone())
                    + kind(2).matmul(bag_d.clone());
                let d_d = kind(0).transpose().matmul(q.clone() * kept_q.clone())
                    + kind(1).transpose().matmul(q) * kept_d.clone()
                    + kind(3).transpose().matmul(bag_q.clone());
                (d_q, d_d)
            }
            _ => {
                let (of_q, of_d) = (self.question_forms.lists(), self.passage_forms.lists());
                let (q, d, grad) = (to_vec(q), to_vec(d), to_vec(grad));
                let (d_q, d_d) = scores_back((&q, &of_q.0, &of_q.1), (&d, &of_d.0, &of_d.1), &grad, dims);
                let device = self.questions.device();
                (from_vec(d_q, [n, dims], &device), from_vec(d_d, [p, dims], &device))
            }
        }
    }
}

/// Vectors, row-major [rows, dims], with the dimensions of S+ and of the bag of each row.
type Side<'a> = (&'a [f32], &'a [Vec<u32>], &'a [Vec<u32>]);

/// Twin of `batch_scores.wgsl`.
fn scores(q: Side<'_>, d: Side<'_>, dims: usize) -> Vec<f32> {
    let (n, p) = (q.1.len(), d.1.len());
    let mut out = vec![0.0f32; 4 * n * p];
    let (kept, bags) = out.split_at_mut(2 * n * p);
    let ((by_q, by_d), (bag_d, bag_q)) = (kept.split_at_mut(n * p), bags.split_at_mut(n * p));
    let rows = (by_q.par_chunks_mut(p.max(1)), by_d.par_chunks_mut(p.max(1)));
    let bag_rows = (bag_d.par_chunks_mut(p.max(1)), bag_q.par_chunks_mut(p.max(1)));
    (rows, bag_rows).into_par_iter().enumerate().for_each(|(i, ((by_q, by_d), (bag_d, bag_q)))| {
        wide(|| {
            let own = &q.0[i * dims..][..dims];
            for j in 0..p {
                let other = &d.0[j * dims..][..dims];
                let product = |list: &[u32]| list.iter().map(|&at| own[at as usize] * other[at as usize]).sum::<f32>();
                let sum = |of: &[f32], list: &[u32]| list.iter().map(|&at| of[at as usize]).sum::<f32>();
                by_q[j] = product(&q.1[i]);
                by_d[j] = product(&d.1[j]);
                bag_d[j] = sum(own, &d.2[j]);
                bag_q[j] = sum(other, &q.2[i]);
            }
        });
    });
    out
}

/// Twin of `batch_scores_back.wgsl`, for both sides.
fn scores_back(q: Side<'_>, d: Side<'_>, grad: &[f32], dims: usize) -> (Vec<f32>, Vec<f32>) {
    let (n, p) = (q.1.len(), d.1.len());
    // For each row of one side: the gradients of the kinds of scores that keep its own S+, the other's, the other's bag.
    let back = |own: Side<'_>, other: Side<'_>, kinds: [usize; 3], at: &(dyn Fn(usize, usize) -> usize + Sync)| {
        let mut out = vec![0.0f32; own.0.len()];
        out.par_chunks_mut(dims.max(1)).enumerate().for_each(|(i, out)| {
            wide(|| {
                for j in 0..other.1.len() {
                    let [by_own, by_other, by_bag] = kinds.map(|kind| grad[kind * n * p + at(i, j)]);
                    let values = &other.0[j * dims..][..dims];
                    own.1[i].iter().for_each(|&d| out[d as usize] += by_own * values[d as usize]);
                    other.1[j].iter().for_each(|&d| out[d as usize] += by_other * values[d as usize]);
                    other.2[j].iter().for_each(|&d| out[d as usize] += by_bag);
                }
            });
        });
        out
    };
    (back(q, d, [0, 1, 2], &|i, j| i * p + j), back(d, q, [1, 0, 3], &|j, i| i * p + j))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(n: usize, seed: u64) -> Vec<f32> {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
        (0..n).map(|_| rng.random_range(0.0f32..1.0)).collect()
    }

    fn close(got: &[f32], want: &[f32]) {
        assert_eq!(got.len(), want.len());
        for (at, (g, w)) in got.iter().zip(want).enumerate() {
            assert!((g - w).abs() <= 1e-5 * (1.0 + w.abs()), "at {at}: {g} for {w}");
        }
    }

    #[test]
    fn lists_and_masks_give_the_same_scores_and_gradients() {
        let (n, p, dims, device) = (3, 5, 40, Device::flex());
        let tensor = |rows: usize, seed: u64| from_vec::<2>(random(rows * dims, seed), [rows, dims], &device);
        let (questions, passages) = (tensor(n, 1), tensor(p, 2));
        // An empty bag, and some that the largest dimensions have in part.
        let bags = |rows: usize| -> Vec<Vec<u32>> {
            let has = |row: usize, dim: u32| (0..row).any(|i| (7 * i + row) % dims == dim as usize);
            (0..rows).map(|row| (0..dims as u32).filter(|&dim| has(row, dim)).collect()).collect()
        };
        let lists = [BatchForms::new(&questions, 6, bags(n)), BatchForms::new(&passages, 6, bags(p))];
        let masks = lists.each_ref().map(|forms| {
            let (kept, bags) = forms.lists();
            let mask = |lists: Lists<'_>| {
                let rows = lists.iter().flat_map(|list| (0..dims as u32).map(|d| f32::from(list.contains(&d))));
                from_vec::<2>(rows.collect(), [lists.len(), dims], &device)
            };
            BatchForms(Held::Masks(Box::new([mask(kept), mask(bags)])))
        });
        assert_eq!(lists[1].lists(), masks[1].lists());
        let grad: Tensor<3> = from_vec(random(4 * n * p, 3), [4, n, p], &device);
        let all = |[question_forms, passage_forms]: &[BatchForms; 2]| {
            let sides = BatchSides { questions: &questions, passages: &passages, question_forms, passage_forms };
            let (d_q, d_d) = sides.scores_back(grad.clone());
            [to_vec(sides.scores()), to_vec(d_q), to_vec(d_d)]
        };
        for (got, want) in all(&lists).iter().zip(&all(&masks)) {
            close(got, want);
        }
    }
}
