//! The demo: the whole method on the sample world, with the models that ship with it.
//!
//! ```text
//! OUT/demo.json     what the demo was asked for, so that a second start goes on with it
//! OUT/world/        corpus, questions, judgements (BEIR)
//! OUT/models/       the initial encoder and the reader
//! OUT/index/        the bag-of-tokens index
//! OUT/scores/       the score cache that all tunings share
//! OUT/runs/both/    offline and online; OUT/runs/offline/ and OUT/runs/online/ with --stages
//! OUT/report.json   the result
//! ```

use std::path::Path;

use ragtune_eval::rag::Metrics;
use ragtune_model::{CausalLm, Encoder};
use ragtune_rag::{Judge, PromptTemplate, Retriever, SearchMode, SearchSettings, scorer_fingerprint};
use ragtune_sample::{Population, World, WorldConfig};
use ragtune_text::storage::Directory;
use ragtune_text::{Passage, Question, Split};
use ragtune_tune::{OptimSettings, ScoreCache, Stage, Supervision, TuneSettings};
use serde::{Deserialize, Serialize};

use crate::command::{Demo, QuestionSource};
use crate::corpus::Corpus;
use crate::directory::Folder;
use crate::event::{DemoReport, Report, StageMetrics};
use crate::jobs::eval::open_questions;
use crate::jobs::sample::{write_models, write_world};
use crate::jobs::tune::{RunConfig, RunEvaluation, RunInput, Setup, finish_run, write_before, write_config};
use crate::jobs::{build_index, open_index};
use crate::session::JobContext;
use crate::{EngineError, Result};

/// Passages of the demo's world.
pub const PASSAGES: u64 = 1000;
/// Questions of the demo's world.
pub const QUESTIONS: u64 = 700;

/// The demo's own settings: the paper's, cut down to minutes.
pub fn settings(seed: u64, stages: &[Stage]) -> TuneSettings {
    TuneSettings {
        supervision: Supervision::Rag,
        stages: stages.to_vec(),
        seed,
        k: 20,
        m: 20,
        // A short warm-up: what the start finds is learnt in two epochs, and more of it holds the online stage back.
        offline_epochs: 2,
        online_epochs: 4,
        warmup_epochs: 1.0,
        batch: 32,
        optim: OptimSettings { lr: 1e-4, ..OptimSettings::default() },
        ..TuneSettings::default()
    }
}

#[derive(Serialize, Deserialize, PartialEq)]
struct Asked {
    seed: u64,
    passages: u64,
    questions: u64,
}

/// `demo`
pub(super) fn demo(demo: &Demo, context: &mut JobContext<'_>) -> Result<()> {
    let out = |name: &str| demo.out.join(name);
    let folder = |name: &str| {
        let path = out(name);
        Folder::create(&path).map_err(|source| EngineError::io(&path, source))
    };
    let root = folder("")?;
    context.on_cancel(format!("the same command goes on: ragtune demo --out {}", demo.out.display()));
    check_asked(&root, demo.seed, &demo.out)?;
    let device = super::device(&demo.device, context)?;

    // World, models, index: each is made once.
    let world_folder = folder("world")?;
    if !world_folder.exists("qa.jsonl") || !world_folder.exists("corpus.jsonl") {
        let population = Population::TuningAndTest;
        let config = WorldConfig { seed: demo.seed, passages: PASSAGES, questions: QUESTIONS, population };
        write_world(&World::new(config)?, &world_folder, context)?;
    }
    write_models(&out("models"))?;
    let (encoder_folder, reader_folder) = (folder("models/encoder")?, folder("models/reader")?);
    let encoder = Encoder::load(&encoder_folder, &device, None)?;
    let lm = CausalLm::load(&reader_folder, &device)?;
    let index_folder = folder("index")?;
    if !index_folder.exists("meta.json") {
        let corpus = Corpus::open(&[out("world")])?;
        build_index(&index_folder, &corpus, &encoder.tokenizer, encoder.meta.passage_tokens, None, context)?;
    }
    let index = open_index(&out("index"))?;
    let source = QuestionSource { path: out("world"), id_prefix: None, aliases: None };
    let questions = open_questions(&source, &out("index"))?;
    let template = PromptTemplate::default();
    let setup = Setup {
        index: &index,
        questions: &questions,
        lm: Some(&lm),
        template: &template,
        device: &device,
        helpers: &[],
    };
    let scores = folder("scores")?;

    // The same questions before and after, and what the best order of the candidates would give.
    let evaluation = RunEvaluation::default();
    let test: Vec<Question> = questions.of(Some(Split::Test))?.into_iter().cloned().collect();
    let before = setup.figures(&encoder, &evaluation, context)?;
    let oracle = oracle(&setup, &encoder, &test, &scores, context)?;
    // Each run's folder is as one of `tune`: it can be listed, shown and exported.
    let mut tuned = |name: &str, stages: &[Stage]| -> Result<Metrics> {
        let name = format!("runs/{name}");
        let (path, began) = (out(&name), context.seconds());
        let folder = folder(&name)?;
        let config = RunConfig {
            input: RunInput {
                index: Some(out("index")),
                questions: Some(out("world")),
                encoder: Some(out("models/encoder")),
                llm: Some(out("models/reader")),
                ..RunInput::default()
            },
            evaluation: evaluation.clone(),
            tune: settings(demo.seed, stages),
        };
        write_config(&folder, &config)?;
        write_before(&folder, &before)?;
        let run = setup.run(&folder, &scores, encoder.clone(), &config.tune, context)?;
        let after = setup.figures(&run.encoder, &evaluation, context)?;
        finish_run(&folder, &path, before.clone(), after.clone(), &run, context.seconds() - began)?;
        Ok(after)
    };
    let after = tuned("both", &[Stage::Offline, Stage::Online])?;
    let stages = match demo.stages {
        true => Some(StageMetrics {
            offline_only: tuned("offline", &[Stage::Offline])?,
            online_only: tuned("online", &[Stage::Online])?,
        }),
        false => None,
    };
    let report = DemoReport {
        before,
        after,
        stages,
        oracle_accuracy: [(1, oracle)].into(),
        passages: u64::from(index.len()),
        questions: questions.len() as u64,
        seconds: context.seconds(),
        run: out("runs/both").display().to_string(),
    };
    let text = serde_json::to_vec_pretty(&report)
        .map_err(|error| EngineError::Failed(format!("the report cannot be written: {error}")))?;
    root.write("report.json", &text).map_err(|source| EngineError::io(&demo.out, source))?;
    context.report(Report::Demo(report));
    Ok(())
}

/// A folder belongs to one demo: another seed in it would mix two worlds.
fn check_asked(root: &Folder, seed: u64, out: &Path) -> Result<()> {
    const FILE: &str = "demo.json";
    let asked = Asked { seed, passages: PASSAGES, questions: QUESTIONS };
    let found = root.read(FILE).ok().and_then(|bytes| serde_json::from_slice::<Asked>(&bytes).ok());
    match found {
        Some(found) if found == asked => Ok(()),
        Some(found) => Err(EngineError::input(format!(
            "{}: a demo with seed {} lies here. Say --seed {}, or choose another folder with --out",
            out.display(),
            found.seed,
            found.seed
        ))),
        None => {
            let text = serde_json::to_vec(&asked).unwrap_or_default();
            root.write(FILE, &text).map_err(|source| EngineError::io(out, source))
        }
    }
}

/// Share of the questions that the reader answers from the passage that it scores highest for the gold answer, among
/// the initial retriever's best (method, section 11: the oracle).
fn oracle(
    setup: &Setup<'_>,
    encoder: &Encoder,
    test: &[Question],
    scores: &Folder,
    context: &mut JobContext<'_>,
) -> Result<Option<f64>> {
    const CANDIDATES: usize = 20;
    let Some(lm) = setup.lm else { return Ok(None) };
    let judge = Judge::new(lm, setup.template);
    let mut cache = ScoreCache::open(scores, &scorer_fingerprint(lm, setup.template), setup.template, &judge.settings)?;
    let search = SearchSettings { mode: SearchMode::Late, m: CANDIDATES, k: CANDIDATES, ..SearchSettings::default() };
    let retriever = Retriever::new(setup.index, encoder)?;
    context.begin("finding the oracle's accuracy", "questions", Some(test.len() as u64));
    let (mut right, mut done) = (0, 0);
    for block in test.chunks(32) {
        let texts: Vec<&str> = block.iter().map(|q| q.text.as_str()).collect();
        let mut passages: Vec<Vec<Passage>> = Vec::new();
        for hits in retriever.search(&texts, &search)? {
            let read = hits.iter().map(|hit| setup.index.passage(hit.ordinal));
            passages.push(read.collect::<std::result::Result<_, _>>()?);
        }
        let pairs: Vec<(&Question, &Passage)> =
            block.iter().zip(&passages).flat_map(|(q, all)| all.iter().map(move |p| (q, p))).collect();
        let judged = cache.judge(scores, &judge, &pairs, true, &mut |_| !context.cancelled())?;
        let Some(judged) = judged else { return Err(EngineError::Cancelled) };
        let mut at = 0;
        for all in &passages {
            let best = judged[at..at + all.len()].iter().max_by(|a, b| a.score.total_cmp(&b.score));
            right += usize::from(best.is_some_and(|pair| pair.label == Some(true)));
            at += all.len();
        }
        done += block.len();
        context.advance(done as u64);
        context.check()?;
    }
    Ok((!test.is_empty()).then(|| right as f64 / test.len() as f64))
}
