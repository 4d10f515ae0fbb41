//! The shaders of a training step beside their twins on the CPU: forms and scores of a batch, an optimiser's step, a gradient's
//! norm.
//!
//! Tolerance: 1e-5 relative to 1 + |value|; sums run in another order. Without an adapter the tests say so.

use burn::tensor::{Device, Tensor};
use ragtune_kernels::{AdamWStep, BatchForms, BatchSides, adamw, from_vec, sum_of_squares, to_vec};
use ragtune_tests::{adapter, assert_close, random};

/// Bags of ascending dimensions; the first is empty.
fn bags(rows: usize, dims: usize) -> Vec<Vec<u32>> {
    (0..rows)
        .map(|row| (0..dims as u32).filter(|d| row > 0 && (d * 31 + row as u32).is_multiple_of(17)).collect())
        .collect()
}

/// Questions, passages, dimensions, and how many of them S+ keeps.
const BATCHES: [[usize; 4]; 6] =
    [[1, 1, 1, 1], [2, 4, 30, 7], [3, 6, 255, 256], [3, 5, 256, 0], [2, 9, 1000, 100], [1, 2, 700, 1]];

#[test]
fn forms_and_scores_of_a_batch_equal_their_twins() {
    let Some(gpu) = adapter() else { return };
    for [n, p, dims, k] in BATCHES {
        let what = format!("{n} x {p} x {dims}, {k} kept");
        let mut values = [random(n * dims, 1), random(p * dims, 2)];
        // Equal numbers around the smallest one that is kept, negative ones and zeros.
        values[1].iter_mut().skip(3).step_by(4).for_each(|v| *v = 0.25);
        values[0].iter_mut().skip(1).step_by(5).for_each(|v| *v = 0.0);
        let grad = random(4 * n * p, 3);
        let all = |device: &Device| {
            let [questions, passages] =
                [(&values[0], n), (&values[1], p)].map(|(v, rows)| from_vec::<2>(v.clone(), [rows, dims], device));
            let question_forms = BatchForms::new(&questions, k, bags(n, dims));
            let passage_forms = BatchForms::new(&passages, k, bags(p, dims));
            let sides = BatchSides {
                questions: &questions,
                passages: &passages,
                question_forms: &question_forms,
                passage_forms: &passage_forms,
            };
            let (d_q, d_d) = sides.scores_back(from_vec(grad.clone(), [4, n, p], device));
            let lists = [&question_forms, &passage_forms].map(|forms| {
                let (kept, bags) = forms.lists();
                (kept.into_owned(), bags.into_owned())
            });
            // What is known in advance is the same again.
            let (kept, bags) = lists[0].clone();
            let known = BatchForms::of_lists(kept.clone(), bags.clone(), dims, device);
            assert_eq!(known.lists(), (kept.into(), bags.into()), "{what}");
            (lists, [to_vec(sides.scores()), to_vec(d_q), to_vec(d_d)])
        };
        let (got, want) = (all(&gpu), all(&Device::flex()));
        assert_eq!(got.0, want.0, "{what}");
        for (part, (got, want)) in ["scores", "d questions", "d passages"].iter().zip(got.1.iter().zip(&want.1)) {
            assert_close(&format!("{what}: {part}"), got, want, 1e-5);
        }
    }
}

#[test]
fn an_optimisers_step_and_a_norm_equal_their_twins() {
    let Some(gpu) = adapter() else { return };
    let step = AdamWStep { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, grad_scale: 0.5, step: 7 };
    for count in [1, 255, 257, 100_000] {
        let all = |device: &Device| {
            let tensor = |seed: u64| from_vec::<1>(random(count, seed), [count], device);
            let moments = (tensor(3), tensor(4).square());
            let (w, m, v) = adamw(tensor(1), tensor(2), moments, &step);
            let squares = sum_of_squares(vec![tensor(1), tensor(2).mul_scalar(100.0)]);
            ([to_vec(w), to_vec(m), to_vec(v)], squares)
        };
        let (got, want) = (all(&gpu), all(&Device::flex()));
        for (part, (got, want)) in ["weights", "first", "second"].iter().zip(got.0.iter().zip(&want.0)) {
            assert_close(&format!("{part} of {count}"), got, want, 1e-5);
        }
        assert!((got.1 - want.1).abs() <= 1e-5 * want.1, "{count}: {} for {}", got.1, want.1);
    }
    let bad: Tensor<1> = from_vec(vec![1.0, f32::NAN], [2], &gpu);
    assert!(sum_of_squares(vec![bad]).is_nan());
}
