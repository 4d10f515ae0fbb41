//! The tuner end to end on a small sample world: resume, gradient caching, both kinds of supervision, failures.

use burn::tensor::Device;
use ragtune_index::{BuildConfig, Index, IndexBuilder};
use ragtune_model::{CausalLm, Encoder, EncoderMeta, Weight, Weights};
use ragtune_rag::{PromptTemplate, lm_fingerprint};
use ragtune_sample::{Population, World, WorldConfig};
use ragtune_tests::{tiny_config, tokenizer};
use ragtune_text::storage::{Directory, MemoryDirectory};
use ragtune_text::{LexicalVocab, Question, Tokenizer};
use ragtune_tune::{
    Advance, Batch, LossOptions, OptimSettings, Origin, Record, Stage, StepRecord, StepSettings, Supervision,
    Temperatures, Trainer, TuneInput, TuneSettings, Tuner,
};
use rand::SeedableRng;

struct Small {
    index: Index,
    questions: Vec<Question>,
    tokenizer: Tokenizer,
}

fn small_world() -> Small {
    let tokenizer = tokenizer();
    let world =
        World::new(WorldConfig { seed: 5, passages: 200, questions: 100, population: Population::TuningAndTest })
            .expect("world");
    let vocab = LexicalVocab::from_tokenizer(&tokenizer);
    let dir = MemoryDirectory::default();
    let config = BuildConfig::new(vocab.ids().to_vec(), tokenizer.fingerprint(), vocab.fingerprint());
    let mut builder = IndexBuilder::new(&dir, config).expect("builder");
    for passage in world.passages() {
        let ids = tokenizer.passage(&passage.title, &passage.text, 256).expect("ids");
        builder.add(&passage, &vocab.bag(&ids)).expect("passage");
    }
    builder.finish().expect("index");
    Small { index: Index::open(&dir).expect("index"), questions: world.questions().collect(), tokenizer }
}

/// A fresh encoder, small enough for a debug-free second.
fn tiny_encoder(tokenizer: &Tokenizer) -> Encoder {
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(9);
    Encoder::init(tiny_config(tokenizer, 256), tokenizer.clone(), &Device::flex(), &mut rng).expect("encoder")
}

fn gold_settings() -> TuneSettings {
    TuneSettings {
        supervision: Supervision::Gold,
        stages: vec![Stage::Offline],
        k: 10,
        m: 10,
        offline_epochs: 2,
        max_steps: 4,
        batch: 8,
        checkpoint_steps: 2,
        dev_questions: 5,
        optim: OptimSettings { lr: 1e-3, ..Default::default() },
        ..Default::default()
    }
}

struct Run<'a> {
    world: &'a Small,
    lm: Option<&'a CausalLm>,
    template: &'a PromptTemplate,
    dir: &'a MemoryDirectory,
    settings: TuneSettings,
}

impl Run<'_> {
    fn open(&self, encoder: Encoder) -> Tuner<'_> {
        let input = TuneInput {
            index: &self.world.index,
            questions: &self.world.questions,
            lm: self.lm,
            lm_fingerprint: self.lm.map(lm_fingerprint).unwrap_or_default(),
            template: self.template,
            dir: self.dir,
            cache_dir: self.dir,
            settings: self.settings.clone(),
        };
        Tuner::open(input, encoder).expect("tuner opens")
    }
}

/// Advances until `stop` says so or the tuning is done; returns the records.
fn drive(tuner: &mut Tuner<'_>, stop: impl Fn(&Advance) -> bool) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let advance = tuner.advance(&mut || true).expect("advance");
        if let Advance::Recorded(record) = &advance {
            records.push(record.clone());
        }
        if matches!(advance, Advance::Done) || stop(&advance) {
            return records;
        }
    }
}

fn steps(records: &[Record]) -> Vec<StepRecord> {
    let step = |r: &Record| match r {
        Record::Step(s) => Some(s.clone()),
        _ => None,
    };
    records.iter().filter_map(step).collect()
}

fn values(weights: &Weights) -> Vec<(String, Vec<f32>)> {
    weights.iter().map(|(name, weight)| (name.clone(), weight.values())).collect()
}

#[test]
fn two_and_two_steps_equal_four_bit_for_bit() {
    let world = small_world();
    let template = PromptTemplate::default();
    let (whole, parts) = (MemoryDirectory::default(), MemoryDirectory::default());
    let run = |dir| Run { world: &world, lm: None, template: &template, dir, settings: gold_settings() };

    let at_once = run(&whole);
    let mut tuner = at_once.open(tiny_encoder(&world.tokenizer));
    let expected = steps(&drive(&mut tuner, |_| false));
    assert_eq!(expected.len(), 4);
    let want = values(&tuner.trainer.encoder.question.weights);

    let in_parts = run(&parts);
    let mut first = in_parts.open(tiny_encoder(&world.tokenizer));
    drive(&mut first, |a| matches!(a, Advance::Saved { .. }));
    assert_eq!(first.position().step, 2);
    // A step after the checkpoint that is lost, as when the process is killed.
    drive(&mut first, |a| matches!(a, Advance::Recorded(Record::Step(_))));
    drop(first);
    let mut second = in_parts.open(tiny_encoder(&world.tokenizer));
    assert_eq!(second.position().step, 2);
    let rest = steps(&drive(&mut second, |_| false));
    assert_eq!(rest.len(), 2);
    for (a, b) in expected[2..].iter().zip(&rest) {
        assert_eq!((a.step, a.loss.to_bits(), &a.example.question), (b.step, b.loss.to_bits(), &b.example.question));
    }
    for ((name, want), (_, got)) in want.iter().zip(values(&second.trainer.encoder.question.weights)) {
        assert!(want.iter().zip(&got).all(|(a, b)| a.to_bits() == b.to_bits()), "{name} differs after resuming");
    }
    // The log tells every step once.
    let log = parts.read("metrics.jsonl").expect("metrics");
    let logged: Vec<usize> = log
        .split(|&b| b == b'\n')
        .filter_map(|l| serde_json::from_slice::<Record>(l).ok())
        .filter_map(|r| if let Record::Step(s) = r { Some(s.step) } else { None })
        .collect();
    assert_eq!(logged, vec![1, 2, 3, 4]);
}

#[test]
fn gradient_caching_gives_the_same_gradients_as_one_pass() {
    let world = small_world();
    let mut trainer = Trainer::new(tiny_encoder(&world.tokenizer), OptimSettings::default());
    let encoder = &trainer.encoder;
    let batch = Batch {
        questions: world.questions[..4].iter().map(|q| encoder.question_ids(&q.text).expect("ids")).collect(),
        passages: (0..8)
            .map(|o| {
                let p = world.index.passage(o * 7).expect("passage");
                encoder.passage_ids(&p.title, &p.text).expect("ids")
            })
            .collect(),
        masked: vec![false; 32],
        rag_scores: vec![None; 4],
    };
    let settings = |chunk_tokens, kept_tokens, checkpointing| StepSettings {
        top_k: 64,
        chunk_tokens,
        kept_tokens,
        kept_bytes: u64::MAX,
        checkpointing,
        half: false,
        temperatures: Temperatures::all(1.0),
        loss: LossOptions::default(),
    };
    let (whole, want, _) = trainer.gradients(&batch, &settings(100_000, 100_000, false));
    let ways = [(100_000, 0), (100, 0), (100, 100_000), (1, 0)].map(|(chunk, kept)| (chunk, kept, false));
    for (chunk, kept, checkpointing) in ways.into_iter().chain([(100_000, 100_000, true), (100, 0, true)]) {
        let (report, got, _) = trainer.gradients(&batch, &settings(chunk, kept, checkpointing));
        assert!((report.loss.total - whole.loss.total).abs() < 1e-4);
        for (name, weight) in want.iter() {
            let got = got.get(name).unwrap_or_else(|| panic!("{name} has no gradient")).values();
            let scale = weight.values().iter().fold(0.0f32, |a, b| a.max(b.abs()));
            let want = weight.values();
            for (g, w) in got.iter().zip(&want) {
                assert!((g - w).abs() <= 1e-4 * (scale + 1e-3), "{name}: {g} {w} (chunk {chunk}, kept {kept})");
            }
        }
    }
    // Shared out among three devices that are one: the same to the bit.
    let (report, want, _) = trainer.gradients(&batch, &settings(100, 0, false));
    trainer.share_with(vec![Device::flex(), Device::flex()]);
    for kept in [0, 100_000] {
        let (shared, got, _) = trainer.gradients(&batch, &settings(100, kept, false));
        assert_eq!(shared, report);
        assert!(want.iter().all(|(name, want)| got.get(name).is_some_and(|got| got.values() == want.values())));
    }
}

#[test]
fn a_fresh_head_gets_a_temperature_for_each_kind_of_score_and_keeps_it() {
    let world = small_world();
    let mut encoder = tiny_encoder(&world.tokenizer);
    // Ten times the gain of its last norm: scores that no softmax can use as they are.
    let (name, gain) =
        encoder.question.weights.iter().find(|(name, _)| *name == "head.LayerNorm.weight").expect("the head's norm");
    let (name, values) = (name.to_owned(), gain.values().iter().map(|value| value * 10.0).collect::<Vec<f32>>());
    let shape = [values.len()];
    encoder.question.weights.insert(name, Weight::from_vec(values, &shape, &Device::flex()));
    let template = PromptTemplate::default();
    let dir = MemoryDirectory::default();
    let run = Run { world: &world, lm: None, template: &template, dir: &dir, settings: gold_settings() };
    let mut tuner = run.open(encoder);
    drive(&mut tuner, |a| matches!(a, Advance::Saved { .. }));
    let folder =
        dir.list("").expect("files").into_iter().find(|name| name.ends_with("ragtune.json")).expect("a checkpoint");
    let meta: EncoderMeta = serde_json::from_slice(&dir.read(&folder).expect("read")).expect("meta");
    let at = Temperatures::of(&meta);
    assert!(at.vectors > at.passage_bags && at.passage_bags > 1.0, "{at:?}");
    assert!(at.question_bags >= 1.0 && at.question_bags != at.passage_bags, "{at:?}");
    let mut again = meta.clone();
    at.note(&mut again);
    assert_eq!(again, meta);
    // One for all leaves no trace of three.
    Temperatures::all(2.0).note(&mut again);
    assert_eq!((again.temperature, again.bag_temperatures), (2.0, None));
}

#[test]
fn a_run_that_was_stopped_among_its_pools_goes_on_as_if_nothing_had_happened() {
    let world = small_world();
    let template = PromptTemplate::default();
    let (whole, stopped) = (MemoryDirectory::default(), MemoryDirectory::default());
    let run = |dir| Run { world: &world, lm: None, template: &template, dir, settings: gold_settings() };
    let at_once = run(&whole);
    let expected = steps(&drive(&mut at_once.open(tiny_encoder(&world.tokenizer)), |_| false));
    let in_parts = run(&stopped);
    let mut first = in_parts.open(tiny_encoder(&world.tokenizer));
    drive(&mut first, |a| matches!(a, Advance::Scored { .. }));
    first.suspend().expect("suspended");
    drop(first);
    let resumed = steps(&drive(&mut in_parts.open(tiny_encoder(&world.tokenizer)), |_| false));
    let losses = |r: &[StepRecord]| r.iter().map(|r| r.loss.to_bits()).collect::<Vec<_>>();
    assert_eq!(losses(&resumed), losses(&expected));
}

#[test]
fn two_towers_part_while_they_train_and_resume_bit_for_bit() {
    let world = small_world();
    let template = PromptTemplate::default();
    let settings = TuneSettings { towers: 2, ..gold_settings() };
    let (whole, parts) = (MemoryDirectory::default(), MemoryDirectory::default());
    let run = |dir| Run { world: &world, lm: None, template: &template, dir, settings: settings.clone() };
    let at_once = run(&whole);
    let mut tuner = at_once.open(tiny_encoder(&world.tokenizer));
    drive(&mut tuner, |_| false);
    let towers = |t: &Tuner<'_>| {
        let encoder = &t.trainer.encoder;
        (values(&encoder.question.weights), values(&encoder.passage.as_ref().expect("two towers").weights))
    };
    let (question, passage) = towers(&tuner);
    assert_ne!(question, passage);
    let in_parts = run(&parts);
    let mut first = in_parts.open(tiny_encoder(&world.tokenizer));
    drive(&mut first, |a| matches!(a, Advance::Saved { .. }));
    drop(first);
    let mut second = in_parts.open(tiny_encoder(&world.tokenizer));
    drive(&mut second, |_| false);
    assert_eq!(towers(&second), (question, passage));
}

#[test]
fn training_lowers_the_loss_of_a_fixed_batch() {
    let world = small_world();
    let template = PromptTemplate::default();
    let dir = MemoryDirectory::default();
    let settings = TuneSettings { max_steps: 30, offline_epochs: 100, ..gold_settings() };
    let run = Run { world: &world, lm: None, template: &template, dir: &dir, settings };
    let mut tuner = run.open(tiny_encoder(&world.tokenizer));
    let records = steps(&drive(&mut tuner, |_| false));
    let mean = |part: &[StepRecord]| part.iter().map(|r| r.loss).sum::<f32>() / part.len() as f32;
    let (first, last) = (mean(&records[..5]), mean(&records[25..]));
    assert!(last < first - 0.5, "loss {first} -> {last}");
}

#[test]
fn rag_supervision_runs_both_stages_and_scores_no_pair_twice() {
    let world = small_world();
    let template = PromptTemplate::default();
    let lm = CausalLm::load(&ragtune_sample::models::reader().expect("memory"), &Device::flex()).expect("reader");
    let encoder =
        || Encoder::load(&ragtune_sample::models::encoder().expect("memory"), &Device::flex(), None).expect("encoder");
    let settings = TuneSettings {
        k: 8,
        m: 8,
        offline_epochs: 1,
        online_epochs: 1,
        max_steps: 2,
        max_questions: 16,
        batch: 4,
        dev_questions: 4,
        ..Default::default()
    };
    let dir = MemoryDirectory::default();
    let run = Run { world: &world, lm: Some(&lm), template: &template, dir: &dir, settings: settings.clone() };
    let all = drive(&mut run.open(encoder()), |_| false);
    let records = steps(&all);
    let stages: Vec<Stage> = records.iter().map(|r| r.stage).collect();
    assert_eq!(stages, vec![Stage::Offline, Stage::Offline, Stage::Online, Stage::Online]);
    assert!(records.iter().all(|r| r.example.positive_score.is_some() && r.example.negative_score.is_some()));
    assert!(records[2..].iter().all(|r| r.online_positives.is_some() && r.online_negatives.is_some()));
    assert!(records.iter().all(|r| r.questions == 4));
    assert!(records[..2].iter().all(|r| r.online_passages.is_none()));
    // A walk judges one passage at least, and no more than its ranking has.
    assert!(records[2..].iter().all(|r| r.online_passages.is_some_and(|n| (4..=4 * settings.m).contains(&n))));

    // People see where an example came from, and how the scores of the pools lie.
    let origins = |r: &StepRecord| (r.example.positive_origin, r.example.negative_origin);
    assert!(records[..2].iter().all(|r| origins(r) == (Origin::Pool, Origin::Pool)));
    for r in &records[2..] {
        assert!(r.online_negatives != Some(1.0) || origins(r).1 == Origin::Walk, "{r:?}");
        assert!(r.online_negatives != Some(0.0) || origins(r).1 == Origin::Pool, "{r:?}");
    }
    let Some(Record::Pools { report }) = all.first() else { panic!("{all:?}") };
    let counted = |counts: &[u32]| f64::from(counts.iter().sum::<u32>()) / report.questions as f64;
    assert!((counted(&report.scores.positives) - report.positives).abs() < 1e-9, "{report:?}");
    assert!((counted(&report.scores.negatives) - report.negatives).abs() < 1e-9, "{report:?}");

    // The cache names each pair once, and a second run with it asks the LLM for nothing.
    let cache = dir.list("").expect("list").into_iter().find(|n| n.starts_with("scores-")).expect("a cache");
    let lines = |dir: &MemoryDirectory| -> Vec<serde_json::Value> {
        let bytes = dir.read(&cache).expect("cache");
        bytes
            .split(|&b| b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).expect("line"))
            .collect()
    };
    let labelled: Vec<u64> =
        lines(&dir).iter().filter(|l| !l["label"].is_null()).map(|l| l["key"].as_u64().expect("key")).collect();
    let mut unique = labelled.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), labelled.len());
    let again = MemoryDirectory::default();
    again.write(&cache, &dir.read(&cache).expect("cache")).expect("copy");
    let second = Run { world: &world, lm: Some(&lm), template: &template, dir: &again, settings };
    let repeated = steps(&drive(&mut second.open(encoder()), |_| false));
    assert_eq!(lines(&again).len(), lines(&dir).len());
    let losses = |r: &[StepRecord]| r.iter().map(|r| r.loss.to_bits()).collect::<Vec<_>>();
    assert_eq!(losses(&records), losses(&repeated), "same seed, same result");
}

#[test]
fn a_cache_that_was_cut_in_the_middle_of_a_line_keeps_its_whole_lines() {
    use ragtune_tune::ScoreCache;
    let template = PromptTemplate::default();
    let settings = ragtune_rag::JudgeSettings::default();
    let dir = MemoryDirectory::default();
    ScoreCache::open(&dir, "lm", &template, &settings).expect("opens");
    // Learn the file's name from a cache that wrote something.
    let world = small_world();
    let lm = CausalLm::load(&ragtune_sample::models::reader().expect("memory"), &Device::flex()).expect("reader");
    let judge = ragtune_rag::Judge::new(&lm, &template);
    let passages = [world.index.passage(0).expect("passage"), world.index.passage(1).expect("passage")];
    let pairs: Vec<_> = passages.iter().map(|p| (&world.questions[0], p)).collect();
    let mut cache = ScoreCache::open(&dir, "lm", &template, &settings).expect("opens");
    cache.judge(&dir, &judge, &pairs, true, &mut |_| true).expect("judged");
    let name = dir.list("").expect("list").remove(0);
    let bytes = dir.read(&name).expect("cache");
    dir.write(&name, &bytes[..bytes.len() - 5]).expect("cut");
    let mut cut = ScoreCache::open(&dir, "lm", &template, &settings).expect("opens");
    assert!(cut.get(&world.questions[0], &passages[0], true).is_some());
    assert!(cut.get(&world.questions[0], &passages[1], true).is_none());
    cut.judge(&dir, &judge, &pairs, true, &mut |_| true).expect("judged");
    assert_eq!(cut.counts().0, 1, "only the lost pair is computed again");
    // The same pairs and labels again; the score of the second, computed in another batch, within rounding.
    let lines = |bytes: &[u8]| -> Vec<serde_json::Value> {
        bytes
            .split(|&b| b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).expect("line"))
            .collect()
    };
    let (old, new) = (lines(&bytes), lines(&dir.read(&name).expect("cache")));
    assert_eq!(old.len(), new.len());
    for (old, new) in old.iter().zip(&new) {
        assert_eq!((&old["key"], &old["label"]), (&new["key"], &new["label"]));
        let score = |line: &serde_json::Value| line["score"].as_f64().expect("score");
        assert!((score(old) - score(new)).abs() < 1e-4, "{old} {new}");
    }
}

#[test]
fn questions_that_cannot_be_trained_on_end_in_an_error_that_says_why() {
    let mut world = small_world();
    for question in &mut world.questions {
        question.gold_ids.clear();
    }
    let template = PromptTemplate::default();
    let dir = MemoryDirectory::default();
    let run = Run { world: &world, lm: None, template: &template, dir: &dir, settings: gold_settings() };
    let mut tuner = run.open(tiny_encoder(&world.tokenizer));
    let error = loop {
        match tuner.advance(&mut || true) {
            Ok(Advance::Scored { .. }) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("no positive") && error.contains("raise k"), "{error}");
}
