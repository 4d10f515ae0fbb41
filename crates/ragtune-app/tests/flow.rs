//! The whole way in the window, and the same way again without one.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Window, shorten};
use ragtune_app::pages::Page;
use ragtune_engine::{EventKind, Report, Session, transcript};

/// Runs every command of a transcript in order; the reports of each.
fn replay(file: &Path) -> Vec<(String, Vec<Report>)> {
    let mut session = Session::spawn().unwrap();
    let mut all = Vec::new();
    for command in transcript::read(file).unwrap() {
        let name = command.name().to_owned();
        let job = session.submit(command);
        let mut reports = Vec::new();
        for event in session.events() {
            assert_eq!(event.job, job);
            match event.kind {
                EventKind::Report(report) => reports.push(*report),
                EventKind::Failed { error, .. } => panic!("{name}: {error}"),
                EventKind::Finished { .. } => break,
                _ => {}
            }
        }
        all.push((name, reports));
    }
    all
}

fn figures(run: &Path) -> serde_json::Value {
    let mut report: serde_json::Value = serde_json::from_slice(&fs::read(run.join("report.json")).unwrap()).unwrap();
    let report = report.as_object_mut().unwrap();
    report.retain(|name, _| ["before", "after", "steps"].contains(&name.as_str()));
    serde_json::to_value(report).unwrap()
}

fn hits(reports: &[Report]) -> Option<BTreeMap<String, Vec<(String, f32)>>> {
    let Report::Search(search) = reports.last()? else { return None };
    let of =
        |query: &ragtune_engine::event::QueryHits| query.hits.iter().map(|hit| (hit.id.clone(), hit.score)).collect();
    Some(search.queries.iter().map(|query| (query.id.clone(), of(query))).collect())
}

#[test]
fn from_nothing_to_a_tuned_retriever_and_the_transcript_leads_there_again() {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().join("first");
    let mut window = Window::open(&home, None);
    assert!(window.shows("No project") || window.shows("no project"));
    window.click("Try the sample world");
    // The project is there before its index: so its tuning can be made short.
    let project = home.join("sample-world");
    window.wait("the project", |_| project.join("project.json").is_file());
    window.wait_for("The sample world");
    window.wait("the run", |window| window.shows("Tuning “run-1”") || window.shows("finished"));
    assert_eq!(window.app().page(), Page::Tune);
    window.wait_for_rest();
    assert!(window.shows("RAG accuracy on test questions"), "{}", window.text());
    assert!(window.shows("label-score AUC") && window.shows("usable questions"), "{}", window.text());
    let run = project.join("runs/run-1");
    assert!(run.join("best/model.safetensors").is_file());

    // Before and after beside each other, and an answer.
    window.go(Page::Query);
    window.write("Question", "Who was the builder of the bridge?");
    window.wait_for("bot, tuned");
    window.press(eframe::egui::Key::Enter);
    window.wait_for("late, tuned");
    window.wait_for_rest();
    window.click("P(its own answer)");
    window.wait_for_rest();
    assert!(window.shows("writes “") || window.shows("it writes nothing"), "{}", window.text());
    window.click("Answer");
    window.wait_for("It stands on");
    window.click("Explain passage 1 in bot");
    assert_eq!(window.app().page(), Page::Explain);
    window.wait_for("its own words");
    assert!(window.shows("have a part in it"), "{}", window.text());
    window.wait_for_rest();
    drop(window);

    // The same commands in another folder, without a window.
    let again = temp.path().join("again");
    let text = fs::read_to_string(project.join("transcript.jsonl")).unwrap();
    let moved = text.replace(home.to_str().unwrap(), again.to_str().unwrap());
    let copy = temp.path().join("transcript.jsonl");
    fs::write(&copy, moved).unwrap();
    // Making the project came before its transcript began; the window's first command made it.
    let open = serde_json::json!({"command": "open-project", "folder": again.join("sample-world"),
                                  "sample": {"passages": 120, "questions": 60}});
    let whole = format!("{open}\n{}", fs::read_to_string(&copy).unwrap());
    fs::write(&copy, whole).unwrap();
    let replayed = replay(&copy);
    assert!(replayed.iter().any(|(name, _)| name == "tune") && replayed.iter().any(|(name, _)| name == "search"));
    let second = again.join("sample-world");
    assert_eq!(figures(&run), figures(&second.join("runs/run-1")));
    let weights = |project: &Path| fs::read(project.join("runs/run-1/best/model.safetensors")).unwrap();
    assert!(weights(&project) == weights(&second), "the same commands tune the same weights");
    // And searching both gives the same hits.
    let searches: Vec<_> = replayed.iter().filter_map(|(_, reports)| hits(reports)).collect();
    let last = searches.last().unwrap();
    let of_first: Vec<_> = replay(&only_last_search(&project, temp.path()))
        .into_iter()
        .filter_map(|(_, reports)| hits(&reports))
        .collect();
    assert_eq!(of_first.last().unwrap(), last);
}

/// A transcript with nothing but a project's last search.
fn only_last_search(project: &Path, temp: &Path) -> PathBuf {
    let text = fs::read_to_string(project.join("transcript.jsonl")).unwrap();
    let line = text.lines().rev().find(|line| line.contains("\"command\":\"search\"")).unwrap().to_owned();
    let file = temp.join("search.jsonl");
    fs::write(&file, line + "\n").unwrap();
    file
}

#[test]
fn closing_the_window_stops_a_tuning_and_the_next_window_goes_on_with_it() {
    let temp = tempfile::tempdir().unwrap();
    let project = temp.path().join("sample-world");
    let mut window = Window::open(temp.path(), None);
    window.click("Try the sample world");
    window.wait_for("Tuning “run-1”");
    window.wait("work to do", |window| window.shows("questions"));
    drop(window);
    assert!(project.join("runs/run-1/config.toml").is_file());
    assert!(!project.join("runs/run-1/report.json").exists());
    shorten(&project);

    let mut window = Window::open(temp.path(), Some(&project));
    window.go(Page::Tune);
    window.wait_for("stopped");
    window.click("Resume run-1");
    window.wait("the run to go on", |window| window.shows("Pause"));
    window.click("Pause");
    window.wait_for("paused");
    window.click("Go on");
    window.wait("the run to go on", |window| window.shows("Pause"));
    window.click("Stop");
    window.wait_for_rest();
    assert!(!window.shows("Error"), "{}", window.text());
}

#[test]
fn a_question_may_come_before_the_index_and_whoever_asks_it_stays_there() {
    let temp = tempfile::tempdir().unwrap();
    let mut window = Window::open(temp.path(), None);
    window.click("Try the sample world");
    window.wait("the project", |window| window.harness.state().project().is_some());
    window.app().go(Page::Query);
    window.write("Question", "Who was the builder of the bridge?");
    window.wait_for("Tuning “run-1”");
    window.wait("hits", |window| window.shows("Explain passage 1 in bot"));
    assert_eq!(window.app().page(), Page::Query);
}

#[test]
fn a_model_is_checked_with_fewer_bits() {
    let temp = tempfile::tempdir().unwrap();
    let project = temp.path().join("sample-world");
    common::sample_world(&project);
    let mut window = Window::open(temp.path(), Some(&project));
    window.go(Page::Models);
    window.click("Check encoder");
    window.wait_for("Scores with fewer bits");
    assert!(window.shows("Q4_0") && window.shows("order kept"), "{}", window.text());
    window.click("Verify encoder");
    window.wait_for("every weight was read, and it computes.");
}
