//! Tuning from outside: a run from files, killed and taken up again, a disk that is full, bad input.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::Place;
use ragtune_engine::directory::Folder;
use serde_json::Value;

const CONFIG: &str = "[tune]\nk = 8\nm = 8\noffline_epochs = 50\nmax_steps = 12\nbatch = 8\ncheckpoint_steps = 3\ndev_questions = 4\n\n[tune.optim]\nlr = 0.0005\n\n[evaluation]\nm = 20\nquestions = 10\n";

/// A sample world with the encoder and the reader that ship with it.
fn world() -> Place {
    let place = Place::new();
    let sample = place.run(&["sample", "generate", "--passages", "200", "--questions", "80", "--out", "world"]);
    assert_eq!(sample.code, 0, "{}", sample.err);
    ragtune_sample::models::write_encoder(&Folder::create(place.path("encoder")).unwrap()).unwrap();
    ragtune_sample::models::write_reader(&Folder::create(place.path("reader")).unwrap()).unwrap();
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
    assert!(!error.contains("panicked"), "{error}");
    let whole = |name: &String| !name.ends_with("state.json");
    assert!(place.files("run/checkpoints").iter().all(whole), "an unfinished checkpoint must not look finished");
    // With room again the run goes on.
    let resumed = place.run(&["tune", "--resume", "run", "--json"]).json();
    assert_eq!(resumed["steps"], 12);
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
