//! Tuning an encoder: figures before, the stages, figures after; a run's folder that can be taken up again.
//!
//! ```text
//! RUN/config.toml      what is tuned with what, and every setting
//! RUN/index/           the index, when the run was given a corpus
//! RUN/before.json      figures of the start on the test questions
//! RUN/metrics.jsonl    one line per step and evaluation
//! RUN/scores-*.jsonl   the score cache        RUN/pools.json   the pools
//! RUN/checkpoints/     to go on from          RUN/best/        the encoder that did best on dev
//! RUN/report.json      the result
//! ```

mod told;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ragtune_eval::rag::Metrics;
use ragtune_index::Index;
use ragtune_kernels::is_cpu;
use ragtune_model::{CausalLm, Encoder};
use ragtune_rag::{Judge, PromptTemplate, Retriever, SearchMode, SearchSettings, scorer_fingerprint};
use ragtune_text::storage::{Directory, SubDirectory};
use ragtune_text::{Question, Split};
use ragtune_tune::{Advance, BEST, Precision, Record, Supervision, TuneError, TuneInput, TuneSettings, Tuner};
use serde::{Deserialize, Serialize};

use crate::command::{EncoderSource, QuestionSource, Tune};
use crate::corpus::Corpus;
use crate::directory::Folder;
use crate::event::{EventKind, Example, OnlineRates, Report, ShownExample, TuneReport};
use crate::fs;
use crate::jobs::eval::{evaluate, open_questions};
use crate::jobs::{build_index, open_index};
use crate::models::{open_encoder, open_lm, open_template};
use crate::questions::Questions;
use crate::session::JobContext;
use crate::{EngineError, Result};

use told::Told;

pub(super) const CONFIG: &str = "config.toml";
pub(super) const BEFORE: &str = "before.json";
pub(super) const REPORT: &str = "report.json";
pub(super) const INDEX: &str = "index";

/// `config.toml` of a run, and the form of a file for `--config`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// What is tuned with what.
    pub input: RunInput,
    /// How the test questions are evaluated before and after.
    pub evaluation: RunEvaluation,
    /// The tuning's settings.
    pub tune: TuneSettings,
}

/// Paths of a run, as they were given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunInput {
    /// Corpus files and folders.
    pub corpus: Vec<PathBuf>,
    /// An index that stands.
    pub index: Option<PathBuf>,
    /// The questions.
    pub questions: Option<PathBuf>,
    /// The corpus names passages `PREFIX/ID`.
    pub id_prefix: Option<String>,
    /// A list of duplicates.
    pub aliases: Option<PathBuf>,
    /// The encoder to start from.
    pub encoder: Option<PathBuf>,
    /// Its head, when not its folder's own.
    pub head: Option<ragtune_model::HeadKind>,
    /// The language model.
    pub llm: Option<PathBuf>,
    /// The prompt template.
    pub template: Option<PathBuf>,
}

impl RunInput {
    /// The questions; an error when nothing names them.
    pub(super) fn question_source(&self) -> Result<QuestionSource> {
        let path = self.questions.clone().ok_or_else(|| missing("questions"))?;
        Ok(QuestionSource { path, id_prefix: self.id_prefix.clone(), aliases: self.aliases.clone() })
    }

    /// The encoder to start from; an error when nothing names it.
    pub(super) fn encoder_source(&self) -> Result<EncoderSource> {
        let folder = self.encoder.clone().ok_or_else(|| missing("encoder"))?;
        Ok(EncoderSource { folder, head: self.head })
    }
}

pub(super) fn missing(what: &str) -> EngineError {
    EngineError::input(format!("nothing says which {what} to use: give --{what}"))
}

/// Settings of the evaluations before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunEvaluation {
    /// How passages are found.
    pub mode: SearchMode,
    /// Window of `late`.
    pub m: usize,
    /// Numbers of documents in context.
    pub docs: Vec<usize>,
    /// At most so many test questions, the first ones; 0 for all.
    pub questions: usize,
}

impl Default for RunEvaluation {
    fn default() -> Self {
        Self { mode: SearchMode::Late, m: 100, docs: vec![1, 10], questions: 0 }
    }
}

/// `tune`
pub(super) fn tune(tune: &Tune, context: &mut JobContext<'_>) -> Result<()> {
    let (path, config) = settle(tune)?;
    let folder = Folder::create(&path).map_err(|source| EngineError::io(&path, source))?;
    let again = format!("ragtune tune --resume {}", path.display());
    context.on_cancel(format!("the run can go on: {again}"));
    let device = super::device(&tune.device, context)?;
    let helpers = super::helpers(&tune.helpers, &tune.device, context)?;
    let input = &config.input;
    let source = input.question_source()?;
    for device in std::iter::once(&device).chain(&helpers) {
        check_precision(config.tune.precision, device)?;
    }
    let encoder = open_encoder(&input.encoder_source()?, &device)?;
    let template = open_template(input.template.as_deref())?;
    let lm = input.llm.as_deref().map(|path| open_lm(path, &device)).transpose()?;
    let index_path = match &input.index {
        Some(index) => index.clone(),
        None if input.corpus.is_empty() => return Err(missing("corpus")),
        None => {
            let at = path.join(INDEX);
            if !fs::is_file(&at.join("meta.json")) {
                let corpus = Corpus::open(&input.corpus)?;
                let folder = Folder::create(&at).map_err(|source| EngineError::io(&at, source))?;
                build_index(&folder, &corpus, &encoder.tokenizer, encoder.meta.passage_tokens, None, context)?;
            }
            at
        }
    };
    let index = open_index(&index_path)?;
    let questions = open_questions(&source, &index_path)?;
    questions.check_ids(&index, &questions.of(None)?)?;
    // Everything was opened: from here on the run is worth going on with.
    write_config(&folder, &config)?;
    let setup = Setup {
        index: &index,
        questions: &questions,
        lm: lm.as_ref(),
        template: &template,
        device: &device,
        helpers: &helpers,
    };
    let report = whole(&setup, &folder, &path, encoder, &config, context).map_err(|error| match error.exit_code() {
        // A full disk, say: what was saved is whole.
        1 => EngineError::Failed(format!("{error}\nThe run can go on from its last checkpoint: {again}")),
        _ => error,
    })?;
    context.report(Report::Tuned(report));
    Ok(())
}

/// Refuses products in 16 bits where they would be wrong or none.
pub(super) fn check_precision(precision: Precision, device: &Device) -> Result<()> {
    let refused = |reason: &str| {
        Err(EngineError::input(format!("precision = \"f16\": {reason}; leave it out, or choose another --device")))
    };
    match precision {
        Precision::F32 => Ok(()),
        Precision::F16 if is_cpu(device) => refused("the CPU computes in 32 bits"),
        Precision::F16 if crate::device::halves(device) != Some(true) => {
            refused("this device does not multiply rightly in 16 bits")
        }
        Precision::F16 => Ok(()),
    }
}

/// Figures before, the stages, figures after.
fn whole(
    setup: &Setup<'_>,
    folder: &Folder,
    path: &Path,
    encoder: Encoder,
    config: &RunConfig,
    context: &mut JobContext<'_>,
) -> Result<TuneReport> {
    let before = match read_json::<Metrics>(folder, BEFORE) {
        Some(before) => before,
        None => {
            let before = setup.figures(&encoder, &config.evaluation, context)?;
            write_before(folder, &before)?;
            before
        }
    };
    let run = setup.run(folder, folder, encoder, &config.tune, context)?;
    let after = setup.figures(&run.encoder, &config.evaluation, context)?;
    finish_run(folder, path, before, after, &run, context.seconds())
}

/// Writes a run's settings: a folder with them is a run.
pub(super) fn write_config(folder: &Folder, config: &RunConfig) -> Result<()> {
    write(folder, CONFIG, &toml::to_string_pretty(config).map_err(bug)?)
}

/// Writes the figures of the start.
pub(super) fn write_before(folder: &Folder, before: &Metrics) -> Result<()> {
    write(folder, BEFORE, &serde_json::to_string_pretty(before).map_err(bug)?)
}

/// Writes a run's result, by which it counts as finished.
pub(super) fn finish_run(
    folder: &Folder,
    path: &Path,
    before: Metrics,
    after: Metrics,
    run: &Tuned,
    seconds: f64,
) -> Result<TuneReport> {
    let report = TuneReport {
        run: path.display().to_string(),
        checkpoint: path.join(BEST).display().to_string(),
        before,
        after,
        steps: run.steps,
        seconds,
        online: run.online,
        warnings: run.warnings.clone(),
    };
    write(folder, REPORT, &serde_json::to_string_pretty(&report).map_err(bug)?)?;
    Ok(report)
}

/// The run's folder and its complete settings. A run is taken up only by `--resume`.
fn settle(tune: &Tune) -> Result<(PathBuf, RunConfig)> {
    if let Some(run) = &tune.resume {
        return Ok((run.clone(), settled(tune)?));
    }
    let out = tune.out.clone().ok_or_else(|| EngineError::input("give --out, the folder of the run"))?;
    if fs::is_file(&out.join(CONFIG)) {
        let text = format!(
            "{0}: a run lies here already; go on with it by --resume {0}, or choose another --out",
            out.display()
        );
        return Err(EngineError::input(text));
    }
    Ok((out, settled(tune)?))
}

/// The complete settings: those of the run that is taken up, or the file's with the flags' on top. Writes nothing.
pub(super) fn settled(tune: &Tune) -> Result<RunConfig> {
    if let Some(run) = &tune.resume {
        let path = run.join(CONFIG);
        if !fs::is_file(&path) {
            let text = format!("{}: there is no run to go on with here; start one with --out", path.display());
            return Err(EngineError::input(text));
        }
        return read_config(&path);
    }
    let mut config = tune.config.as_deref().map(read_config).transpose()?.unwrap_or_default();
    if let Some(settings) = &tune.settings {
        config.tune = TuneSettings::clone(settings);
    }
    let input = &mut config.input;
    if !tune.corpus.is_empty() {
        input.corpus = tune.corpus.clone();
    }
    let keep = |old: &mut Option<PathBuf>, new: &Option<PathBuf>| {
        if new.is_some() {
            *old = new.clone();
        }
    };
    keep(&mut input.index, &tune.index);
    keep(&mut input.llm, &tune.llm);
    keep(&mut input.template, &tune.template);
    if let Some(questions) = &tune.questions {
        input.questions = Some(questions.path.clone());
        input.id_prefix = questions.id_prefix.clone();
        input.aliases = questions.aliases.clone();
    }
    if let Some(encoder) = &tune.encoder {
        input.encoder = Some(encoder.folder.clone());
        input.head = encoder.head;
    }
    let settings = &mut config.tune;
    if let Some(supervision) = tune.supervision {
        settings.supervision = supervision;
    }
    match &tune.stages {
        Some(stages) => settings.stages = stages.clone(),
        // Gold supervision has one stage; naming it is not asked of the user.
        None if settings.supervision == Supervision::Gold => settings.stages = vec![ragtune_tune::Stage::Offline],
        None => {}
    }
    if tune.seed != 0 {
        settings.seed = tune.seed;
    }
    settings.check()?;
    Ok(config)
}

/// Reads a file of settings.
pub(super) fn read_config(path: &Path) -> Result<RunConfig> {
    let text = crate::fs::read_to_string(path).map_err(|source| EngineError::io(path, source))?;
    toml::from_str(&text).map_err(|error| EngineError::input(format!("{}: {error}", path.display())))
}

/// What tunings of the same encoder share.
pub struct Setup<'a> {
    /// The index.
    pub index: &'a Index,
    /// The questions with their splits.
    pub questions: &'a Questions,
    /// The language model.
    pub lm: Option<&'a CausalLm>,
    /// The template.
    pub template: &'a PromptTemplate,
    /// Computes.
    pub device: &'a Device,
    /// Compute a share of each training step.
    pub helpers: &'a [Device],
}

/// A finished tuning.
pub struct Tuned {
    /// The encoder that did best on dev.
    pub encoder: Encoder,
    /// Steps of training.
    pub steps: u64,
    /// How fast its online steps were.
    pub online: Option<OnlineRates>,
    /// What the user should look at.
    pub warnings: Vec<String>,
}

impl Setup<'_> {
    /// Figures of an encoder on the test questions.
    pub fn figures(
        &self,
        encoder: &Encoder,
        settings: &RunEvaluation,
        context: &mut JobContext<'_>,
    ) -> Result<Metrics> {
        let mut test: Vec<Question> = match self.questions.of(Some(Split::Test)) {
            Ok(test) => test.into_iter().cloned().collect(),
            Err(_) => {
                context.warn("no question belongs to the test split: figures before and after are not computed");
                return Ok(Metrics::default());
            }
        };
        let judged = |id: &str| self.questions.judgements(id);
        // One without answers and gold passages gives no figure.
        test.retain(|question| !question.answers.is_empty() || judged(&question.id).is_some());
        if settings.questions > 0 {
            test.truncate(settings.questions);
        }
        let retriever = Retriever::new(self.index, encoder)?;
        let judge = self.lm.map(|lm| Judge::new(lm, self.template));
        let search = SearchSettings { mode: settings.mode, m: settings.m, ..SearchSettings::default() };
        Ok(evaluate(&retriever, judge.as_ref(), &test, &judged, &settings.docs, &search, context)?.metrics)
    }

    /// Runs or goes on with a tuning in `folder`, with the score cache in `cache`.
    pub fn run(
        &self,
        folder: &dyn Directory,
        cache: &dyn Directory,
        encoder: Encoder,
        settings: &TuneSettings,
        context: &mut JobContext<'_>,
    ) -> Result<Tuned> {
        let questions: Vec<Question> = self
            .questions
            .questions
            .iter()
            .zip(&self.questions.splits)
            .map(|(question, split)| Question { split: Some(*split), ..question.clone() })
            .collect();
        let input = TuneInput {
            index: self.index,
            questions: &questions,
            lm: self.lm,
            lm_fingerprint: self.lm.map(|lm| scorer_fingerprint(lm, self.template)).unwrap_or_default(),
            template: self.template,
            dir: folder,
            cache_dir: cache,
            settings: settings.clone(),
        };
        let mut tuner = Tuner::open(input, encoder)?;
        tuner.trainer.share_with(self.helpers.to_vec());
        let mut warnings = Vec::new();
        let mut scoring = false;
        let mut training = false;
        let mut told = Told::default();
        loop {
            let began = context.seconds();
            let advance = tuner.advance(&mut || !context.cancelled())?;
            for warning in std::mem::take(&mut tuner.warnings) {
                context.warn(warning.clone());
                warnings.push(warning);
            }
            match advance {
                Advance::Scored { done, total } => {
                    if !scoring {
                        context.begin("building the pools", "questions", Some(total as u64));
                        scoring = true;
                    }
                    context.advance(done as u64);
                }
                Advance::Recorded(record) => {
                    if !training && let (Record::Step(_), Some(total)) = (&record, tuner.total_steps()) {
                        context.begin("training", "steps", Some(total as u64));
                        training = true;
                    }
                    if let Record::Step(step) = &record {
                        told.step(step, context.seconds() - began);
                    }
                    self.tell(record, &mut told, context)?;
                }
                Advance::Saved { .. } => {}
                Advance::Cancelled => return Err(EngineError::Cancelled),
                Advance::Done => break,
            }
            told.resources(context);
            if context.cancelled() {
                tuner.suspend()?;
                return Err(EngineError::Cancelled);
            }
        }
        let steps = tuner.position().step as u64;
        let best = SubDirectory::new(folder, BEST);
        let encoder = match best.exists("model.safetensors") {
            true => Encoder::load(&best, self.device, None)?,
            false => {
                let text = "no step did better on dev than the start: the start's weights are kept";
                context.warn(text);
                warnings.push(text.to_owned());
                tuner.start().save(&best)?;
                tuner.start().clone()
            }
        };
        Ok(Tuned { encoder, steps, online: told.online(), warnings })
    }

    fn tell(&self, record: Record, told: &mut Told, context: &mut JobContext<'_>) -> Result<()> {
        match &record {
            Record::Step(step) => {
                if told.wants_example(context.seconds()) {
                    let shown = self.shown(step.step, &step.example)?;
                    context.emit(EventKind::Example(Box::new(shown)));
                }
                let stage = if step.stage == ragtune_tune::Stage::Offline { "offline" } else { "online" };
                context.relabel(format!("training, {stage}, loss {:.3}", step.loss));
                context.advance(step.step as u64);
            }
            Record::Dev { accuracy, .. } => context.relabel(format!("training, dev {accuracy:.3}")),
            Record::Pools { .. } => {}
        }
        context.emit(EventKind::Steps(vec![record]));
        Ok(())
    }

    /// An example with its texts.
    fn shown(&self, step: usize, example: &Example) -> Result<ShownExample> {
        let question = self.questions.questions.iter().find(|question| question.id == example.question);
        let passage = |id: &str| -> Result<String> {
            let Some(ordinal) = self.index.ordinal(id) else { return Ok(String::new()) };
            let passage = self.index.passage(ordinal)?;
            let gap = if passage.title.is_empty() { "" } else { "\n" };
            Ok(format!("{}{gap}{}", passage.title, passage.text))
        };
        Ok(ShownExample {
            step,
            question: question.map(|question| question.text.clone()).unwrap_or_default(),
            positive: passage(&example.positive)?,
            negative: passage(&example.negative)?,
            example: example.clone(),
        })
    }
}

pub(super) fn read_json<T: for<'de> Deserialize<'de>>(folder: &Folder, name: &str) -> Option<T> {
    serde_json::from_slice(&folder.read(name).ok()?).ok()
}

fn write(folder: &Folder, name: &str, text: &str) -> Result<()> {
    folder.write(name, text.as_bytes()).map_err(|source| EngineError::io(&folder.path().join(name), source))
}

fn bug(error: impl std::fmt::Display) -> EngineError {
    EngineError::Failed(format!("a result cannot be written: {error}"))
}

impl From<TuneError> for EngineError {
    fn from(error: TuneError) -> Self {
        match error {
            TuneError::Index(error) => error.into(),
            TuneError::Model(error) => error.into(),
            TuneError::Rag(error) => error.into(),
            other => Self::Tune(other),
        }
    }
}
