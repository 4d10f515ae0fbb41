//! How long a frame takes while a tuning runs, and how long it takes from a key in the search box to hits on the screen.
//!
//! `cargo bench --workspace --bench frames [-- INDEX ENCODER]`: without arguments over the sample world; with an index
//! and its encoder, typing is measured over that, in `full` too if the index has a parametric part. A frame is everything on the thread that draws but the GPU's own work.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use egui_kittest::Harness;
use egui_kittest::kittest::{Queryable as _, by};
use ragtune_app::pages::Page;
use ragtune_app::{App, Settings};
use ragtune_engine::command::{BuildIndex, EncoderSource};
use ragtune_engine::{Command, DeviceChoice, EventKind, Session};

const FRAMES: usize = 1500;
const QUERY: &str = "which river flows past the oldest bridge of the town";

fn open(home: &Path, project: Option<PathBuf>) -> Harness<'static, App> {
    let settings = Settings { home: home.to_owned(), ..Settings::default() };
    Harness::builder()
        .with_size([1180.0, 800.0])
        .allow_missing_glyphs()
        .build_eframe(|creation| App::new(&creation.egui_ctx, settings, project).expect("the engines start"))
}

/// Median and 99th percentile in milliseconds.
fn spread(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    (at(0.5), at(0.99))
}

fn wait(harness: &mut Harness<'static, App>, holds: impl Fn(&Harness<'static, App>) -> bool) {
    while !holds(harness) {
        harness.step();
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn shows(harness: &Harness<'static, App>, text: &str) -> bool {
    let has = |part: Option<String>| part.is_some_and(|part| part.contains(text));
    harness.query_all(by().predicate(|node| has(node.label()) || has(node.value()))).next().is_some()
}

fn frames(harness: &mut Harness<'static, App>, page: Page) -> (f64, f64) {
    harness.state_mut().go(page);
    harness.step();
    let times = (0..FRAMES)
        .map(|_| {
            let start = Instant::now();
            harness.step();
            let took = start.elapsed();
            std::thread::sleep(Duration::from_millis(8));
            took
        })
        .collect();
    spread(times)
}

fn main() {
    let home = std::env::temp_dir().join(format!("ragtune-bench-{}", std::process::id()));
    let given: Vec<PathBuf> = std::env::args_os().skip(1).filter(|arg| arg != "--bench").map(PathBuf::from).collect();
    let folder = match &given[..] {
        [index, encoder] => project(&home, index, encoder),
        _ => while_tuning(&home),
    };
    typing(&home, &folder, "bot");
    if folder.join("index/parametric.bin").is_file() {
        typing(&home, &folder, "full");
    }
    std::fs::remove_dir_all(&home).expect("the folder can be removed");
}

/// Frames of the pages that have most to draw, while the sample world is tuned; gives its project.
fn while_tuning(home: &Path) -> PathBuf {
    let mut harness = open(home, None);
    let sample = ragtune_engine::command::SampleSize::default();
    let folder = home.join("sample-world");
    harness.state_mut().open(folder.clone(), Some(sample));
    wait(&mut harness, |harness| shows(harness, "Tuning “run-1”"));
    wait(&mut harness, |harness| shows(harness, "training, "));
    for page in [Page::Tune, Page::Query, Page::Corpus] {
        let (median, p99) = frames(&mut harness, page);
        println!("frame while tuning, page {}: median {median:.2} ms, p99 {p99:.2} ms", page.name());
    }
    drop(harness);
    run(Command::BuildIndex(BuildIndex {
        corpus: Vec::new(),
        tokenizer: None,
        encoder: Some(EncoderSource { folder: folder.join("models/encoder"), head: None }),
        parametric: true,
        memory: None,
        out: folder.join("index"),
        device: DeviceChoice::Cpu,
    }));
    folder
}

/// Runs a command without a window.
fn run(command: Command) {
    let mut session = Session::spawn().expect("an engine");
    session.submit(command);
    let end = session.events().iter().find(|event| event.kind.is_end());
    assert!(end.is_some_and(|event| matches!(event.kind, EventKind::Finished { .. })), "the command failed");
}

/// A project over a copy of an index.
fn project(home: &Path, index: &Path, encoder: &Path) -> PathBuf {
    let folder = home.join("project");
    std::fs::create_dir_all(folder.join("index")).expect("a folder");
    let json = serde_json::json!({"name": "bench", "encoder": encoder});
    std::fs::write(folder.join("project.json"), json.to_string()).expect("a project");
    for entry in std::fs::read_dir(index).expect("an index") {
        let path = entry.expect("a file").path();
        std::fs::copy(&path, folder.join("index").join(path.file_name().expect("a name"))).expect("a copy");
    }
    folder
}

/// From each key in the search box to the hits of the search that it sent.
fn typing(home: &Path, folder: &Path, mode: &str) {
    let mut harness = open(home, Some(folder.to_owned()));
    wait(&mut harness, |harness| shows(harness, "passages in the index"));
    harness.state_mut().go(Page::Query);
    harness.step();
    harness.step();
    // `bot` and `late` are on; `late` waits for a pause in the typing, which would count into the keys.
    let switched: &[&str] = if mode == "bot" { &["late"] } else { &["late", mode, "bot"] };
    for mode in switched {
        harness.query_all_by_label(mode).next().expect("the mode").click_accesskit();
        harness.step();
        harness.step();
    }
    let mut times = Vec::new();
    for letter in QUERY.chars() {
        let before = Instant::now();
        let field = by().predicate(|node| node.is_text_input() && node.label().as_deref() == Some("Question"));
        harness.query_all(field).next().expect("the search box").type_text(&letter.to_string());
        harness.step();
        // The search that this key sent is over, and its hits are drawn.
        let open = |harness: &mut Harness<'static, App>| harness.state_mut().link().jobs().any(|job| job.is_open());
        while open(&mut harness) {
            harness.step();
            std::thread::sleep(Duration::from_millis(1));
        }
        harness.step();
        times.push(before.elapsed());
    }
    assert!(shows(&harness, &format!("Explain passage 1 in {mode}")), "there are hits");
    // The first key loads encoder and index.
    let first = times.remove(0);
    let (median, p99) = spread(times);
    println!(
        "from a key to its hits ({mode}): median {median:.0} ms, p99 {p99:.0} ms; the first, which loads: {} ms",
        first.as_millis()
    );
}
