//! What a tuning would cost: counted where it can be counted, measured on a small part of it for the rest. Nothing is
//! written.

mod measure;
mod memory;

use std::collections::BTreeMap;
use std::path::Path;

use ragtune_index::{BuildConfig, Index, IndexBuilder};
use ragtune_model::{CausalLm, Encoder};
use ragtune_rag::{Judge, PromptTemplate, scorer_fingerprint};
use ragtune_text::formats::ChunkConfig;
use ragtune_text::storage::{Directory, MemoryDirectory};
use ragtune_text::{LexicalVocab, Question, Split};
use ragtune_tune::{Position, ScoreCache, Stage, Supervision, TuneSettings, saved_position};

use crate::command::Tune;
use crate::corpus::Corpus;
use crate::directory::Folder;
use crate::event::{EstimateReport, Report};
use crate::fs;
use crate::jobs::open_index;
use crate::jobs::tune::{BEFORE, INDEX, RunConfig, check_precision, missing, settled};
use crate::models::{open_encoder, open_lm, open_template};
use crate::questions::{IdMapping, Questions, aliases_at};
use crate::session::JobContext;
use crate::{EngineError, Result};
use measure::{Costs, Sample};

/// Passages of a corpus without an index that are looked at.
const CORPUS_SAMPLE: usize = 1000;
/// Passages that the online walk scores at once for a question: most walks end among the first.
const WALK: f64 = 4.0;
const POOLS: &str = "pools.json";

/// `tune --estimate`
pub(super) fn estimate(tune: &Tune, context: &mut JobContext<'_>) -> Result<()> {
    let config = settled(tune)?;
    let settings = &config.tune;
    context.on_cancel("nothing was written");
    context.begin("estimating", "parts", Some(4));
    let chosen = context.shelf().device(&tune.device)?;
    if let Some(note) = chosen.note {
        context.warn(note);
    }
    let device = chosen.device;
    check_precision(settings.precision, &device)?;
    let encoder = open_encoder(&config.input.encoder_source()?, &device)?;
    let template = open_template(config.input.template.as_deref())?;
    let lm = config.input.llm.as_deref().map(|path| open_lm(path, &device)).transpose()?;
    if settings.supervision == Supervision::Rag && lm.is_none() {
        return Err(missing("llm"));
    }
    let run = tune.resume.as_deref().or(tune.out.as_deref());
    let mut notes = Vec::new();
    if !tune.helpers.is_empty() {
        notes.push("helpers are left out: with them, training takes less".to_owned());
    }
    let corpus = open_corpus(&config, run, &encoder, &mut notes)?;
    let source = config.input.question_source()?;
    let mut aliases = corpus.aliases;
    if let Some(path) = &source.aliases {
        aliases.extend(crate::corpus::read_aliases(path)?);
    }
    let questions = Questions::open(&source.path, &IdMapping { prefix: source.id_prefix, aliases })?;
    if !corpus.partial {
        questions.check_ids(&corpus.index, &questions.of(None)?)?;
    }
    context.advance(1);

    let of = |split: Split| -> Vec<&Question> {
        let all = questions.questions.iter().zip(&questions.splits);
        all.filter(|(_, of)| **of == split).map(|(question, _)| question).collect()
    };
    let (mut train, dev, mut test) = (of(Split::Train), of(Split::Dev), of(Split::Test));
    if train.is_empty() {
        return Err(EngineError::input(
            "no question belongs to the train split: tuning would have nothing to learn from",
        ));
    }
    if settings.max_questions > 0 {
        train.truncate(settings.max_questions);
    }
    if config.evaluation.questions > 0 {
        test.truncate(config.evaluation.questions);
    }
    let dev = if settings.dev_questions > 0 { dev.len().min(settings.dev_questions) } else { dev.len() };

    let found = found_in(run, &lm, &template, settings)?;
    let plan = Plan::of(settings, train.len(), dev, &found.position);
    let judge = lm.as_ref().map(|lm| {
        let mut judge = Judge::new(lm, &template);
        judge.settings = settings.judge.clone();
        judge
    });
    let sample = Sample { index: &corpus.index, encoder: &encoder, judge: judge.as_ref(), settings, train: &train };
    context.check()?;
    let costs = Costs::measure(&sample, context)?;
    context.advance(3);

    // Pools.
    let passages = if corpus.partial { usize::MAX } else { corpus.index.len() as usize };
    let k = settings.k.min(passages);
    let rag = settings.supervision == Supervision::Rag;
    let pairs = if rag { (train.len() * k) as u64 } else { 0 };
    let cached = match (rag, found.pools, found.cache) {
        (true, true, _) => pairs,
        (true, false, Some(cache)) => (sample.cached_share(cache, context)? * pairs as f64).round() as u64,
        _ => 0,
    };
    let pool_seconds =
        if found.pools { 0.0 } else { train.len() as f64 * costs.question + (pairs - cached) as f64 * costs.judged };

    // Steps. Every question of an online step is searched for anew, and what its walk meets first is scored.
    let batch = settings.batch.min(train.len()) as f64;
    // Questions that are searched for together encode a passage that several of them meet only once.
    let late = |m: usize, together: usize| {
        costs.question + (m as f64).min(passages as f64 / together.max(1) as f64) * costs.passage
    };
    let walked = batch * (late(settings.m, batch as usize) + WALK * costs.scored);
    let train_seconds = plan.steps as f64 * costs.step + plan.online_steps as f64 * walked;

    // Evaluations: of the best passage on dev, with every number of documents on test.
    let judged = if rag { costs.judged } else { 0.0 };
    let on_dev = plan.evaluations as f64 * dev as f64 * (late(settings.m, dev) + judged);
    let answered: f64 = match &lm {
        Some(lm) => config.evaluation.docs.iter().map(|&n| costs.answered(n, lm.context())).sum(),
        None => 0.0,
    };
    let rounds = if found.before { 1.0 } else { 2.0 };
    let on_test = rounds * test.len() as f64 * (late(config.evaluation.m, test.len()) + answered);

    notes.extend(costs.notes);
    notes.push(format!(
        "steps: every train question counts as usable and judgements that come up again are counted again, so this is a little high; {} evaluations of {dev} dev questions and {rounds:.0} of {} test questions",
        plan.evaluations,
        test.len()
    ));
    if plan.online_steps > 0 {
        notes.push(format!("online steps: {WALK:.0} passages scored for every question"));
    }
    if let Some(done) = found.position.as_ref().map(|position| position.step).filter(|&step| step > 0) {
        notes.push(format!("{done} steps are taken already and not counted"));
    }
    notes.push("searching the index and reading passages are not counted: they take milliseconds".to_owned());
    context.advance(4);
    context.report(Report::Estimate(EstimateReport {
        questions: train.len() as u64,
        pairs,
        cached_pairs: cached,
        steps: plan.steps as u64,
        pool_seconds,
        train_seconds,
        evaluation_seconds: on_dev + on_test,
        memory_bytes: memory::bytes(&encoder, lm.as_ref(), settings, costs.batch_tokens, costs.longest),
        device: chosen.name,
        notes,
    }));
    Ok(())
}

/// The index, or one of the corpus's first passages in memory.
struct Opened {
    index: Index,
    /// Duplicates that the corpus left out.
    aliases: BTreeMap<String, String>,
    /// Whether passages were left out.
    partial: bool,
}

fn open_corpus(config: &RunConfig, run: Option<&Path>, encoder: &Encoder, notes: &mut Vec<String>) -> Result<Opened> {
    let own = run.map(|run| run.join(INDEX)).filter(|path| fs::is_file(&path.join("meta.json")));
    if let Some(path) = config.input.index.clone().or(own) {
        return Ok(Opened { index: open_index(&path)?, aliases: aliases_at(&path)?, partial: false });
    }
    if config.input.corpus.is_empty() {
        return Err(missing("corpus"));
    }
    let corpus = Corpus::open(&config.input.corpus)?;
    let tokens = encoder.meta.passage_tokens;
    let config = BuildConfig {
        max_tokens: tokens as u32,
        ..BuildConfig::new(encoder.vocab.ids().to_vec(), encoder.tokenizer.fingerprint(), encoder.vocab.fingerprint())
    };
    let vocab: &LexicalVocab = &encoder.vocab;
    let memory = MemoryDirectory::default();
    let mut builder = IndexBuilder::new(&memory, config)?;
    let chunks = ChunkConfig {
        max_tokens: tokens.max(16),
        overlap_tokens: ChunkConfig::default().overlap_tokens.min(tokens / 2),
    };
    let mut passages = corpus.passages(&encoder.tokenizer, chunks);
    for passage in passages.by_ref().take(CORPUS_SAMPLE) {
        let passage = passage?;
        builder.add(&passage, &vocab.bag(&encoder.passage_ids(&passage.title, &passage.text)?))?;
    }
    if builder.is_empty() {
        return Err(corpus.empty());
    }
    let partial = passages.next().is_some();
    builder.finish()?;
    if partial {
        notes.push(format!(
            "the corpus has no index yet: its first {CORPUS_SAMPLE} passages stand for all, and the time to build the index is not counted"
        ));
    }
    Ok(Opened { index: Index::open(&memory)?, aliases: corpus.aliases().clone(), partial })
}

/// What a run's folder holds already.
#[derive(Default)]
struct Found {
    pools: bool,
    before: bool,
    position: Option<Position>,
    cache: Option<ScoreCache>,
}

fn found_in(
    run: Option<&Path>,
    lm: &Option<CausalLm>,
    template: &PromptTemplate,
    settings: &TuneSettings,
) -> Result<Found> {
    let Some(path) = run.filter(|path| fs::is_dir(path)) else { return Ok(Found::default()) };
    let folder = Folder::open(path).map_err(|source| EngineError::io(path, source))?;
    let (pools, before) = (folder.exists(POOLS), folder.exists(BEFORE));
    let position = saved_position(&folder)?;
    // Opening a cache mends it; here nothing is written, so a copy in memory is opened.
    let memory = MemoryDirectory::default();
    let names = folder.list("scores-").map_err(|source| EngineError::io(path, source))?;
    for name in &names {
        let fail = |source| EngineError::io(&path.join(name), source);
        memory.write(name, &folder.read(name).map_err(fail)?).map_err(fail)?;
    }
    let cache = match lm {
        Some(lm) if !names.is_empty() => {
            Some(ScoreCache::open(&memory, &scorer_fingerprint(lm, template), template, &settings.judge)?)
        }
        _ => None,
    };
    Ok(Found { pools, before, position, cache })
}

/// Counts of the work that is left.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    steps: usize,
    online_steps: usize,
    /// On dev.
    evaluations: usize,
}

impl Plan {
    /// As the tuner counts, with every train question usable.
    fn of(settings: &TuneSettings, train: usize, dev: usize, position: &Option<Position>) -> Self {
        let batch = settings.batch.min(train).max(1);
        let epoch = (train / batch + usize::from(train % batch >= 2)).max(1);
        let mut plan = Self::default();
        for (at, &stage) in settings.stages.iter().enumerate() {
            let mut steps = epoch * settings.epochs(stage);
            if settings.max_steps > 0 {
                steps = steps.min(settings.max_steps);
            }
            let done = position.as_ref().map_or(0, |position| match at.cmp(&position.stage) {
                std::cmp::Ordering::Less => steps,
                std::cmp::Ordering::Equal => position.stage_step.min(steps),
                std::cmp::Ordering::Greater => 0,
            });
            let every = if settings.evaluate_steps == 0 { epoch } else { settings.evaluate_steps };
            // At the end of every interval, and at the end of the stage.
            let evaluations = |steps: usize| steps.div_ceil(every);
            plan.steps += steps - done;
            if stage == Stage::Online {
                plan.online_steps += steps - done;
            }
            plan.evaluations += evaluations(steps) - evaluations(done).min(evaluations(steps));
        }
        // The start itself.
        plan.evaluations += usize::from(position.is_none() && plan.steps > 0);
        if dev == 0 {
            plan.evaluations = 0;
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_counts_as_the_tuner_does() {
        let settings = TuneSettings { batch: 8, offline_epochs: 4, online_epochs: 2, ..TuneSettings::default() };
        // 21 questions: two steps of 8, and one of 5; a rest of 1 would wait.
        assert_eq!(Plan::of(&settings, 21, 5, &None), Plan { steps: 18, online_steps: 6, evaluations: 7 });
        assert_eq!(Plan::of(&settings, 17, 5, &None).steps, 12);
        assert_eq!(Plan::of(&settings, 21, 0, &None).evaluations, 0);
        let short = TuneSettings { max_steps: 4, ..settings.clone() };
        assert_eq!(Plan::of(&short, 21, 5, &None), Plan { steps: 8, online_steps: 4, evaluations: 5 });
        let position = Position { stage: 1, stage_step: 2, step: 14, ..Position::default() };
        let rest = Plan::of(&settings, 21, 5, &Some(position));
        assert_eq!((rest.steps, rest.online_steps), (4, 4));
        let done = Position { stage: 2, stage_step: 0, step: 18, ..Position::default() };
        assert_eq!(Plan::of(&settings, 21, 5, &Some(done)), Plan::default());
    }
}
