//! A device that is lent: two processes, one of which computes a share of the other's training steps.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::Place;
use serde_json::Value;

const CONFIG: &str = "[tune]\nk = 8\nm = 8\noffline_epochs = 50\nmax_steps = 4\nbatch = 4\nchunk_tokens = 128\ncheckpoint_steps = 1\ndev_questions = 4\n\n[evaluation]\nm = 20\nquestions = 4\n";

/// A process that lends the CPU, and how it is named.
struct Lender(Child, String);

impl Lender {
    fn new(place: &Place) -> Self {
        let arguments = ["lend", "--listen", "127.0.0.1:0", "--json"];
        let mut child = place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let report: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(report["device"], "CPU");
        Self(child, report["helper"].as_str().unwrap().to_owned())
    }

    fn stop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn world() -> Place {
    let place = Place::world();
    place.write("config.toml", CONFIG);
    place
}

fn gold<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let always = ["tune", "--corpus", "world", "--questions", "world", "--encoder", "encoder", "--supervision", "gold"];
    let mut all = always.to_vec();
    all.extend(["--config", "config.toml", "--json", "--out", out]);
    all.extend(more);
    all
}

fn losses(place: &Place, run: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(place.path(&format!("{run}/metrics.jsonl"))).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == "step").map(|line| line["loss"].as_f64().unwrap()).collect()
}

#[test]
fn a_tuning_shared_by_two_processes_takes_the_steps_of_one() {
    let place = world();
    let lender = Lender::new(&place);
    let (alone, shared) = (place.run(&gold("alone", &[])), place.run(&gold("shared", &["--helper", &lender.1])));
    assert_eq!((alone.json()["steps"].as_u64(), shared.json()["steps"].as_u64()), (Some(4), Some(4)));
    let (want, got) = (losses(&place, "alone"), losses(&place, "shared"));
    assert_eq!(want.len(), 4);
    assert_ne!(want, got, "the other process rounds in another order: it has computed nothing");
    for (want, got) in want.iter().zip(&got) {
        assert!((want - got).abs() <= 1e-3 * want, "{want} {got}");
    }
}

/// Numbers of a result, in its order, but for the times that it took.
fn numbers(value: &Value, all: &mut Vec<f64>) {
    match value {
        Value::Number(number) => all.extend(number.as_f64()),
        Value::Array(values) => values.iter().for_each(|value| numbers(value, all)),
        Value::Object(fields) => {
            let lasting = fields.iter().filter(|(name, _)| !name.contains("seconds"));
            lasting.for_each(|(_, value)| numbers(value, all));
        }
        _ => {}
    }
}

#[test]
fn what_another_machine_computes_is_what_this_one_does() {
    let place = Place::indexed();
    let lender = Lender::new(&place);
    place.write("query.txt", "price of oil");
    let item = serde_json::json!({"id": "a", "prompt": "why the price", "answers": [" tea", " oil crisis"]});
    place.write("items.jsonl", item.to_string());
    let commands: [&[&str]; 3] = [
        &["encode", "--encoder", "encoder", "--texts", "query.txt", "--kind", "query", "--form", "dense"],
        &["score", "--llm", "llm", "--items", "items.jsonl"],
        &["search", "--index", "index", "--encoder", "encoder", "--mode", "late", "--query", "price of oil", "--json"],
    ];
    for command in commands {
        let [here, there] = [place.run(command), place.run_on(&lender.1, command)].map(|ran| {
            let mut all = Vec::new();
            ran.lines().iter().for_each(|line| numbers(line, &mut all));
            all
        });
        assert!(here.len() > 3 && here.len() == there.len(), "{command:?}: {here:?} {there:?}");
        for (here, there) in here.iter().zip(&there) {
            assert!((here - there).abs() <= 1e-3 * (1.0 + here.abs()), "{command:?}: {here} {there}");
        }
    }
    let again = place.run_on(&lender.1, &["lend", "--listen", "127.0.0.1:0"]);
    again.refused(&["cannot be lent on"]);
}

#[test]
fn a_stranger_is_refused_and_a_lender_that_is_not_there_is_named() {
    let place = world();
    let lender = Lender::new(&place);
    let (_, address) = lender.1.split_once('@').unwrap();
    let stranger = format!("guess@{address}");
    place.run(&gold("run", &["--helper", &stranger])).refused(&[address, "credential", "ragtune lend"]);
    place.run(&gold("run", &["--helper", "cpu"])).refused(&["helper cpu", "computes already"]);
    let taken = place.run(&["lend", "--listen", address]);
    taken.refused(&[address, "--listen"]);
    let broken = place.run(&gold("run", &["--helper", "somewhere"]));
    assert_eq!(broken.code, 2, "{}", broken.err);
    assert!(broken.err.contains("TOKEN@HOST:PORT"), "{}", broken.err);
}

#[test]
fn a_lender_that_is_lost_leaves_a_run_that_goes_on() {
    let place = world();
    let mut lender = Lender::new(&place);
    let long = CONFIG.replace("max_steps = 4", "max_steps = 400");
    place.write("config.toml", &long);
    let arguments = gold("run", &["--helper", &lender.1]);
    let mut tune = place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let state = place.path("run/checkpoints/step_000002/state.json");
    let limit = Instant::now() + Duration::from_secs(120);
    while !state.exists() && Instant::now() < limit && tune.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    lender.stop();
    let ended = tune.wait_with_output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{error}");
    let (_, address) = lender.1.split_once('@').unwrap();
    assert!(error.contains(address) && error.contains("ragtune tune --resume run"), "{error}");
    assert!(!error.contains("panicked"), "{error}");

    let config = std::fs::read_to_string(place.path("run/config.toml")).unwrap();
    place.write("run/config.toml", config.replace("max_steps = 400", "max_steps = 6"));
    let resumed = place.run(&["tune", "--resume", "run", "--json"]).json();
    assert_eq!(resumed["steps"], 6);
}
