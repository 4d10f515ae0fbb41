//! What can be done with a model that is at hand: verified, checked with fewer bits, written in another form.

use std::path::{Path, PathBuf};

use eframe::egui::{Grid, Ui};
use ragtune_engine::command::{CheckModel, Command, EncoderSource, ExportFormat, ExportModel, ImportModel, ModelPath};
use ragtune_engine::event::{CheckReport, EventKind, ModelReport, Report};

use super::Role;
use crate::dialog::Purpose;
use crate::link::{Owner, Ticket};
use crate::pages::Cx;
use crate::theme::palette;
use crate::widgets;

/// Questions that a model is checked with.
const QUESTIONS: usize = 16;

/// What is being done, and what came of it.
#[derive(Default)]
pub(super) struct Actions {
    verifying: Option<Ticket>,
    checking: Option<Ticket>,
    exporting: Option<Ticket>,
    importing: Option<Ticket>,
    /// The encoder that waits for a folder to be written to.
    to_export: Option<PathBuf>,
    /// The language model that does.
    to_import: Option<PathBuf>,
    said: Option<String>,
    checked: Option<CheckReport>,
}

impl Actions {
    /// Hears of its jobs. Gives what a verification found out.
    pub(super) fn on_event(&mut self, ticket: Ticket, kind: &EventKind) -> Option<ModelReport> {
        let EventKind::Report(report) = kind else {
            if self.exporting == Some(ticket) && matches!(kind, EventKind::Finished { .. }) {
                self.said = Some("The encoder is written for sentence-transformers.".to_owned());
            }
            if self.importing == Some(ticket) && matches!(kind, EventKind::Finished { .. }) {
                self.said = Some("The language model is written as transformers reads it.".to_owned());
            }
            return None;
        };
        match &**report {
            Report::Model(model) if self.verifying == Some(ticket) => {
                self.said = Some(format!("{}: every weight was read, and it computes.", model.folder));
                return Some(model.clone());
            }
            Report::Checked(checked) if self.checking == Some(ticket) => self.checked = Some(checked.clone()),
            _ => {}
        }
        None
    }

    /// Writes the encoder that was to be exported.
    pub(super) fn export_to(&mut self, out: PathBuf, cx: &mut Cx<'_>) {
        let Some(folder) = self.to_export.take() else { return };
        self.said = None;
        let encoder = EncoderSource { folder, head: None };
        let export = ExportModel { encoder, format: ExportFormat::SentenceTransformers, tower: None, out };
        self.exporting = Some(cx.ask(Owner::Models, "Exporting an encoder", Command::ExportModel(export)));
    }

    /// Writes the language model that was to be imported.
    pub(super) fn import_to(&mut self, out: PathBuf, cx: &mut Cx<'_>) {
        let Some(model) = self.to_import.take() else { return };
        self.said = None;
        let import = ImportModel { model, numbers: None, out };
        self.importing = Some(cx.work(Owner::Models, "Importing a model", Command::ImportModel(import)));
    }

    /// A model's buttons; `name` tells them from another model's.
    pub(super) fn buttons(&mut self, ui: &mut Ui, folder: &Path, name: &str, role: Role, cx: &mut Cx<'_>) {
        let button = |ui: &mut Ui, title: &str, hint: &str| {
            let shown = ui.small_button(title).on_hover_text(hint);
            widgets::name_of(&shown, &format!("{} {name}", title.trim_end_matches('…')));
            shown.clicked()
        };
        if button(ui, "Verify", "Reads every weight and computes once") {
            let model = ModelPath { model: folder.to_owned(), device: cx.device() };
            self.said = None;
            self.verifying = Some(cx.ask(Owner::Models, "Verifying a model", Command::VerifyModel(model)));
        }
        if button(ui, "Check", "Measures what 16, 8 and 4 bits a weight do to its scores") {
            let check =
                CheckModel { model: folder.to_owned(), against: None, questions: QUESTIONS, device: cx.device() };
            self.checked = None;
            self.checking = Some(cx.work(Owner::Models, "Checking a model", Command::CheckModel(check)));
        }
        if role == Role::Encoder
            && button(ui, "Export…", "Writes it as sentence-transformers reads it, into a new folder")
        {
            self.to_export = Some(folder.to_owned());
            cx.dialogs.open(Purpose::ExportModel);
        }
        if role == Role::LanguageModel
            && button(ui, "Import…", "Writes it as transformers reads it (safetensors), into a new folder")
        {
            self.to_import = Some(folder.to_owned());
            cx.dialogs.open(Purpose::ImportModel);
        }
    }

    /// What came of it.
    pub(super) fn results(&mut self, ui: &mut Ui) {
        if let Some(text) = &self.said {
            ui.colored_label(palette(ui).good, text);
        }
        let Some(report) = &self.checked else { return };
        let mut close = false;
        widgets::card(ui, |ui| {
            ui.horizontal(|ui| {
                widgets::section(ui, "Scores with fewer bits");
                close = ui.small_button("Close").clicked();
            });
            let what = if report.kind == "encoder" { "products" } else { "log-probabilities of the right answer" };
            ui.weak(format!("{}: {what} of {} questions with two passages each.", report.model, report.questions));
            Grid::new("checked").num_columns(5).spacing([18.0, 4.0]).striped(true).show(ui, |ui| {
                for head in ["weights", "size", "mean difference", "largest", "order kept"] {
                    ui.strong(head);
                }
                ui.end_row();
                for row in &report.rows {
                    ui.label(&row.precision);
                    ui.label(row.bytes.map_or_else(String::new, widgets::bytes));
                    ui.label(report.difference(row.mean_difference));
                    ui.label(report.difference(row.largest_difference));
                    ui.label(format!("{:.0} %", 100.0 * row.order_kept));
                    ui.end_row();
                }
            });
        });
        if close {
            self.checked = None;
        }
    }
}
