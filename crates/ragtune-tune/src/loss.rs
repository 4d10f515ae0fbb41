//! The contrastive loss over a batch of N questions and 2N passages (method, section 7).
//!
//! ```text
//! l(Q, D) = -1/N sum_i [ log softmax over the 2N passages of f(q_i, d+_i)
//!                      + log softmax over the N questions of f(d+_i, q_i) ]
//! L_para  = 1/2 l(S+(q), V(d)) + 1/2 l(V(q), S+(d))
//! L_semi  = 1/2 l(V(q), BoT(d)) + 1/2 l(BoT(q), V(d))
//! L       = L_para + L_semi
//! ```
//!
//! Passages `0..N` are the positives of questions `0..N`, passages `N..2N` their negatives.

use burn::tensor::{Bool, Tensor, TensorData, activation};
use ragtune_kernels::{BatchForms, BatchSides, to_vec};
use ragtune_model::EncoderMeta;
use serde::{Deserialize, Serialize};

/// The batch's vectors and what the loss must know about them. All tensors are without a tape.
pub struct LossInput {
    /// V(q), [N, V].
    pub questions: Tensor<2>,
    /// V(d), [2N, V].
    pub passages: Tensor<2>,
    /// S+(q) and BoT(q).
    pub question_forms: BatchForms,
    /// S+(d) and BoT(d).
    pub passage_forms: BatchForms,
    /// Row-major [N, 2N]: true where the passage must not count as a negative of the question.
    pub masked: Vec<bool>,
    /// Divide the scores.
    pub temperatures: Temperatures,
}

/// What divides the scores of the loss, by what is compared: bags of tokens have scores of another size than vectors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Temperatures {
    /// S+ against V, on either side.
    pub vectors: f32,
    /// V(q) against BoT(d).
    pub passage_bags: f32,
    /// BoT(q) against V(d).
    pub question_bags: f32,
}

impl Temperatures {
    /// One for all; 1 for a trained SiDR head.
    pub fn all(temperature: f32) -> Self {
        Self { vectors: temperature, passage_bags: temperature, question_bags: temperature }
    }

    /// Those that an encoder was trained at.
    pub fn of(meta: &EncoderMeta) -> Self {
        let [passage_bags, question_bags] = meta.bag_temperatures.unwrap_or([meta.temperature; 2]);
        Self { vectors: meta.temperature, passage_bags, question_bags }
    }

    /// Writes them where [`Temperatures::of`] finds them.
    pub fn note(self, meta: &mut EncoderMeta) {
        meta.temperature = self.vectors;
        let bags = [self.passage_bags, self.question_bags];
        meta.bag_temperatures = (bags != [self.vectors; 2]).then_some(bags);
    }
}

/// Weights of the optional terms; all 0 by default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossOptions {
    /// FLOPS regulariser: sum over dimensions of the squared mean activation (SPLADE).
    pub flops: f32,
    /// Margin-MSE between score difference and RAG-score difference of positive and negative.
    pub margin_mse: f32,
    /// REPLUG: KL divergence from the LLM's score distribution over a question's two passages to the retriever's.
    pub kl: f32,
}

/// The value of each term.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LossTerms {
    /// Everything that is minimised.
    pub total: f32,
    /// L_para.
    pub para: f32,
    /// L_semi.
    pub semi: f32,
    /// The optional terms together, weighted.
    pub optional: f32,
}

/// Loss, and its gradients with respect to V(q) [N, V] and V(d) [2N, V].
pub struct LossOutput {
    /// The terms.
    pub terms: LossTerms,
    /// Gradient with respect to V(q).
    pub d_questions: Tensor<2>,
    /// Gradient with respect to V(d).
    pub d_passages: Tensor<2>,
    /// <S+(q), V(d)> before the temperature, row-major [N, 2N]: what a search would see.
    pub scores: Vec<f32>,
}

/// Computes the loss. `rag_scores` holds log RAG scores of (positive, negative) per question, for the optional terms
/// that need them; a question without both is left out of those.
///
/// The choice of the dimensions of S+ is a constant of the step: gradients flow through the kept values only.
pub fn contrastive_loss(input: &LossInput, options: &LossOptions, rag_scores: &[Option<(f32, f32)>]) -> LossOutput {
    let ([n, _], [passages, _]) = (input.questions.dims(), input.passages.dims());
    let device = input.questions.device();
    let sides = BatchSides {
        questions: &input.questions,
        passages: &input.passages,
        question_forms: &input.question_forms,
        passage_forms: &input.passage_forms,
    };
    // The tape begins at the scores: the way from them to the vectors is the kernel's.
    let scores = sides.scores();
    let leaf = scores.clone().autodiff().require_grad();
    let kind = |i: usize| leaf.clone().slice([i..i + 1, 0..n, 0..passages]).reshape([n, passages]);
    let mask: Tensor<2, Bool> = Tensor::from_data(TensorData::new(input.masked.clone(), [n, passages]), &device);
    let at = input.temperatures;
    let side = |i: usize, at: f32| symmetric(kind(i) / at, &mask);
    let para = (side(0, at.vectors) + side(1, at.vectors)) * 0.5;
    let semi = (side(2, at.passage_bags) + side(3, at.question_bags)) * 0.5;
    let vectors = [&input.questions, &input.passages].map(|v| v.clone().autodiff().require_grad());
    let mut total = para.clone() + semi.clone();
    let optional = optional_terms(&vectors, kind(1) / at.vectors, options, rag_scores);
    if let Some(optional) = &optional {
        total = total + optional.clone();
    }
    let values = [&total, &para, &semi].into_iter().chain(&optional).map(|t| t.clone().inner()).collect();
    let values = to_vec(Tensor::cat(values, 0));
    let terms = LossTerms {
        total: values[0],
        para: values[1],
        semi: values[2],
        optional: values.get(3).copied().unwrap_or(0.0),
    };
    let mut gradients = total.backward();
    let d_scores = leaf.grad_remove(&mut gradients).unwrap_or_else(|| scores.zeros_like());
    let (d_questions, d_passages) = sides.scores_back(d_scores);
    let [of_questions, of_passages] = vectors.map(|v| v.grad_remove(&mut gradients));
    let with = |d: Tensor<2>, more: Option<Tensor<2>>| match more {
        Some(more) => d + more,
        None => d,
    };
    LossOutput {
        terms,
        d_questions: with(d_questions, of_questions),
        d_passages: with(d_passages, of_passages),
        scores: to_vec(scores.slice([0..1, 0..n, 0..passages])),
    }
}

/// l(Q, D) from the scores [N, 2N] of questions against passages.
fn symmetric(scores: Tensor<2>, mask: &Tensor<2, Bool>) -> Tensor<1> {
    let [n, _] = scores.dims();
    // A finite stand-in for minus infinity keeps the gradient free of NaN.
    let scores = scores.mask_fill(mask.clone(), -1e30);
    let diagonal = Tensor::<2>::eye(n, &scores.device().inner());
    let over_passages = activation::log_softmax(scores.clone(), 1).slice([0..n, 0..n]);
    let over_questions = activation::log_softmax(scores.slice([0..n, 0..n]), 0);
    ((over_passages + over_questions) * diagonal).sum() / -(n as f32)
}

/// The terms beside the contrastive ones, from V(q) and V(d), and the scores [N, 2N] of V(q) with S+(d).
fn optional_terms(
    vectors: &[Tensor<2>; 2],
    scores: Tensor<2>,
    options: &LossOptions,
    rag_scores: &[Option<(f32, f32)>],
) -> Option<Tensor<1>> {
    let n = vectors[0].dims()[0];
    let mut terms: Vec<Tensor<1>> = Vec::new();
    if options.flops > 0.0 {
        let flops = |v: &Tensor<2>| v.clone().mean_dim(0).square().sum();
        terms.push((flops(&vectors[0]) + flops(&vectors[1])) * options.flops);
    }
    let known = rag_scores.iter().filter(|s| s.is_some()).count();
    if known > 0 && (options.margin_mse > 0.0 || options.kl > 0.0) {
        let device = scores.device().inner();
        // Of each question with its own positive, and with its own negative.
        let diagonal = Tensor::<2>::eye(n, &device);
        let of = |from: usize| (scores.clone().slice([0..n, from..from + n]) * diagonal.clone()).sum_dim(1);
        let (own, other) = (of(0), of(n));
        let column = |f: &dyn Fn(&(f32, f32)) -> f32| -> Tensor<2> {
            let values = rag_scores.iter().map(|s| s.as_ref().map_or(0.0, f)).collect();
            ragtune_kernels::from_vec(values, [n, 1], &device)
        };
        let present = column(&|_| 1.0 / known as f32);
        if options.margin_mse > 0.0 {
            let margin = column(&|(p, q)| p - q);
            terms.push(((own.clone() - other.clone() - margin).square() * present.clone()).sum() * options.margin_mse);
        }
        if options.kl > 0.0 {
            // Softmax over two passages: p = sigmoid of the difference.
            let share = |(p, q): &(f32, f32)| 1.0 / (1.0 + (q - p).exp());
            let (p, q) = (column(&share), column(&|s| 1.0 - share(s)));
            let both = activation::log_softmax(Tensor::cat(vec![own, other], 1), 1);
            let target = Tensor::cat(vec![p, q], 1);
            let entropy = target.clone() * target.clone().clamp_min(1e-12).log();
            terms.push(((entropy - both * target) * present).sum() * options.kl);
        }
    }
    terms.into_iter().reduce(|a, b| a + b)
}
