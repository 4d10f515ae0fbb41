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

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ragtune_eval::rag::Metrics;
use ragtune_index::Index;
use ragtune_model::{CausalLm, Encoder};
use ragtune_rag::{Judge, PromptTemplate, Retriever, SearchMode, SearchSettings, lm_fingerprint};
use ragtune_text::storage::{Directory, SubDirectory};
use ragtune_text::{Question, Split};
use ragtune_tune::{Advance, BEST, Record, Supervision, TuneError, TuneInput, TuneSettings, Tuner};
use serde::{Deserialize, Serialize};

use crate::command::{EncoderSource, QuestionSource, Tune};
use crate::corpus::Corpus;
use crate::directory::Folder;
use crate::event::{EventKind, Report, TuneReport};
use crate::jobs::eval::{evaluate, open_questions};
use crate::jobs::{build_index, open_index};
use crate::models::{open_encoder, open_lm, open_template};
use crate::questions::Questions;
use crate::session::JobContext;
use crate::{EngineError, Result};

const CONFIG: &str = "config.toml";
const BEFORE: &str = "before.json";
const REPORT: &str = "report.json";
const INDEX: &str = "index";

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
    context.on_cancel(again);
    let device = super::device(tune.device, context)?;
    let input = &config.input;
    let missing = |what: &str| EngineError::input(format!("nothing says which {what} to use: give --{what}"));
    let encoder_path = input.encoder.clone().ok_or_else(|| missing("encoder"))?;
    let questions_path = input.questions.clone().ok_or_else(|| missing("questions"))?;
    let encoder = open_encoder(&EncoderSource { folder: encoder_path, head: input.head }, &device)?;
    let template = open_template(input.template.as_deref())?;
    let lm = input.llm.as_deref().map(|path| open_lm(path, &device)).transpose()?;
    let index_path = match &input.index {
        Some(index) => index.clone(),
        None if input.corpus.is_empty() => return Err(missing("corpus")),
        None => {
            let at = path.join(INDEX);
            if !at.join("meta.json").is_file() {
                let corpus = Corpus::open(&input.corpus)?;
                let folder = Folder::create(&at).map_err(|source| EngineError::io(&at, source))?;
                build_index(&folder, &corpus, &encoder.tokenizer, encoder.meta.passage_tokens, None, context)?;
            }
            at
        }
    };
    let index = open_index(&index_path)?;
    let source =
        QuestionSource { path: questions_path, id_prefix: input.id_prefix.clone(), aliases: input.aliases.clone() };
    let questions = open_questions(&source, &index_path)?;
    questions.check_ids(&index, &questions.of(None)?)?;
    // Everything was opened: from here on the run is worth going on with.
    write(&folder, CONFIG, &toml::to_string_pretty(&config).map_err(bug)?)?;

    let setup = Setup { index: &index, questions: &questions, lm: lm.as_ref(), template: &template, device: &device };
    let before = match read_json::<Metrics>(&folder, BEFORE) {
        Some(before) => before,
        None => {
            let before = setup.figures(&encoder, &config.evaluation, context)?;
            write(&folder, BEFORE, &serde_json::to_string_pretty(&before).map_err(bug)?)?;
            before
        }
    };
    let run = setup.run(&folder, &folder, encoder, &config.tune, context)?;
    let after = setup.figures(&run.encoder, &config.evaluation, context)?;
    let report = TuneReport {
        run: path.display().to_string(),
        checkpoint: path.join(BEST).display().to_string(),
        before,
        after,
        steps: run.steps,
        seconds: context.seconds(),
        warnings: run.warnings,
    };
    write(&folder, REPORT, &serde_json::to_string_pretty(&report).map_err(bug)?)?;
    context.report(Report::Tuned(report));
    Ok(())
}

/// The run's folder and its complete settings: those of the run that is taken up, or the file's with the flags' on top.
fn settle(tune: &Tune) -> Result<(PathBuf, RunConfig)> {
    let parse = |path: &Path| -> Result<RunConfig> {
        let text = std::fs::read_to_string(path).map_err(|source| EngineError::io(path, source))?;
        toml::from_str(&text).map_err(|error| EngineError::input(format!("{}: {error}", path.display())))
    };
    if let Some(run) = &tune.resume {
        let path = run.join(CONFIG);
        if !path.is_file() {
            let text = format!("{}: there is no run to go on with here; start one with --out", path.display());
            return Err(EngineError::input(text));
        }
        return Ok((run.clone(), parse(&path)?));
    }
    let out = tune.out.clone().ok_or_else(|| EngineError::input("give --out, the folder of the run"))?;
    if out.join(CONFIG).is_file() {
        let text = format!(
            "{0}: a run lies here already; go on with it by --resume {0}, or choose another --out",
            out.display()
        );
        return Err(EngineError::input(text));
    }
    let mut config = tune.config.as_deref().map(parse).transpose()?.unwrap_or_default();
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
    Ok((out, config))
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
}

/// A finished tuning.
pub struct Tuned {
    /// The encoder that did best on dev.
    pub encoder: Encoder,
    /// Steps of training.
    pub steps: u64,
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
        if settings.questions > 0 {
            test.truncate(settings.questions);
        }
        let retriever = Retriever::new(self.index, encoder)?;
        let judge = self.lm.map(|lm| Judge::new(lm, self.template));
        let search = SearchSettings { mode: settings.mode, m: settings.m, ..SearchSettings::default() };
        let judged = |id: &str| self.questions.judgements(id);
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
            lm_fingerprint: self.lm.map(lm_fingerprint).unwrap_or_default(),
            template: self.template,
            dir: folder,
            cache_dir: cache,
            settings: settings.clone(),
        };
        let mut tuner = Tuner::open(input, encoder)?;
        let cancel = context.cancel_flag();
        let mut warnings = Vec::new();
        let mut scoring = false;
        let mut training = false;
        loop {
            let advance = tuner.advance(&mut || !cancel.is_set())?;
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
                    self.tell(record, context);
                }
                Advance::Saved { .. } => {}
                Advance::Cancelled => return Err(EngineError::Cancelled),
                Advance::Done => break,
            }
            if cancel.is_set() {
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
        Ok(Tuned { encoder, steps, warnings })
    }

    fn tell(&self, record: Record, context: &mut JobContext<'_>) {
        match &record {
            Record::Step(step) => {
                let stage = if step.stage == ragtune_tune::Stage::Offline { "offline" } else { "online" };
                context.relabel(format!("training, {stage}, loss {:.3}", step.loss));
                context.advance(step.step as u64);
            }
            Record::Dev { accuracy, .. } => context.relabel(format!("training, dev {accuracy:.3}")),
            Record::Pools { .. } => {}
        }
        context.emit(EventKind::Steps(vec![record]));
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(folder: &Folder, name: &str) -> Option<T> {
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
