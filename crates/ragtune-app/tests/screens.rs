//! Pictures of every page in both themes, drawn in software, beside stored ones.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --release --workspace --test screens` stores new ones; look at them before you keep them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Window, sample_world};
use eframe::egui::{self, Theme};
use egui_kittest::SnapshotOptions;
use egui_kittest::kittest::{Queryable as _, by};
use ragtune_app::pages::Page;

/// Of the window.
const SIZE: [f32; 2] = [1000.0, 720.0];

/// A small sample world with an index and a run whose figures are written, not computed: they are the same everywhere.
fn project(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    sample_world(folder);
    let run = folder.join("runs/first");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("config.toml"), "[tune]\noffline_epochs = 4\nonline_epochs = 2\nbatch = 16\n").unwrap();
    let figures = |one: f64| {
        serde_json::json!({"rag_accuracy": {"1": one, "10": one / 2.0}, "em": {"1": one}, "f1": {"1": one},
            "answer_recall": {"1": 0.88, "20": 1.0}, "recall": {"1": 0.24}, "mrr@10": 0.93, "ndcg@10": 0.72, "questions": 18})
    };
    fs::write(run.join("before.json"), figures(0.3).to_string()).unwrap();
    let report = serde_json::json!({"run": run, "checkpoint": run.join("best"), "before": figures(0.3),
        "after": figures(0.6), "steps": 24, "seconds": 95.0, "warnings": []});
    fs::write(run.join("report.json"), report.to_string()).unwrap();
    let mut lines = vec![
        serde_json::json!({"kind": "pools", "questions": 36, "usable": 30, "without_positive": 6, "without_negative": 0,
            "positives": 2.5, "negatives": 17.5, "auc": 0.97,
            "scores": {"edges": [-8.0, -6.0, -4.0, -2.0, 0.0], "positives": [0, 2, 10, 63], "negatives": [280, 200, 40, 5]}}),
    ];
    for step in 0..24usize {
        if step.is_multiple_of(6) {
            let accuracy = 0.35 + step as f64 / 100.0;
            lines.push(
                serde_json::json!({"kind": "dev", "step": step, "accuracy": accuracy, "questions": 6, "best": true}),
            );
        }
        let loss = 9.0 / (1.0 + step as f64 / 8.0);
        lines.push(serde_json::json!({"kind": "step", "step": step + 1, "stage": if step < 16 { "offline" } else { "online" },
            "stage_step": step % 16 + 1, "stage_steps": 16, "epoch": 1, "loss": loss, "para": loss * 0.45, "semi": loss * 0.55,
            "gradient_norm": 1.0, "lr": 1e-4, "batch_accuracy": 0.5, "score_spread": 3.5, "tokens": 4000,
            "example": {"question": "q000000", "positive": "p000001", "positive_score": -0.2, "negative": "p000002",
                "negative_score": -6.0}}));
    }
    let text: String = lines.iter().map(|line| line.to_string() + "\n").collect();
    fs::write(run.join("metrics.jsonl"), text).unwrap();
}

/// Hides what differs from one time to the next: durations, and where the test's folder lies.
fn hide_the_changing(window: &mut Window, folder: &Path) {
    let place = folder.display().to_string();
    let changing = |text: &str| {
        let time = text.split([' ', ',']).collect::<Vec<_>>();
        let is_time = |pair: &[&str]| pair[0].parse::<f64>().is_ok() && ["ms", "s", "min"].contains(&pair[1]);
        text.contains(&place) || time.windows(2).any(is_time) || text.contains("/s")
    };
    let all = window.harness.query_all(by().predicate(move |node| {
        let text = node.label().or_else(|| node.value()).unwrap_or_default();
        changing(&text)
    }));
    // As wide for a short time as for a long one.
    let wide =
        |rect: egui::Rect| egui::Rect::from_min_size(rect.min, egui::vec2(rect.width().max(110.0), rect.height()));
    let rects: Vec<egui::Rect> = all.map(|node| wide(node.rect())).collect();
    rects.into_iter().for_each(|rect| window.harness.mask(rect));
}

fn picture(window: &mut Window, folder: &Path, name: &str) {
    picture_above(window, folder, name, None);
}

/// A picture of what is above a heading: what is below it differs from machine to machine.
fn picture_above(window: &mut Window, folder: &Path, name: &str, heading: Option<&str>) {
    // The pointer is nowhere, the text cursor does not blink.
    window.harness.remove_cursor();
    for _ in 0..4 {
        window.harness.step();
    }
    hide_the_changing(window, folder);
    if let Some(heading) = heading {
        let rect = window.harness.get_by_label(heading).rect();
        // The card's edge too.
        let below = egui::Rect::from_min_max(rect.min - egui::vec2(16.0, 16.0), egui::pos2(SIZE[0], SIZE[1]));
        window.harness.mask(below);
    }
    // Software renderers of different versions round a few pixels differently.
    let options = SnapshotOptions::new().max_failed_pixels(400usize);
    window.harness.snapshot_options(name, &options);
}

fn every_page(theme: Theme) {
    let name = if theme == Theme::Dark { "dark" } else { "light" };
    let home = std::env::temp_dir().join(format!("ragtune-snapshots-{name}"));
    let folder: PathBuf = home.join("sample");
    project(&folder);
    let mut window = Window::sized(&home, None, SIZE, theme);
    picture(&mut window, &home, &format!("{name}/start"));
    let mut results = window.harness.take_snapshot_results();
    drop(window);

    let mut window = Window::sized(&home, Some(&folder), SIZE, theme);
    window.wait_for("The sample world");
    window.wait_for_rest();
    picture(&mut window, &home, &format!("{name}/home"));
    window.go(Page::Corpus);
    window.wait_for_rest();
    picture(&mut window, &home, &format!("{name}/corpus"));
    window.go(Page::Questions);
    window.wait_for("Question 1:");
    let first = window.text().lines().find(|line| line.starts_with("Question 1:")).unwrap().to_owned();
    window.click(&first);
    picture(&mut window, &home, &format!("{name}/questions"));
    window.go(Page::Models);
    window.wait_for("Automatic:");
    window.wait_for_rest();
    picture_above(&mut window, &home, &format!("{name}/models"), Some("Device"));
    window.go(Page::Tune);
    window.wait_for("usable questions");
    window.click("first");
    picture(&mut window, &home, &format!("{name}/tune"));
    window.go(Page::Query);
    window.write("Question", "who built the bridge?");
    window.press(egui::Key::Enter);
    window.wait_for("Explain passage 1 in late");
    window.wait_for_rest();
    picture(&mut window, &home, &format!("{name}/query"));
    window.click("Explain passage 1 in late");
    window.wait_for("its own words");
    window.wait_for_rest();
    picture(&mut window, &home, &format!("{name}/explain"));
    window.press(egui::Key::F1);
    picture(&mut window, &home, &format!("{name}/about"));
    results.extend_harness(&mut window.harness);
    results.unwrap();
}

#[test]
fn every_page_looks_as_it_did_in_the_dark_theme() {
    every_page(Theme::Dark);
}

#[test]
fn every_page_looks_as_it_did_in_the_light_theme() {
    every_page(Theme::Light);
}
