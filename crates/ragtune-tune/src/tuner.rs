//! A whole tuning as a machine that advances by one unit of work at a time, saves itself and resumes.
//!
//! ```text
//! pools (offline labels and scores) -> offline steps -> online steps -> done
//! ```
//!
//! Every draw of a step comes from a generator seeded with (seed, stage, step or epoch), so that a resumed run needs no
//! saved random state: 2 + 2 steps equal 4.

mod candidates;
mod record;

pub use record::{Example, Origin, Record, StepRecord};

use ragtune_index::Index;
use ragtune_kernels::Bags;
use ragtune_model::{CausalLm, Encoder};
use ragtune_rag::{PromptTemplate, Retriever, SearchSettings, resident_bags};
use ragtune_text::storage::Directory;
use ragtune_text::{Question, Split};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use crate::cache::ScoreCache;
use crate::checkpoint;
use crate::error::{Result, TuneError};
use crate::pools::{Pool, Walk, in_batch_mask};
use crate::settings::{Stage, Supervision, TuneSettings};
use crate::{Batch, StepReport, Temperatures, Trainer, schedule};

/// Standard deviation of the in-batch scores that a fresh head begins with.
const SPREAD: f32 = 3.5;

/// Steps in a row without a finite loss that end a tuning.
const MOST_LOST_STEPS: usize = 5;

/// What a tuning works on. Questions carry their splits.
pub struct TuneInput<'a> {
    /// The corpus's index.
    pub index: &'a Index,
    /// Questions; those of the train split are learnt from, those of the dev split choose the checkpoint.
    pub questions: &'a [Question],
    /// The language model; gold supervision needs none.
    pub lm: Option<&'a CausalLm>,
    /// Fingerprint of the language model.
    pub lm_fingerprint: String,
    /// The prompt template.
    pub template: &'a PromptTemplate,
    /// The run's folder.
    pub dir: &'a dyn Directory,
    /// Where the score cache lies: the run's folder, or one that several runs share.
    pub cache_dir: &'a dyn Directory,
    /// The settings.
    pub settings: TuneSettings,
}

/// What one call of [`Tuner::advance`] did.
#[derive(Debug, Clone)]
pub enum Advance {
    /// Candidates of some more questions were labelled and scored.
    Scored {
        /// Questions done.
        done: usize,
        /// Questions in all.
        total: usize,
    },
    /// Something was recorded in `metrics.jsonl`.
    Recorded(Record),
    /// A checkpoint was written.
    Saved {
        /// Its folder below the run.
        folder: String,
    },
    /// Work was cancelled; what was done is saved.
    Cancelled,
    /// All stages are complete.
    Done,
}

/// A positive and a negative: ordinals with their log RAG scores.
type Chosen = ((u32, Option<f32>), (u32, Option<f32>));

/// Position of a tuning, saved with every checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Index into the settings' stages.
    pub stage: usize,
    /// Steps taken in the stage.
    pub stage_step: usize,
    /// Steps taken over all stages.
    pub step: usize,
    /// Best dev accuracy so far.
    pub best: Option<f64>,
    /// Step of the last evaluation on dev.
    pub evaluated: Option<usize>,
}

/// A tuning in progress.
pub struct Tuner<'a> {
    input: TuneInput<'a>,
    /// The trainer with the current encoder.
    pub trainer: Trainer,
    /// Warnings since they were last taken.
    pub warnings: Vec<String>,
    cache: Option<ScoreCache>,
    train: Vec<usize>,
    dev: Vec<usize>,
    pools: Vec<Pool>,
    pools_done: bool,
    usable: Vec<usize>,
    position: Position,
    /// None until the pools are there.
    temperatures: Option<Temperatures>,
    saved: Option<usize>,
    lost: usize,
    warned: std::collections::BTreeSet<&'static str>,
    start: Encoder,
    /// The index beside the encoder.
    bags: Option<Bags>,
}

impl<'a> Tuner<'a> {
    /// Starts a tuning, or takes up the one whose checkpoint lies in the run's folder.
    pub fn open(input: TuneInput<'a>, mut encoder: Encoder) -> Result<Self> {
        let settings = &input.settings;
        settings.check()?;
        if settings.towers == 2 {
            encoder.split_towers();
        }
        Retriever::new(input.index, &encoder)?;
        let bags = resident_bags(input.index, &encoder)?;
        if settings.supervision == Supervision::Rag && input.lm.is_none() {
            let reason = "RAG supervision asks an LLM: give one, or choose gold supervision".to_owned();
            return Err(TuneError::Setting { name: "llm", reason });
        }
        let of = |split| -> Vec<usize> {
            (0..input.questions.len()).filter(|&i| input.questions[i].split == Some(split)).collect()
        };
        let (mut train, mut dev) = (of(Split::Train), of(Split::Dev));
        let mut rng = rng(settings.seed, 1, 0);
        if settings.max_questions > 0 && train.len() > settings.max_questions {
            train.shuffle(&mut rng);
            train.truncate(settings.max_questions);
        }
        if settings.dev_questions > 0 && dev.len() > settings.dev_questions {
            dev.shuffle(&mut rng);
            dev.truncate(settings.dev_questions);
        }
        if train.is_empty() {
            let reason = "no question belongs to the train split; give questions without splits (they are split by their gold passage) or with `\"split\": \"train\"`".to_owned();
            return Err(TuneError::NoQuestions { reason });
        }
        let cache = match input.lm {
            Some(_) => Some(ScoreCache::open(input.cache_dir, &input.lm_fingerprint, input.template, &settings.judge)?),
            None => None,
        };
        let saved = checkpoint::latest(input.dir)?;
        let start = encoder.clone();
        let (trainer, position, temperatures) = match &saved {
            Some(folder) => {
                let (trainer, position, at) = checkpoint::load(input.dir, folder, &encoder, settings)?;
                (trainer, position, Some(at))
            }
            None => (Trainer::new(encoder, settings.optim.clone()), Position::default(), None),
        };
        let mut tuner = Self {
            input,
            trainer,
            warnings: Vec::new(),
            cache,
            train,
            dev,
            pools: Vec::new(),
            pools_done: false,
            usable: Vec::new(),
            saved: saved.is_some().then_some(position.step),
            position,
            temperatures,
            lost: 0,
            warned: Default::default(),
            start,
            bags,
        };
        tuner.forget_records_after(tuner.position.step)?;
        Ok(tuner)
    }

    /// The encoder that the tuning started from.
    pub fn start(&self) -> &Encoder {
        &self.start
    }

    /// Where the tuning is.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Steps of all stages together; none before the pools are complete.
    pub fn total_steps(&self) -> Option<usize> {
        self.pools_done.then(|| (0..self.input.settings.stages.len()).map(|s| self.stage_steps(s)).sum())
    }

    /// Does one unit of work. `go_on` is asked inside long units and cancels by returning false.
    pub fn advance(&mut self, go_on: &mut dyn FnMut() -> bool) -> Result<Advance> {
        if !self.pools_done {
            return self.fill_pools(go_on);
        }
        let at = match self.temperatures {
            Some(at) => at,
            None => *self.temperatures.insert(self.choose_temperatures()?),
        };
        let stages = self.input.settings.stages.len();
        if self.position.stage >= stages {
            if self.saved != Some(self.position.step) {
                return self.save(at);
            }
            if self.dev.is_empty() {
                // Nothing to choose by: the last is the best.
                checkpoint::save_best(self.input.dir, &self.trainer.encoder, at)?;
            }
            return Ok(Advance::Done);
        }
        let steps = self.stage_steps(self.position.stage);
        let epoch = self.epoch_steps();
        let every = self.input.settings.evaluate_steps;
        let step = self.position.stage_step;
        let due = step == 0 || step == steps || step.is_multiple_of(if every == 0 { epoch } else { every });
        if due && self.position.evaluated != Some(self.position.step) && !self.dev.is_empty() {
            return self.evaluate(go_on, at);
        }
        if step > 0
            && step.is_multiple_of(self.input.settings.checkpoint_steps)
            && self.saved != Some(self.position.step)
        {
            return self.save(at);
        }
        if step >= steps {
            self.position.stage += 1;
            self.position.stage_step = 0;
            // A stage begins with a fresh optimiser and its own schedule.
            self.trainer.restart(self.input.settings.optim.clone());
            return self.save(at);
        }
        self.train_step(go_on, at)
    }

    /// Saves what a stopped run would lose. Before the first step that is nothing: pools are built again from the score
    /// cache, and a checkpoint would fix a temperature that has not been chosen yet.
    pub fn suspend(&mut self) -> Result<()> {
        if let Some(at) = self.temperatures
            && self.saved != Some(self.position.step)
        {
            self.save(at)?;
        }
        Ok(())
    }

    /// Writes a checkpoint of the current position.
    fn save(&mut self, at: Temperatures) -> Result<Advance> {
        let folder = checkpoint::save(self.input.dir, &self.trainer, &self.position, at)?;
        self.saved = Some(self.position.step);
        Ok(Advance::Saved { folder })
    }

    fn stage_steps(&self, stage: usize) -> usize {
        let settings = &self.input.settings;
        let steps = self.epoch_steps() * settings.epochs(settings.stages[stage]);
        if settings.max_steps > 0 { steps.min(settings.max_steps) } else { steps }
    }

    fn epoch_steps(&self) -> usize {
        let batch = self.input.settings.batch.min(self.usable.len()).max(1);
        // A rest of one question has no in-batch negatives: it waits for the next epoch.
        (self.usable.len() / batch + usize::from(self.usable.len() % batch >= 2)).max(1)
    }

    // --- steps ---

    fn train_step(&mut self, go_on: &mut dyn FnMut() -> bool, temperatures: Temperatures) -> Result<Advance> {
        let settings = self.input.settings.clone();
        let stage = settings.stages[self.position.stage];
        let (at, steps, per_epoch) =
            (self.position.stage_step, self.stage_steps(self.position.stage), self.epoch_steps());
        let members = self.members(at, per_epoch);
        let mut rng = rng(settings.seed, 3 + self.position.stage as u64, at as u64);
        let walks = match stage {
            Stage::Offline => vec![Walk::default(); members.len()],
            Stage::Online => match self.walk(&members, go_on)? {
                Some(walks) => walks,
                None => {
                    self.suspend()?;
                    return Ok(Advance::Cancelled);
                }
            },
        };
        let mut chosen: Vec<Chosen> = Vec::new();
        for (&p, walk) in members.iter().zip(&walks) {
            let pool = &self.pools[p];
            let [positive, negative] = walk.pair(pool, &mut rng);
            chosen.push((positive, negative));
        }
        let batch = self.batch(&members, &walks, &chosen)?;
        let step_settings = settings.step(temperatures);
        let warmup = (settings.warmup_epochs * per_epoch as f32).round() as usize;
        let lr = settings.optim.lr * schedule(at, warmup.min(steps / 2), steps);
        let report = self.trainer.step(&batch, &step_settings, lr);
        self.position.stage_step += 1;
        self.position.step += 1;
        self.watch(&report, stage, &walks)?;

        let n = members.len() as f32;
        let online = stage == Stage::Online;
        let ((positive, positive_score), (negative, negative_score)) = chosen[0];
        let id = |ordinal| self.input.index.passage_id(ordinal).map(str::to_owned);
        let example = Example {
            question: self.input.questions[self.train[members[0]]].id.clone(),
            positive: id(positive)?,
            positive_score,
            negative: id(negative)?,
            negative_score,
            positive_origin: if walks[0].positives.is_empty() { Origin::Pool } else { Origin::Walk },
            negative_origin: if walks[0].negative.is_none() { Origin::Pool } else { Origin::Walk },
        };
        self.record(Record::Step(StepRecord {
            step: self.position.step,
            stage,
            stage_step: at + 1,
            stage_steps: steps,
            epoch: at / per_epoch + 1,
            loss: report.loss.total,
            para: report.loss.para,
            semi: report.loss.semi,
            gradient_norm: report.gradient_norm,
            lr,
            batch_accuracy: report.batch_accuracy,
            score_spread: report.score_spread,
            tokens: report.tokens,
            questions: members.len(),
            online_passages: online.then(|| walks.iter().map(|w| w.passages).sum()),
            online_positives: online.then(|| walks.iter().map(|w| w.positives.len()).sum::<usize>() as f32 / n),
            online_negatives: online.then(|| walks.iter().filter(|w| w.negative.is_some()).count() as f32 / n),
            example,
        }))
    }

    /// Pools of the step's questions: each epoch is a permutation of the usable ones.
    fn members(&self, step: usize, per_epoch: usize) -> Vec<usize> {
        let epoch = step / per_epoch;
        let mut order = self.usable.clone();
        order.shuffle(&mut rng(self.input.settings.seed, 100 + self.position.stage as u64, epoch as u64));
        let batch = self.input.settings.batch.min(order.len());
        order.into_iter().skip((step % per_epoch) * batch).take(batch).collect()
    }

    fn batch(&self, members: &[usize], walks: &[Walk], chosen: &[Chosen]) -> Result<Batch> {
        let encoder = &self.trainer.encoder;
        let ordinals: Vec<u32> = chosen.iter().map(|(p, _)| p.0).chain(chosen.iter().map(|(_, q)| q.0)).collect();
        let known = |i: usize, ordinal: u32| {
            self.pools[members[i]].is_positive(ordinal) || walks[i].positives.iter().any(|(p, _)| *p == ordinal)
        };
        let masked = in_batch_mask(&ordinals, &known);
        Ok(Batch {
            questions: members
                .iter()
                .map(|&p| Ok(encoder.question_ids(&self.input.questions[self.train[p]].text)?))
                .collect::<Result<_>>()?,
            passages: ordinals
                .iter()
                .map(|&o| {
                    let passage = self.input.index.passage(o)?;
                    Ok(encoder.passage_ids(&passage.title, &passage.text)?)
                })
                .collect::<Result<_>>()?,
            masked,
            rag_scores: chosen.iter().map(|(p, q)| Some((p.1?, q.1?))).collect(),
        })
    }

    /// Names the failure signatures that a step shows, each once (method, section 10).
    fn watch(&mut self, report: &StepReport, stage: Stage, walks: &[Walk]) -> Result<()> {
        self.lost = if report.updated { 0 } else { self.lost + 1 };
        let mut warn = |name: &'static str, text: String| {
            if self.warned.insert(name) {
                self.warnings.push(text);
            }
        };
        let step = self.position.step;
        if !report.updated {
            warn(
                "finite",
                format!(
                    "step {step}: loss {} or its gradient is not finite; the step is skipped. Lower the learning rate or raise the temperature",
                    report.loss.total
                ),
            );
        } else if report.score_spread < 1e-3 {
            warn(
                "collapse",
                format!(
                    "step {step}: collapsed embeddings: all passages score alike (spread {:.1e}). Lower the learning rate and start again from an earlier checkpoint",
                    report.score_spread
                ),
            );
        } else if report.score_spread > 100.0 {
            warn(
                "saturated",
                format!(
                    "step {step}: the scores' spread is {:.0}: the softmax is saturated and learns little. Set `temperature` to about {:.0}",
                    report.score_spread,
                    self.temperatures.map_or(1.0, |at| at.vectors) * report.score_spread / SPREAD
                ),
            );
        }
        if stage == Stage::Online {
            let without = walks.iter().filter(|w| w.negative.is_none()).count();
            if 2 * without > walks.len() {
                warn(
                    "negatives",
                    format!(
                        "step {step}: online negatives run out: {without} of {} questions met none among their {} passages. Raise m, or stop here",
                        walks.len(),
                        self.input.settings.m
                    ),
                );
            }
        }
        if self.lost >= MOST_LOST_STEPS {
            return Err(TuneError::Diverged { step, times: self.lost });
        }
        Ok(())
    }

    /// The encoder's own temperatures; for a head that was never trained, those that spread in-batch scores to a size that
    /// the softmax can use (method, section 2), each kind of score by itself: with one for all, bags of tokens score nearly
    /// alike, and L_semi teaches nothing.
    fn choose_temperatures(&self) -> Result<Temperatures> {
        let meta = &self.trainer.encoder.meta;
        if self.input.settings.temperature > 0.0 {
            return Ok(Temperatures::all(self.input.settings.temperature));
        }
        if meta.trained || meta.temperature != 1.0 {
            return Ok(Temperatures::of(meta));
        }
        let members: Vec<usize> = self.usable.iter().copied().take(32).collect();
        let chosen: Vec<_> =
            members.iter().map(|&p| (self.pools[p].positives[0], self.pools[p].negatives[0])).collect();
        let batch = self.batch(&members, &vec![Walk::default(); members.len()], &chosen)?;
        let spreads = self.trainer.spreads(&batch, self.input.settings.chunk_tokens, self.input.settings.top_k);
        let [vectors, passage_bags, question_bags] = spreads.map(|spread| (spread / SPREAD).max(1.0));
        Ok(Temperatures { vectors, passage_bags, question_bags })
    }

    /// The index with the encoder as it is now.
    fn retriever(&self) -> Result<Retriever<'_>> {
        Ok(Retriever::new(self.input.index, &self.trainer.encoder)?.with(self.bags.as_ref()))
    }

    // --- dev ---

    fn evaluate(&mut self, go_on: &mut dyn FnMut() -> bool, at: Temperatures) -> Result<Advance> {
        let settings = &self.input.settings;
        let search = SearchSettings {
            mode: settings.dev_mode,
            first_stage: settings.first_stage,
            m: settings.m,
            k: 1,
            top_k: settings.top_k,
            batch_tokens: settings.chunk_tokens,
        };
        let supervision = settings.supervision;
        let questions: Vec<&Question> = self.dev.iter().map(|&i| &self.input.questions[i]).collect();
        let texts: Vec<&str> = questions.iter().map(|q| q.text.as_str()).collect();
        let hits = self.retriever()?.search(&texts, &search)?;
        let pairs: Vec<(usize, u32)> =
            hits.iter().enumerate().filter_map(|(i, h)| Some((i, h.first()?.ordinal))).collect();
        let right = match supervision {
            Supervision::Rag => {
                let Some(scores) = self.judge(&questions, &pairs, true, go_on)? else {
                    self.suspend()?;
                    return Ok(Advance::Cancelled);
                };
                scores.iter().filter(|s| s.label == Some(true)).count()
            }
            Supervision::Gold => {
                let is_gold = |&&(i, o): &&(usize, u32)| {
                    self.input.index.passage_id(o).is_ok_and(|id| questions[i].gold_ids.iter().any(|g| g == id))
                };
                pairs.iter().filter(is_gold).count()
            }
        };
        let accuracy = right as f64 / questions.len().max(1) as f64;
        let best = self.position.best.is_none_or(|b| accuracy >= b);
        self.position.evaluated = Some(self.position.step);
        let count = questions.len();
        if best {
            self.position.best = Some(accuracy);
            if self.position.step > 0 {
                checkpoint::save_best(self.input.dir, &self.trainer.encoder, at)?;
            }
        }
        self.record(Record::Dev { step: self.position.step, accuracy, questions: count, best })
    }

    // --- records ---

    fn record(&mut self, record: Record) -> Result<Advance> {
        let mut line = serde_json::to_vec(&record).unwrap_or_default();
        line.push(b'\n');
        self.input.dir.append(METRICS, &line).map_err(|e| self.io(METRICS, e))?;
        Ok(Advance::Recorded(record))
    }

    /// A resumed run repeats the steps after its checkpoint: their old records go.
    fn forget_records_after(&mut self, step: usize) -> Result<()> {
        if !self.input.dir.exists(METRICS) {
            return Ok(());
        }
        let bytes = self.input.dir.read(METRICS).map_err(|e| self.io(METRICS, e))?;
        let kept: Vec<u8> = bytes
            .split_inclusive(|&b| b == b'\n')
            .filter(|line| match serde_json::from_slice::<Record>(line) {
                Ok(Record::Step(r)) => r.step <= step,
                Ok(Record::Dev { step: at, .. }) => at <= step && self.position.evaluated.is_some_and(|e| at <= e),
                // The pools are counted again when they are read.
                Ok(Record::Pools { .. }) | Err(_) => false,
            })
            .flatten()
            .copied()
            .collect();
        self.input.dir.write(METRICS, &kept).map_err(|e| self.io(METRICS, e))
    }

    fn io(&self, file: &str, source: std::io::Error) -> TuneError {
        TuneError::Io { file: self.input.dir.describe(file), source }
    }
}

const METRICS: &str = "metrics.jsonl";

/// The generator of one draw: independent streams for every purpose and position.
fn rng(seed: u64, purpose: u64, position: u64) -> Pcg64Mcg {
    let bytes: Vec<u8> = [seed, purpose, position].iter().flat_map(|x| x.to_le_bytes()).collect();
    Pcg64Mcg::seed_from_u64(ragtune_text::hash::hash64(&bytes, 2))
}
