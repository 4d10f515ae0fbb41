//! What one unit of each kind of work costs here, measured on a few.

use ragtune_index::Index;
use ragtune_model::{Encoder, Kind};
use ragtune_rag::prompt::put;
use ragtune_rag::{FirstStage, Judge, JudgeItem, Retriever, SearchMode, SearchSettings, retriever};
use ragtune_text::{Passage, Question};
use ragtune_tune::{AdamW, Batch, ScoreCache, StepSettings, Temperatures, Trainer, TuneSettings, in_batch_mask};

use crate::Result;
use crate::session::JobContext;

/// Seconds that one kind of measurement may take; the first unit of it is always measured.
const SECONDS: f64 = 1.0;
/// Questions whose passages are looked at.
const QUESTIONS: usize = 8;
/// Most pairs that are judged.
const PAIRS: usize = 32;
/// A step whose states do not fit is computed forward twice: four passes' worth instead of three.
const TWICE: f64 = 4.0 / 3.0;
/// Questions that are looked up in the score cache.
const LOOKED_UP: usize = 256;
/// Steps of this prime reach each of them once, unless there are a multiple of it.
const STRIDE: usize = 101;

/// What is measured on.
pub(super) struct Sample<'a> {
    pub(super) index: &'a Index,
    pub(super) encoder: &'a Encoder,
    pub(super) judge: Option<&'a Judge<'a>>,
    pub(super) settings: &'a TuneSettings,
    pub(super) train: &'a [&'a Question],
}

/// Seconds of one unit each.
#[derive(Debug, Default)]
pub(super) struct Costs {
    /// Encoding a question.
    pub(super) question: f64,
    /// Encoding a passage.
    pub(super) passage: f64,
    /// Scoring and labelling a passage for a question.
    pub(super) judged: f64,
    /// Scoring alone.
    pub(super) scored: f64,
    /// A step of training.
    pub(super) step: f64,
    /// Tokens of a prompt with one passage.
    prompt: f64,
    /// Tokens of a batch, padding included.
    pub(super) batch_tokens: usize,
    /// Tokens of the longest text that was met.
    pub(super) longest: usize,
    /// What was measured, in words.
    pub(super) notes: Vec<String>,
}

impl Costs {
    pub(super) fn measure(sample: &Sample<'_>, context: &mut JobContext<'_>) -> Result<Self> {
        let mut costs = Self::default();
        let questions = sample.spread(QUESTIONS);
        let found = sample.candidates(&questions)?;
        costs.encoding(sample, &questions, &found, context)?;
        context.advance(2);
        costs.judging(sample, &questions, &found, context)?;
        context.check()?;
        costs.training(sample, &questions, &found, context)?;
        Ok(costs)
    }

    fn encoding(
        &mut self,
        sample: &Sample<'_>,
        questions: &[&Question],
        found: &[Vec<Passage>],
        context: &mut JobContext<'_>,
    ) -> Result<()> {
        let encoder = sample.encoder;
        let ids: Vec<Vec<u32>> =
            questions.iter().map(|q| encoder.question_ids(&q.text)).collect::<std::result::Result<_, _>>()?;
        let passages: Vec<&Passage> = found.iter().flatten().take(PAIRS).collect();
        let texts: Vec<Vec<u32>> = passages
            .iter()
            .map(|passage| encoder.passage_ids(&passage.title, &passage.text))
            .collect::<std::result::Result<_, _>>()?;
        self.longest = ids.iter().chain(&texts).map(Vec::len).max().unwrap_or(1);
        let time = |kind: Kind, texts: &[Vec<u32>]| -> f64 {
            let encode = |texts: &[Vec<u32>]| {
                retriever::encode(encoder, kind, texts, sample.settings.chunk_tokens, &|forms| forms.dense.len())
            };
            // The first pass prepares what later ones find prepared.
            encode(&texts[..texts.len().min(1)]);
            let start = context.seconds();
            encode(texts);
            (context.seconds() - start) / texts.len().max(1) as f64
        };
        self.question = time(Kind::Question, &ids);
        self.passage = time(Kind::Passage, &texts);
        self.notes.push(format!("encoder: {} questions and {} passages were encoded", ids.len(), texts.len()));
        Ok(())
    }

    fn judging(
        &mut self,
        sample: &Sample<'_>,
        questions: &[&Question],
        found: &[Vec<Passage>],
        context: &mut JobContext<'_>,
    ) -> Result<()> {
        let Some(judge) = sample.judge else { return Ok(()) };
        // One passage of every question, then the next of every question: what is cut off is of all ranks and lengths.
        let longest = found.iter().map(Vec::len).max().unwrap_or(0);
        let pairs: Vec<(&Question, [&Passage; 1])> = (0..longest)
            .flat_map(|at| questions.iter().zip(found).filter_map(move |(q, all)| Some((*q, [all.get(at)?]))))
            .filter(|(question, _)| !question.answers.is_empty())
            .take(PAIRS)
            .collect();
        if pairs.is_empty() {
            return Ok(());
        }
        let items: Vec<JudgeItem<'_>> =
            pairs.iter().map(|(question, passages)| JudgeItem { question, passages }).collect();
        for (question, passages) in &pairs {
            self.prompt += put(judge.lm, judge.template, question, passages)?.ids.len() as f64;
        }
        self.prompt /= pairs.len() as f64;
        // The first prepares what later ones find prepared, and says how many can be afforded.
        let start = context.seconds();
        judge.batch(&items[..1], &mut |_| !context.cancelled())?;
        let one = (context.seconds() - start).max(1e-6);
        let many = ((SECONDS / one) as usize).clamp(1, items.len());
        let start = context.seconds();
        judge.batch(&items[..many], &mut |_| !context.cancelled())?;
        self.judged = (context.seconds() - start) / many as f64;
        let start = context.seconds();
        judge.score_only(&items[..many], &mut |_| !context.cancelled())?;
        self.scored = (context.seconds() - start) / many as f64;
        self.notes.push(format!("language model: {many} passages were scored and labelled, {many} only scored"));
        Ok(())
    }

    /// A small step of its own, on a copy of the encoder; time grows with the tokens, but for the update.
    fn training(
        &mut self,
        sample: &Sample<'_>,
        questions: &[&Question],
        found: &[Vec<Passage>],
        context: &mut JobContext<'_>,
    ) -> Result<()> {
        let settings = sample.settings;
        let mut encoder = sample.encoder.clone();
        if settings.towers == 2 {
            encoder.split_towers();
        }
        let mut trainer = Trainer::new(encoder, settings.optim.clone());
        let whole = settings.step(Temperatures::all(1.0));
        let step = StepSettings { kept_tokens: usize::MAX, ..whole };
        let members: Vec<(&Question, &[Passage])> =
            questions.iter().zip(found).filter(|(_, all)| all.len() > 1).map(|(q, all)| (*q, &all[..])).collect();
        if members.is_empty() {
            return Ok(());
        }
        let batch_of = |n: usize| -> Result<Batch> {
            let members = &members[..n];
            let ends = [0, 1].map(|end| members.iter().map(move |(_, all)| &all[end * (all.len() - 1)]));
            let ordinals: Vec<u32> = (0..2 * members.len() as u32).collect();
            Ok(Batch {
                questions: members
                    .iter()
                    .map(|(q, _)| sample.encoder.question_ids(&q.text))
                    .collect::<std::result::Result<_, _>>()?,
                passages: ends
                    .into_iter()
                    .flatten()
                    .map(|passage| sample.encoder.passage_ids(&passage.title, &passage.text))
                    .collect::<std::result::Result<_, _>>()?,
                masked: in_batch_mask(&ordinals, &|_, _| false),
                rag_scores: vec![None; members.len()],
            })
        };
        let small = batch_of(1)?;
        let start = context.seconds();
        let (_, gradients, passage_gradients) = trainer.gradients(&small, &step);
        let one = context.seconds() - start;
        context.check()?;
        // The update takes the same time for a batch of any size.
        let mut update = 0.0;
        for _ in 0..2 {
            let start = context.seconds();
            AdamW::new(settings.optim.clone()).step(&mut trainer.encoder.question.weights, &gradients, 0.0);
            if let (Some(tower), Some(gradients)) = (&mut trainer.encoder.passage, &passage_gradients) {
                AdamW::new(settings.optim.clone()).step(&mut tower.weights, gradients, 0.0);
            }
            update = context.seconds() - start;
        }
        let measured = batch_of(((2.0 * SECONDS / one.max(1e-6)) as usize).clamp(1, members.len()))?;
        let start = context.seconds();
        let (report, ..) = trainer.gradients(&measured, &step);
        let passed = context.seconds() - start;
        let n = measured.questions.len();
        let full = settings.batch.min(sample.train.len()).max(1);
        self.batch_tokens = report.tokens * full / n;
        let kept = whole.keeps(&trainer.encoder.question, self.batch_tokens, self.longest);
        let factor = if kept { 1.0 } else { TWICE };
        self.step = passed * factor * full as f64 / n as f64 + update;
        self.notes.push(format!(
            "training: gradients of {n} questions were computed, {} tokens, and taken times {:.1} for a batch of {full}",
            report.tokens,
            factor * full as f64 / n as f64
        ));
        Ok(())
    }

    /// Seconds of an answer with so many documents in context: prompts grow with them until the context is full.
    pub(super) fn answered(&self, documents: usize, context: usize) -> f64 {
        let most = if self.prompt > 0.0 { (context as f64 / self.prompt).max(1.0) } else { 1.0 };
        self.judged * (documents as f64).min(most)
    }
}

impl Sample<'_> {
    /// Some of the train questions, from all over the file.
    fn spread(&self, n: usize) -> Vec<&Question> {
        let every = (self.train.len() / n.max(1)).max(1);
        self.train.iter().step_by(every).take(n).copied().collect()
    }

    /// The start's candidates of questions, as the pools have them.
    fn candidates(&self, questions: &[&Question]) -> Result<Vec<Vec<Passage>>> {
        let settings = self.settings;
        let search = SearchSettings {
            mode: match settings.first_stage {
                FirstStage::Bot => SearchMode::Bot,
                FirstStage::Own => SearchMode::Own,
            },
            first_stage: settings.first_stage,
            m: settings.k,
            k: settings.k,
            top_k: settings.top_k,
            batch_tokens: settings.chunk_tokens,
        };
        let texts: Vec<&str> = questions.iter().map(|question| question.text.as_str()).collect();
        let hits = Retriever::new(self.index, self.encoder)?.search(&texts, &search)?;
        let read = |hits: Vec<ragtune_text::Hit>| -> Result<Vec<Passage>> {
            hits.iter().map(|hit| Ok(self.index.passage(hit.ordinal)?)).collect()
        };
        hits.into_iter().map(read).collect()
    }

    /// Share of the pools' pairs whose label is known, among as many questions as can be looked up in a moment.
    pub(super) fn cached_share(&self, mut cache: ScoreCache, context: &mut JobContext<'_>) -> Result<f64> {
        let start = context.seconds();
        let (mut known, mut all) = (0usize, 0usize);
        // Judged is what stands first in the file, so the order must not follow it: however soon time is up, what was
        // looked up is from all over.
        let order = self.spread(LOOKED_UP);
        let order: Vec<&Question> = (0..order.len()).map(|at| order[(at * STRIDE) % order.len()]).collect();
        for part in order.chunks(QUESTIONS) {
            context.check()?;
            for (question, passages) in part.iter().zip(self.candidates(part)?) {
                all += passages.len();
                known += passages.iter().filter(|passage| cache.get(question, passage, true).is_some()).count();
            }
            if context.seconds() - start > SECONDS {
                break;
            }
        }
        Ok(known as f64 / all.max(1) as f64)
    }
}
