//! Tuning from outside: a run from files, killed and taken up again, a disk that is full, bad input.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::Place;
use ragtune_engine::command::{EncoderSource, QuestionSource, Supervision, Tune};
use ragtune_engine::event::{EventKind, Record};
use ragtune_engine::{Command, DeviceChoice, Session};
use serde_json::Value;

const CONFIG: &str = "[tune]\nk = 8\nm = 8\noffline_epochs = 50\nmax_steps = 12\nbatch = 8\ncheckpoint_steps = 3\ndev_questions = 4\n\n[tune.optim]\nlr = 0.0005\n\n[evaluation]\nm = 20\nquestions = 10\n";

/// A sample world with the encoder and the reader that ship with it, and settings.
fn world() -> Place {
    let place = Place::world();
    place.write("config.toml", CONFIG);
    place
}

const GOLD: [&str; 12] = [
    "tune",
    "--corpus",
    "world",
    "--questions",
    "world",
    "--encoder",
    "encoder",
    "--supervision",
    "gold",
    "--config",
    "config.toml",
    "--json",
];

fn gold(out: &str) -> Vec<&str> {
    GOLD.iter().copied().chain(["--out", out]).collect()
}

fn step_losses(place: &Place, run: &str) -> Vec<(u64, String)> {
    let text = fs::read_to_string(place.path(&format!("{run}/metrics.jsonl"))).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|l| l["kind"] == "step").map(|l| (l["step"].as_u64().unwrap(), l["loss"].to_string())).collect()
}

#[test]
fn a_killed_run_goes_on_and_ends_as_if_nothing_had_happened() {
    let place = world();
    let whole = place.run(&gold("whole")).json();
    assert_eq!(whole["steps"], 12);
    for field in ["before", "after"] {
        assert!(whole[field]["mrr@10"].as_f64().is_some_and(|x| (0.0..=1.0).contains(&x)), "{whole}");
        assert!(whole[field]["rag_accuracy"]["1"].is_null(), "no language model was given: {whole}");
    }

    let mut killed = place.command(&gold("killed")).stderr(std::process::Stdio::null()).spawn().unwrap();
    let state = place.path("killed/checkpoints/step_000003/state.json");
    let limit = Instant::now() + Duration::from_secs(120);
    while !state.exists() && Instant::now() < limit && killed.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();

    place.run(&gold("killed")).refused(&["--resume killed"]);
    let resumed = place.run(&["tune", "--resume", "killed", "--json"]).json();
    assert_eq!(resumed["steps"], 12);
    assert_eq!(step_losses(&place, "killed"), step_losses(&place, "whole"));
    let weights = |run: &str| fs::read(place.path(&format!("{run}/best/model.safetensors"))).unwrap();
    assert_eq!(weights("killed"), weights("whole"));
    assert_eq!(resumed["after"], whole["after"]);
    let leftovers: Vec<String> = place.files("killed").into_iter().filter(|n| n.ends_with(".tmp")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn a_paused_run_computes_nothing_and_ends_as_if_nothing_had_happened() {
    let place = world();
    place.run(&gold("whole")).json();
    let tune = Tune {
        corpus: vec![place.path("world")],
        questions: Some(QuestionSource { path: place.path("world"), id_prefix: None, aliases: None }),
        encoder: Some(EncoderSource { folder: place.path("encoder"), head: None }),
        supervision: Some(Supervision::Gold),
        config: Some(place.path("config.toml")),
        out: Some(place.path("paused")),
        device: DeviceChoice::Cpu,
        ..Tune::default()
    };
    let mut session = Session::spawn().unwrap();
    let job = session.submit(Command::Tune(Box::new(tune)));
    let (mut pauses, mut examples, mut resources) = (0, 0, 0);
    loop {
        match session.events().recv().unwrap().kind {
            EventKind::Steps(records) if matches!(records[..], [Record::Step(_)]) && pauses == 0 => session.pause(job),
            EventKind::Paused => {
                pauses += 1;
                let lines = step_losses(&place, "paused").len();
                assert!(
                    session.events().recv_timeout(Duration::from_millis(300)).is_err(),
                    "nothing is said meanwhile"
                );
                assert_eq!(step_losses(&place, "paused").len(), lines);
                assert!(lines < 12, "paused in the middle");
                session.resume(job);
            }
            EventKind::Example(shown) => {
                examples += 1;
                assert!(!shown.question.is_empty() && !shown.positive.is_empty() && !shown.negative.is_empty());
            }
            EventKind::Resources { memory_bytes, .. } => {
                resources += 1;
                assert_eq!(memory_bytes.is_some(), cfg!(target_os = "linux"));
            }
            EventKind::Finished { .. } => break,
            kind => assert!(!kind.is_end(), "{kind:?}"),
        }
    }
    assert!(pauses == 1 && examples > 0 && resources > 0, "{pauses} {examples} {resources}");
    assert_eq!(step_losses(&place, "paused"), step_losses(&place, "whole"));
}

#[test]
fn an_estimate_counts_what_the_run_will_do_and_writes_nothing() {
    let place = world();
    let rag = ["tune", "--corpus", "world", "--questions", "world", "--encoder", "encoder", "--llm", "reader"];
    let estimate = |more: &[&str]| {
        let arguments: Vec<&str> =
            rag.iter().chain(&["--config", "config.toml", "--estimate"]).chain(more).copied().collect();
        place.run(&[&arguments[..], &["--json"]].concat()).json()
    };
    let before = place.files("");
    let first = estimate(&[]);
    assert_eq!(place.files(""), before, "an estimate writes nothing");
    let questions = first["questions"].as_u64().unwrap();
    assert_eq!((first["pairs"].as_u64(), first["cached_pairs"].as_u64()), (Some(questions * 8), Some(0)));
    assert_eq!(first["steps"], 24);
    for field in ["pool_seconds", "train_seconds", "evaluation_seconds", "memory_bytes"] {
        assert!(first[field].as_f64().is_some_and(|value| value > 0.0), "{field}: {first}");
    }
    let gold = place.run(&[&gold("run")[..], &["--estimate"]].concat()).json();
    assert_eq!((gold["pairs"].as_u64(), gold["steps"].as_u64()), (Some(0), Some(12)));
    assert!(!place.path("run").exists());

    // What a run has judged is not judged again, and what it has done is not done again.
    let run: Vec<&str> = rag.iter().chain(&["--config", "config.toml", "--out", "run"]).copied().collect();
    let done = place.run(&[&run[..], &["--json"]].concat()).json();
    assert_eq!(done["steps"], first["steps"], "what was estimated is what was done");
    let finished = place.run(&["tune", "--resume", "run", "--estimate", "--json"]).json();
    assert_eq!((finished["steps"].as_u64(), finished["pool_seconds"].as_f64()), (Some(0), Some(0.0)));
    assert_eq!(finished["cached_pairs"], finished["pairs"]);
    fs::remove_file(place.path("run/pools.json")).unwrap();
    let cached = place.run(&["tune", "--resume", "run", "--estimate", "--json"]).json();
    assert_eq!(cached["cached_pairs"], cached["pairs"], "the score cache alone says so too");

    let text = place.run(&[&rag[..], &["--estimate"]].concat());
    assert!(text.code == 0 && text.out.contains("time altogether"), "{} {}", text.out, text.err);
    place
        .run(&[
            "tune",
            "--estimate",
            "--corpus",
            "world",
            "--questions",
            "none",
            "--encoder",
            "encoder",
            "--llm",
            "reader",
        ])
        .refused(&["none"]);
    place
        .run(&["tune", "--estimate", "--corpus", "world", "--questions", "world", "--encoder", "encoder"])
        .refused(&["--llm"]);
}

#[test]
fn rag_supervision_runs_from_files_and_its_checkpoint_searches() {
    let place = world();
    let run = place
        .run(&[
            "tune",
            "--corpus",
            "world",
            "--questions",
            "world",
            "--encoder",
            "encoder",
            "--llm",
            "reader",
            "--config",
            "config.toml",
            "--out",
            "run",
            "--stages",
            "offline,online",
            "--json",
        ])
        .json();
    assert!(run["after"]["rag_accuracy"]["1"].as_f64().is_some(), "{run}");
    assert_eq!(run["steps"], 24);
    // Each question's walk has a passage judged at least.
    let rate = |of: &str| run["online"][of].as_f64().unwrap_or(0.0);
    assert!(rate("questions") > 0.0 && rate("passages") >= rate("questions"), "{run}");
    assert!(place.run(&["runs", "show", "run"]).out.contains("passages judged/s"));
    let found = place
        .run(&[
            "search",
            "--index",
            "run/index",
            "--encoder",
            "run/best",
            "--query",
            "who founded the town ?",
            "--json",
        ])
        .json();
    assert_eq!(found["queries"][0]["hits"].as_array().map(Vec::len), Some(10));
}

#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_run_with_a_message_and_leaves_what_was_saved() {
    let place = world();
    // Files may not grow beyond 1,024 blocks of 512 bytes: the encoder's weights do not fit.
    let binary = env!("CARGO_BIN_EXE_ragtune");
    let line = format!("trap '' XFSZ; ulimit -f 1024; exec {binary} --device cpu {}", gold("run").join(" "));
    let output = std::process::Command::new("sh").arg("-c").arg(line).current_dir(place.path("")).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("model.safetensors") && error.contains("make room"), "{error}");
    assert!(error.contains("ragtune tune --resume run"), "the way on is named: {error}");
    assert!(!error.contains("panicked"), "{error}");
    let whole = |name: &String| !name.ends_with("state.json");
    assert!(place.files("run/checkpoints").iter().all(whole), "an unfinished checkpoint must not look finished");
    // With room again the run goes on.
    let resumed = place.run(&["tune", "--resume", "run", "--json"]).json();
    assert_eq!(resumed["steps"], 12);
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_takes_no_checkpoint_that_stood() {
    let place = world();
    // The last step is saved twice, as a step and as the end of the stage: the second save must not begin by removing
    // the first, or a disk that is full just then would leave nothing to go on from.
    let config = CONFIG
        .replace("max_steps = 12", "max_steps = 3")
        .replace("dev_questions = 4", "dev_questions = 4\nstages = [\"offline\"]");
    place.write("config.toml", config);
    let done = place.run(&gold("run")).json();
    assert_eq!(done["steps"], 3);
    let states: Vec<String> =
        place.files("run/checkpoints").into_iter().filter(|name| name.ends_with("state.json")).collect();
    assert_eq!(states, ["step_000003/state.json", "step_000003_01/state.json"], "neither save replaced the other");
}

#[test]
fn bad_settings_and_questions_are_refused() {
    let place = world();
    place.write("bad.toml", "[tune]\nbatch = 1\n");
    let with = |config: &'static str| {
        let mut arguments = gold("out");
        let at = arguments.iter().position(|a| *a == "config.toml").unwrap();
        arguments[at] = config;
        place.run(&arguments)
    };
    with("bad.toml").refused(&["batch", "at least 2"]);
    place.write("stale.toml", "[tune]\ndev_mode = \"full\"\n");
    place.write("half.toml", "[tune]\nprecision = \"f16\"\n");
    with("half.toml").refused(&["f16", "the CPU computes in 32 bits", "--device"]);
    with("stale.toml").refused(&["dev_mode", "late, bot or own"]);
    place.write("typo.toml", "[tune]\nbatch_size = 16\n");
    with("typo.toml").refused(&["typo.toml", "batch_size"]);
    assert!(place.files("out").is_empty(), "nothing half-written: {:?}", place.files("out"));

    place.write(
        "q/qa.jsonl",
        "{\"id\": \"a\", \"question\": \"who?\", \"answers\": [\"x\"], \"gold_ids\": [\"nowhere\"]}\n",
    );
    place
        .run(&[
            "tune",
            "--corpus",
            "world",
            "--questions",
            "q",
            "--encoder",
            "encoder",
            "--supervision",
            "gold",
            "--out",
            "out",
        ])
        .refused(&["nowhere", "not in the index"]);
    place
        .run(&["tune", "--corpus", "world", "--questions", "world", "--encoder", "encoder", "--out", "out"])
        .refused(&["llm"]);
}
