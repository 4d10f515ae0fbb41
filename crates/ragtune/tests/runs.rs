//! Runs from outside: listed, shown, exported.

mod common;

use std::fs;

use common::Place;

const CONFIG: &str = "[tune]\nk = 8\nm = 8\noffline_epochs = 9\nmax_steps = 4\nbatch = 8\ncheckpoint_steps = 2\ndev_questions = 4\n\n[evaluation]\nm = 20\nquestions = 10\n";

fn tune(place: &Place, out: &str, seed: &str) {
    place.write("config.toml", CONFIG);
    let run = place.run(&[
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
        "--out",
        out,
        "--seed",
        seed,
        "--json",
    ]);
    assert_eq!(run.code, 0, "{}", run.err);
}

#[test]
fn a_run_is_listed_shown_and_exported() {
    let place = Place::world();
    tune(&place, "runs/a", "0");
    tune(&place, "runs/b", "1");
    // As a run that was stopped looks.
    fs::remove_file(place.path("runs/b/report.json")).unwrap();

    let listed = place.run(&["runs", "list", "--json"]).json();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2, "indexes, models and worlds are no runs: {names:?}");
    assert!(names[0].ends_with("runs/a") && names[1].ends_with("runs/b"), "{names:?}");
    assert_eq!((listed[0]["state"].as_str(), listed[1]["state"].as_str()), (Some("finished"), Some("unfinished")));
    assert!(listed[1]["after"].is_null() && !listed[1]["before"].is_null());
    let table = place.run(&["runs", "list", "runs"]);
    assert!(table.code == 0 && table.out.contains("gold, offline 9 epochs, at most 4 steps"), "{}", table.out);

    let shown = place.run(&["runs", "show", "runs/a", "--json"]).json();
    assert_eq!((shown["steps"].as_u64(), shown["state"].as_str()), (Some(4), Some("finished")));
    let kinds: Vec<&str> = shown["records"].as_array().unwrap().iter().map(|r| r["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "step").count(), 4);
    assert!(kinds.contains(&"dev") && kinds.contains(&"pools"), "{kinds:?}");
    assert!(shown["config"].as_str().unwrap().contains("max_steps = 4"));
    let text = place.run(&["runs", "show", "runs/a"]);
    assert!(text.code == 0 && text.out.contains("MRR@10") && text.out.contains("train questions"), "{}", text.out);

    let exported = place.run(&["runs", "export", "runs/a", "--out", "mine", "--json"]).json();
    assert!(exported["model"].as_str().unwrap().contains("model"));
    assert_eq!(place.files("mine/model"), place.files("runs/a/best"));
    let report = fs::read_to_string(place.path("mine/report.md")).unwrap();
    for part in ["MRR@10", "max_steps = 4", "Accuracy on dev", "best"] {
        assert!(report.contains(part), "{part} is not in {report}");
    }
    let found = place.run(&[
        "search",
        "--index",
        "runs/a/index",
        "--encoder",
        "mine/model",
        "--query",
        "who founded the town ?",
        "--json",
    ]);
    assert_eq!(found.json()["queries"][0]["hits"].as_array().map(Vec::len), Some(10));

    // The same again is fine; another encoder is not put over it.
    assert_eq!(place.run(&["runs", "export", "runs/a", "--out", "mine"]).code, 0);
    let kept = fs::read(place.path("mine/model/model.safetensors")).unwrap();
    place.run(&["runs", "export", "runs/b", "--out", "mine"]).refused(&["another encoder", "--out"]);
    assert_eq!(fs::read(place.path("mine/model/model.safetensors")).unwrap(), kept);

    fs::remove_dir_all(place.path("runs/b/best")).unwrap();
    place.run(&["runs", "export", "runs/b", "--out", "b"]).refused(&["--resume runs/b"]);
    assert!(!place.path("b").exists());
    place.run(&["runs", "show", "world"]).refused(&["no run here"]);
    place.run(&["runs", "list", "nowhere"]).refused(&["nowhere"]);
    let none = place.run(&["runs", "list", "world", "--json"]).json();
    assert_eq!(none.as_array().map(Vec::len), Some(0));
}
