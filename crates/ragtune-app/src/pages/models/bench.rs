//! How fast the chosen device is with the project's own models.

use eframe::egui::{Grid, Ui};
use ragtune_engine::command::{Bench as Wanted, Command};
use ragtune_engine::event::{BenchReport, BenchRow, EventKind, Report};
use ragtune_engine::figures::three_digits;

use crate::link::{Owner, Ticket};
use crate::pages::Cx;
use crate::widgets;

/// Times that everything is measured.
const ROUNDS: usize = 3;
/// Questions of a training step.
const QUESTIONS: usize = 4;
/// Tokens of a text.
const TOKENS: usize = 128;

/// The benchmark that runs, and the last one's figures.
#[derive(Default)]
pub(super) struct Bench {
    running: Option<Ticket>,
    /// Figures so far.
    rows: Vec<BenchRow>,
    report: Option<BenchReport>,
    error: Option<String>,
}

impl Bench {
    /// Hears of its job; whether it was of its own.
    pub(super) fn on_event(&mut self, ticket: Ticket, kind: &EventKind) -> bool {
        if self.running != Some(ticket) {
            return false;
        }
        match kind {
            EventKind::Measured(row) => self.rows.push(row.clone()),
            EventKind::Report(report) => {
                if let Report::Bench(report) = &**report {
                    self.report = Some(report.clone());
                }
            }
            EventKind::Failed { error, .. } => self.error = Some(error.clone()),
            _ => {}
        }
        if kind.is_end() {
            self.running = None;
        }
        true
    }

    /// The button.
    pub(super) fn button(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let hint = "Reading, a training step and writing with the models above, on the chosen device: a minute or more";
        let shown = ui.add_enabled_ui(self.running.is_none(), |ui| ui.small_button("Benchmark").on_hover_text(hint));
        let Some(report) = cx.project.filter(|_| shown.inner.clicked()) else { return };
        let wanted = Wanted {
            encoder: report.project.encoder.clone(),
            llm: report.project.llm.clone(),
            peers: None,
            rounds: ROUNDS,
            texts: Wanted::TEXTS,
            questions: QUESTIONS,
            tokens: TOKENS,
            device: report.project.device.clone(),
        };
        (self.rows, self.report, self.error) = (Vec::new(), None, None);
        self.running = Some(cx.work(Owner::Models, "Measuring speed", Command::Bench(wanted)));
    }

    /// The figures.
    pub(super) fn results(&mut self, ui: &mut Ui) {
        if self.error.as_ref().is_some_and(|error| widgets::failure(ui, error)) {
            self.error = None;
        }
        let rows = match &self.report {
            Some(report) => {
                ui.add_space(6.0);
                let threads = report.threads.map_or_else(String::new, |threads| format!(", {threads} threads"));
                ui.label(format!("Speed of {}{threads}, medians of {}", report.device, report.rounds));
                &report.rows
            }
            None if self.running.is_some() => &self.rows,
            None => return,
        };
        Grid::new("speed").num_columns(3).spacing([18.0, 4.0]).striped(true).show(ui, |ui| {
            for row in rows {
                ui.label(&row.figure);
                ui.label(format!("{} {}", three_digits(row.value), row.unit));
                ui.weak(row.ceiling.map_or_else(String::new, |share| {
                    format!("{:.0} % of the device's matrix product", 100.0 * share)
                }));
                ui.end_row();
            }
        });
        if self.report.is_some() && ui.small_button("Close").clicked() {
            self.report = None;
        }
    }
}
