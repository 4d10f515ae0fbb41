//! One training step of an encoder: vectors in chunks, the loss over the whole batch, gradients in chunks.
//!
//! The loss needs every vector of the batch at once, but only the vectors: the states behind them are kept while they
//! fit a budget and computed again when they do not (gradient caching). Both ways give the same gradients.
//!
//! With several devices each computes every n-th chunk with a copy of the weights: only token ids, vectors and gradients go to
//! and fro. The loss and the update are the encoder's own device's.

use burn::tensor::{Device, Int, Tensor, TensorData};
use ragtune_kernels::{BatchForms, shared_out, taken_in_order};
use ragtune_model::{Encoder, Forms, Keep, Kind, PassOptions, Tower, TowerPass, Weights};
use ragtune_text::SparseVector;

use crate::{AdamW, LossInput, LossOptions, LossOutput, LossTerms, OptimSettings, Temperatures, contrastive_loss};

/// Token ids of N questions and 2N passages: positives first, then negatives.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The questions.
    pub questions: Vec<Vec<u32>>,
    /// Their positives, then their negatives.
    pub passages: Vec<Vec<u32>>,
    /// Row-major [N, 2N]: true where a passage must not count as a negative of a question.
    pub masked: Vec<bool>,
    /// Log RAG scores of (positive, negative), where known.
    pub rag_scores: Vec<Option<(f32, f32)>>,
}

/// How a step is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSettings {
    /// Dimensions of S.
    pub top_k: usize,
    /// Padded tokens of one chunk.
    pub chunk_tokens: usize,
    /// Padded tokens of a batch whose states are kept from the first pass; above it they are computed twice.
    pub kept_tokens: usize,
    /// Bytes of those states at most; above it likewise.
    pub kept_bytes: u64,
    /// Of what the way back needs, only each layer's input is kept, and the layers are computed again one by one.
    pub checkpointing: bool,
    /// The layers' products in 16 bits, where the device is not the CPU.
    pub half: bool,
    /// Divide the scores.
    pub temperatures: Temperatures,
    /// Optional loss terms.
    pub loss: LossOptions,
}

impl StepSettings {
    /// What a pass leaves for the way back.
    pub fn keep(&self) -> Keep {
        if self.checkpointing { Keep::Inputs } else { Keep::Everything }
    }

    /// Whether the states of a batch of so many padded tokens are kept from the first pass.
    pub fn keeps(&self, tower: &Tower, padded: usize, longest: usize) -> bool {
        let bytes = 4 * padded as u64 * tower.numbers_kept(self.keep(), longest) as u64;
        // No more than a machine of 32 bits can hold.
        padded <= self.kept_tokens && bytes <= self.kept_bytes.min(usize::MAX as u64 / 4)
    }
}

/// What one step found.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Loss terms before the update.
    pub loss: LossTerms,
    /// Norm of all gradients before clipping.
    pub gradient_norm: f64,
    /// Share of the questions whose positive scores highest in the batch.
    pub batch_accuracy: f32,
    /// Standard deviation of the in-batch scores after the temperature.
    pub score_spread: f32,
    /// Tokens encoded, padding left out.
    pub tokens: usize,
    /// False when loss or gradient was not finite and nothing was changed.
    pub updated: bool,
}

/// An encoder with its optimisers.
pub struct Trainer {
    /// The encoder under training.
    pub encoder: Encoder,
    helpers: Vec<Device>,
    question_optimiser: AdamW,
    passage_optimiser: Option<AdamW>,
}

struct Chunk {
    /// Which of the devices computes it.
    at: usize,
    kind: Kind,
    /// Positions in the batch's questions or passages.
    members: Vec<usize>,
}

impl Trainer {
    /// A trainer with fresh optimisers.
    pub fn new(encoder: Encoder, settings: OptimSettings) -> Self {
        let passage_optimiser = encoder.passage.as_ref().map(|_| AdamW::new(settings.clone()));
        Self { encoder, helpers: Vec::new(), question_optimiser: AdamW::new(settings), passage_optimiser }
    }

    /// Devices that from now on compute a share of every step beside the encoder's own: equal shares, so devices that are
    /// about equally fast.
    pub fn share_with(&mut self, helpers: Vec<Device>) {
        self.helpers = helpers;
    }

    /// Fresh optimisers for the encoder as it is.
    pub fn restart(&mut self, settings: OptimSettings) {
        let helpers = std::mem::take(&mut self.helpers);
        *self = Self { helpers, ..Self::new(self.encoder.clone(), settings) };
    }

    /// Takes up saved optimisers: (state, steps) of the question tower and, for two towers, of the passage tower.
    pub fn restore(
        encoder: Encoder,
        settings: OptimSettings,
        question: (&Weights, u32),
        passage: Option<(&Weights, u32)>,
    ) -> Self {
        Self {
            encoder,
            helpers: Vec::new(),
            question_optimiser: AdamW::restore(settings.clone(), question.0, question.1),
            passage_optimiser: passage.map(|(state, steps)| AdamW::restore(settings, state, steps)),
        }
    }

    /// The optimisers, question tower's first.
    pub fn optimisers(&self) -> (&AdamW, Option<&AdamW>) {
        (&self.question_optimiser, self.passage_optimiser.as_ref())
    }

    /// Loss and gradients of a batch, without an update: gradients of the question tower's weights and, for two
    /// towers, of the passage tower's.
    pub fn gradients(&self, batch: &Batch, settings: &StepSettings) -> (StepReport, Weights, Option<Weights>) {
        let n = batch.questions.len();
        let device = self.encoder.question.weights.device();
        let chunks = self.chunks(batch, settings.chunk_tokens);
        let longest = |c: &Chunk| c.members.iter().map(|&i| text(batch, c.kind, i).len()).max().unwrap_or(0);
        let padded: usize = chunks.iter().map(|c| c.members.len() * longest(c)).sum();
        let keep = settings.keeps(&self.encoder.question, padded, chunks.iter().map(longest).max().unwrap_or(0));
        let training = PassOptions { keep: settings.keep(), half: settings.half };
        let first = PassOptions { keep: if keep { training.keep } else { Keep::Nothing }, ..training };

        let copies: Vec<Encoder> = self.helpers.iter().map(|helper| self.encoder.to_device(helper)).collect();
        let encoders: Vec<&Encoder> = std::iter::once(&self.encoder).chain(&copies).collect();
        let device_of = |chunk: &Chunk| encoders[chunk.at].question.weights.device();

        // First pass: every vector of the batch.
        let work = chunks.iter().map(|chunk| (device_of(chunk), chunk)).collect();
        let passes = shared_out(work, |chunk: &Chunk| {
            let pass = encoders[chunk.at].tower_of(chunk.kind).pass(&texts(batch, chunk), first);
            (pass.vectors.clone(), keep.then_some(pass))
        });
        let [questions, passages] = [(Kind::Question, n), (Kind::Passage, 2 * n)].map(|(kind, count)| {
            let (mut vectors, mut places, mut behind) = (Vec::new(), vec![0; count], 0);
            for (chunk, (found, _)) in chunks.iter().zip(&passes).filter(|(chunk, _)| chunk.kind == kind) {
                vectors.push(found.clone().to_device(&device));
                chunk.members.iter().enumerate().for_each(|(row, &i)| places[i] = behind + row);
                behind += chunk.members.len();
            }
            rows(Tensor::cat(vectors, 0), &places)
        });

        let out = self.loss(batch, settings, questions, passages);

        // Second pass: the gradient of every vector, through its chunk.
        let two_towers = self.encoder.passage.is_some();
        let (mut question_gradients, mut passage_gradients) = (Weights::default(), Weights::default());
        let work = chunks.iter().zip(passes).map(|(chunk, (_, kept))| {
            let source = if chunk.kind == Kind::Question { &out.d_questions } else { &out.d_passages };
            let there = device_of(chunk);
            let grad = rows(source.clone(), &chunk.members).to_device(&there);
            (there, (chunk, kept, grad))
        });
        let back = |(chunk, kept, grad): (&Chunk, Option<TowerPass>, Tensor<2>)| {
            let tower = encoders[chunk.at].tower_of(chunk.kind);
            let pass = kept.unwrap_or_else(|| tower.pass(&texts(batch, chunk), training));
            (two_towers && chunk.kind == Kind::Passage, tower.gradients(pass, grad))
        };
        // Each chunk's gradients have the size of the weights: only a few are there at a time.
        taken_in_order(work.collect(), back, |(own, gradients)| {
            let gradients = if copies.is_empty() { gradients } else { gradients.to_device(&device) };
            if own { &mut passage_gradients } else { &mut question_gradients }.accumulate(gradients);
        });
        let report = StepReport {
            loss: out.terms,
            gradient_norm: 0.0,
            batch_accuracy: accuracy(&out.scores, &batch.masked, n),
            score_spread: spread(&out.scores) / settings.temperatures.vectors,
            tokens: batch.questions.iter().chain(&batch.passages).map(Vec::len).sum(),
            updated: out.terms.total.is_finite(),
        };
        (report, question_gradients, two_towers.then_some(passage_gradients))
    }

    /// The loss of a batch whose vectors are V(q) [N, V] and V(d) [2N, V], with their gradients.
    pub fn loss(
        &self,
        batch: &Batch,
        settings: &StepSettings,
        questions: Tensor<2>,
        passages: Tensor<2>,
    ) -> LossOutput {
        let bags = |texts: &[Vec<u32>]| texts.iter().map(|ids| self.encoder.vocab.bag(ids)).collect();
        let question_forms = BatchForms::new(&questions, settings.top_k, bags(&batch.questions));
        let passage_forms = BatchForms::new(&passages, settings.top_k, bags(&batch.passages));
        let input = LossInput {
            questions,
            passages,
            question_forms,
            passage_forms,
            masked: batch.masked.clone(),
            temperatures: settings.temperatures,
        };
        contrastive_loss(&input, &settings.loss, &batch.rag_scores)
    }

    /// Standard deviations of the in-batch scores <S+(q), V(d)>, <V(q), BoT(d)> and <BoT(q), V(d)> without a
    /// temperature.
    pub fn spreads(&self, batch: &Batch, chunk_tokens: usize, top_k: usize) -> [f32; 3] {
        let forms = |kind: Kind, texts: &[Vec<u32>]| {
            let mut rows: Vec<Option<Forms>> = vec![None; texts.len()];
            let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
            for members in Encoder::batches(&lengths, chunk_tokens) {
                let chunk: Vec<&[u32]> = members.iter().map(|&i| texts[i].as_slice()).collect();
                for (&i, forms) in members.iter().zip(self.encoder.encode(kind, &chunk)) {
                    rows[i] = Some(forms);
                }
            }
            rows.into_iter().flatten().collect::<Vec<_>>()
        };
        let (questions, passages) = (forms(Kind::Question, &batch.questions), forms(Kind::Passage, &batch.passages));
        let sparse: Vec<SparseVector> = questions.iter().map(|f| f.s_plus(top_k)).collect();
        let of_bag = |bag: &[u32], dense: &[f32]| bag.iter().map(|&d| dense[d as usize]).sum::<f32>();
        let score = |q: &SparseVector, p: &Forms| q.iter().map(|(d, v)| v * p.dense[d as usize]).sum::<f32>();
        let all = |one: &dyn Fn(usize, &Forms) -> f32| -> f32 {
            let scores: Vec<f32> = (0..questions.len()).flat_map(|q| passages.iter().map(move |p| one(q, p))).collect();
            spread(&scores)
        };
        [
            all(&|q, p| score(&sparse[q], p)),
            all(&|q, p| of_bag(&p.own, &questions[q].dense)),
            all(&|q, p| of_bag(&questions[q].own, &p.dense)),
        ]
    }

    /// One update. When loss or gradient is not finite, nothing is changed and the report says so.
    pub fn step(&mut self, batch: &Batch, settings: &StepSettings, lr: f32) -> StepReport {
        let (mut report, question, passage) = self.gradients(batch, settings);
        if !report.updated {
            return report;
        }
        let mut norm = self.question_optimiser.step(&mut self.encoder.question.weights, &question, lr);
        if let (Some(tower), Some(optimiser), Some(gradients)) =
            (&mut self.encoder.passage, &mut self.passage_optimiser, &passage)
        {
            norm = norm.hypot(optimiser.step(&mut tower.weights, gradients, lr));
        }
        report.gradient_norm = norm;
        report.updated = norm.is_finite();
        report
    }

    fn chunks(&self, batch: &Batch, budget: usize) -> Vec<Chunk> {
        let group = |kind: Kind, texts: &[Vec<u32>]| -> Vec<Chunk> {
            let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
            Encoder::batches(&lengths, budget).into_iter().map(|members| Chunk { at: 0, kind, members }).collect()
        };
        let mut chunks = group(Kind::Question, &batch.questions);
        chunks.extend(group(Kind::Passage, &batch.passages));
        // Neighbours are of about the same length.
        for (i, chunk) in chunks.iter_mut().enumerate() {
            chunk.at = i % (1 + self.helpers.len());
        }
        chunks
    }
}

/// Some rows of a matrix, in that order.
fn rows(matrix: Tensor<2>, places: &[usize]) -> Tensor<2> {
    let places: Vec<i32> = places.iter().map(|&place| place as i32).collect();
    let count = places.len();
    let places = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), &matrix.device());
    matrix.select(0, places)
}

fn text(batch: &Batch, kind: Kind, i: usize) -> &[u32] {
    match kind {
        Kind::Question => &batch.questions[i],
        Kind::Passage => &batch.passages[i],
    }
}

fn texts<'b>(batch: &'b Batch, chunk: &Chunk) -> Vec<&'b [u32]> {
    chunk.members.iter().map(|&i| text(batch, chunk.kind, i)).collect()
}

fn accuracy(scores: &[f32], masked: &[bool], n: usize) -> f32 {
    let right = (0..n)
        .filter(|&i| {
            let row = &scores[i * 2 * n..(i + 1) * 2 * n];
            row.iter().enumerate().all(|(j, s)| j == i || masked[i * 2 * n + j] || *s < row[i])
        })
        .count();
    right as f32 / n.max(1) as f32
}

fn spread(scores: &[f32]) -> f32 {
    let n = scores.len().max(1) as f64;
    let mean = scores.iter().map(|&s| f64::from(s)).sum::<f64>() / n;
    (scores.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum::<f64>() / n).sqrt() as f32
}
