//! The project's runs: side by side, to go on with, to use, to export.

use std::path::Path;

use eframe::egui::{self, RichText, Ui};
use ragtune_engine::event::{Metrics, RunReport, RunState};

use crate::theme::palette;
use crate::widgets;

/// What was asked for at a run.
pub(super) enum Picked {
    /// Its curves.
    Show(String),
    /// To go on.
    Resume(String),
    /// To search with its encoder.
    Use(String),
    /// Its encoder and report in a folder.
    Export(String),
}

pub(super) fn ui(
    ui: &mut Ui,
    runs: &[RunReport],
    compared: &mut Vec<String>,
    used: Option<&Path>,
    running: bool,
) -> Option<Picked> {
    let mut picked = None;
    widgets::card(ui, |ui| {
        widgets::section(ui, "Runs");
        for run in runs {
            ui.horizontal_wrapped(|ui| {
                let name = name(run);
                let mut on = compared.contains(&run.run);
                let check = ui.checkbox(&mut on, RichText::new(name).strong()).on_hover_text("Compare");
                if check.changed() {
                    compared.retain(|known| *known != run.run);
                    if on {
                        compared.push(run.run.clone());
                    }
                }
                let colours = palette(ui);
                match run.state {
                    RunState::Finished => widgets::badge(ui, "finished", colours.good),
                    RunState::Unfinished => widgets::badge(ui, "stopped", colours.warn),
                };
                ui.weak(&run.summary);
                let accuracy = |metrics: &Option<Metrics>| {
                    metrics.as_ref().and_then(|m| m.rag_accuracy.get(&1).copied().flatten())
                };
                if let (Some(before), Some(after)) = (accuracy(&run.before), accuracy(&run.after)) {
                    ui.label(format!(
                        "RAG accuracy {} to {}",
                        widgets::percent(Some(before)),
                        widgets::percent(Some(after))
                    ));
                }
                let button = |ui: &mut Ui, text: &str, hint: &str, enabled: bool| {
                    let shown = ui.add_enabled(enabled, egui::Button::new(text).small()).on_hover_text(hint);
                    widgets::name_of(&shown, &format!("{text} {name}"));
                    shown.clicked()
                };
                if button(ui, "Show", "Its curves", !running) {
                    picked = Some(Picked::Show(run.run.clone()));
                }
                if run.state == RunState::Unfinished && button(ui, "Resume", "Goes on where it stopped", !running) {
                    picked = Some(Picked::Resume(run.run.clone()));
                }
                if let Some(checkpoint) = &run.checkpoint {
                    let is = used == Some(Path::new(checkpoint));
                    if is {
                        widgets::badge(ui, "in use", palette(ui).accent);
                    } else if button(ui, "Use", "Search with its encoder on the page Query", true) {
                        picked = Some(Picked::Use(checkpoint.clone()));
                    }
                    if button(ui, "Export", "Its encoder and a report in a folder of your choice", true) {
                        picked = Some(Picked::Export(run.run.clone()));
                    }
                }
            });
        }
        let chosen: Vec<&RunReport> = runs.iter().filter(|run| compared.contains(&run.run)).collect();
        if chosen.is_empty() {
            ui.weak("Tick runs to see their figures side by side.");
        } else {
            table(ui, &chosen);
        }
    });
    picked
}

pub(super) fn name(run: &RunReport) -> &str {
    Path::new(&run.run).file_name().and_then(|name| name.to_str()).unwrap_or(&run.run)
}

/// Figures of the start and of each run.
fn table(ui: &mut Ui, runs: &[&RunReport]) {
    type Figure = (&'static str, fn(&Metrics) -> Option<f64>);
    let figures: [Figure; 8] = [
        ("RAG accuracy, 1 passage", |m| m.rag_accuracy.get(&1).copied().flatten()),
        ("RAG accuracy, 10 passages", |m| m.rag_accuracy.get(&10).copied().flatten()),
        ("Exact match, 1 passage", |m| m.em.get(&1).copied().flatten()),
        ("Answer recall@1", |m| m.answer_recall.get(&1).copied().flatten()),
        ("Answer recall@20", |m| m.answer_recall.get(&20).copied().flatten()),
        ("Recall@1", |m| m.recall.get(&1).copied().flatten()),
        ("MRR@10", |m| m.mrr_at_10),
        ("nDCG@10", |m| m.ndcg_at_10),
    ];
    ui.separator();
    egui::Grid::new("compared").striped(true).spacing([22.0, 5.0]).show(ui, |ui| {
        ui.label("");
        for run in runs {
            ui.label(RichText::new(format!("{}: before", name(run))).strong());
            ui.label(RichText::new("after").strong());
        }
        ui.end_row();
        for (title, figure) in figures {
            ui.label(title);
            for run in runs {
                let (before, after) = (run.before.as_ref().and_then(figure), run.after.as_ref().and_then(figure));
                ui.label(widgets::percent(before));
                let colours = palette(ui);
                let colour = match (before, after) {
                    (Some(before), Some(after)) if after > before + 5e-4 => colours.good,
                    (Some(before), Some(after)) if after < before - 5e-4 => colours.bad,
                    _ => ui.visuals().text_color(),
                };
                ui.colored_label(colour, widgets::percent(after));
            }
            ui.end_row();
        }
        ui.label("Steps");
        for run in runs {
            ui.label("");
            ui.label(widgets::count(run.steps));
        }
        ui.end_row();
        ui.label("Time");
        for run in runs {
            ui.label("");
            ui.label(run.seconds.map_or_else(|| "-".to_owned(), widgets::duration));
        }
        ui.end_row();
        ui.label("Best on dev");
        for run in runs {
            ui.label("");
            ui.label(run.best_dev.map_or_else(
                || "-".to_owned(),
                |(step, share)| format!("{} at step {step}", widgets::percent(Some(share))),
            ));
        }
        ui.end_row();
    });
}
