//! Questions with answers: imported, pasted, written, or drafted by the language model.

mod editor;
mod rows;

use std::path::PathBuf;

use eframe::egui::{self, RichText, ScrollArea, Ui};
use ragtune_engine::command::{CheckQuestions, Command, DraftQuestions, Question, QuestionSource, WriteQuestions};
use ragtune_engine::event::{EventKind, QuestionProblem, Report};

use self::rows::{Row, Rows};
use super::Cx;
use super::corpus::no_project;
use crate::dialog::Purpose;
use crate::link::{Owner, Ticket};
use crate::theme::palette;
use crate::widgets;

/// What the page holds.
#[derive(Default)]
pub struct Questions {
    rows: Rows,
    chosen: Option<usize>,
    find: String,
    path: String,
    pasted: String,
    pasting: bool,
    drafts: usize,
    checking: Option<Ticket>,
    /// Whether what is being checked is added to the rows, or is the project's own file.
    adding: bool,
    drafting: Option<Ticket>,
    writing: Option<Ticket>,
    problems: Vec<QuestionProblem>,
    problem_file: String,
    error: Option<String>,
    said: Option<String>,
}

impl Questions {
    /// Forgets another project's questions.
    pub fn reset(&mut self) {
        *self = Self { drafts: 20, ..Self::default() };
    }

    /// Whether there are changes that no file holds.
    pub fn unsaved(&self) -> bool {
        self.rows.changed
    }

    /// Reads the project's questions.
    pub fn refresh(&mut self, cx: &mut Cx<'_>) {
        let Some(path) = cx.project.and_then(|project| project.project.questions.clone()) else { return };
        if !self.rows.changed {
            self.adding = false;
            self.check(path, None, cx);
        }
    }

    /// Adds the questions of a file.
    pub fn import(&mut self, path: PathBuf, cx: &mut Cx<'_>) {
        self.adding = true;
        self.said = None;
        self.check(path, None, cx);
    }

    fn check(&mut self, path: PathBuf, text: Option<String>, cx: &mut Cx<'_>) {
        let Some(project) = cx.project else { return };
        self.error = None;
        self.problems.clear();
        self.problem_file = path.display().to_string();
        let index = project.passages.is_some().then(|| project.index.clone());
        let questions = QuestionSource { path, id_prefix: None, aliases: None };
        let command = Command::CheckQuestions(CheckQuestions { questions, index, text });
        self.checking = Some(cx.fetch(Owner::Questions, "Reading questions", command));
    }

    /// Hears of its jobs.
    pub fn on_event(&mut self, ticket: Ticket, kind: &EventKind, cx: &mut Cx<'_>) {
        if self.checking == Some(ticket) {
            match kind {
                EventKind::Report(report) => {
                    if let Report::Questions(report) = &**report {
                        self.problems.clone_from(&report.problems);
                        let found = report.questions.len();
                        if self.adding {
                            self.rows.add(report.questions.iter().cloned().map(Row::of).collect());
                            self.said = Some(format!("{found} questions were added; save to keep them."));
                        } else {
                            self.rows.load(report.questions.clone());
                        }
                    }
                }
                EventKind::Failed { error, .. } => self.error = Some(error.clone()),
                _ => {}
            }
        }
        if self.drafting == Some(ticket) {
            match kind {
                EventKind::Draft(draft) => {
                    let row = Row { draft: true, doubt: draft.doubt.clone(), ..Row::of(draft.question.clone()) };
                    self.rows.add(vec![row]);
                }
                EventKind::Failed { error, .. } => self.error = Some(error.clone()),
                EventKind::Finished { .. } => {
                    let drafts = self.rows.all.iter().filter(|row| row.draft).count();
                    self.said = Some(format!("{drafts} drafts: read each, mend it, then accept or delete it."));
                }
                _ => {}
            }
        }
        if self.writing == Some(ticket) {
            match kind {
                EventKind::Finished { .. } => {
                    self.rows.changed = false;
                    self.said = Some("Saved.".to_owned());
                    let file = cx.project.map(|project| project.folder.join(QUESTIONS_FILE));
                    cx.change(|project| project.questions = file);
                }
                EventKind::Failed { error, .. } => self.error = Some(error.clone()),
                _ => {}
            }
        }
    }

    /// Takes back the last change; true when there was one.
    pub fn undo(&mut self) -> bool {
        self.rows.undo()
    }

    /// Makes the change again that was taken back.
    pub fn redo(&mut self) -> bool {
        self.rows.redo()
    }

    /// Saves the questions in the project's folder.
    pub fn save(&mut self, cx: &mut Cx<'_>) {
        let Some(project) = cx.project else { return };
        let questions: Vec<Question> = self.rows.all.iter().filter(|row| !row.draft).map(Row::to_save).collect();
        if let Some((at, problem)) = self.rows.first_problem() {
            self.chosen = Some(at);
            self.error = Some(format!("row {}: {problem}. Mend it or delete the row, then save", at + 1));
            return;
        }
        if questions.is_empty() {
            self.error = Some("there is no question to save: accept a draft, or write one".to_owned());
            return;
        }
        let write = WriteQuestions { questions, out: project.folder.join(QUESTIONS_FILE) };
        self.writing = Some(cx.ask(Owner::Questions, "Saving questions", Command::WriteQuestions(write)));
    }

    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::title(
            ui,
            "Questions",
            "Tuning learns from train questions, chooses on dev questions and reports on test questions.",
        );
        if cx.project.is_none() {
            return no_project(ui, cx);
        }
        if let Some(error) = &self.error
            && widgets::failure(ui, error)
        {
            self.error = None;
        }
        self.problem_list(ui);
        self.toolbar(ui, cx);
        if self.pasting {
            self.paste_panel(ui, cx);
        }
        if self.rows.all.is_empty() {
            if !cx.link.is_open(self.checking) {
                self.nothing(ui, cx);
            }
            return;
        }
        self.counts(ui);
        self.table(ui);
    }

    fn nothing(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::empty(
            ui,
            "No questions yet",
            "A question needs at least one right answer. Bring a file (jsonl, BEIR folder, DPR's json, or lines of \
             question, tab, answer), paste lines, write them here, or let the language model draft some about your \
             documents and mend them.",
            |ui| {
                ui.horizontal_wrapped(|ui| {
                    if widgets::primary(ui, "Import questions…").clicked() {
                        cx.dialogs.open(Purpose::Questions);
                    }
                    if ui.button("Write the first one").clicked() {
                        self.chosen = Some(self.rows.new_row());
                    }
                });
            },
        );
    }

    fn toolbar(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        ui.horizontal_wrapped(|ui| {
            if ui.button("Import…").clicked() {
                cx.dialogs.open(Purpose::Questions);
            }
            let field = widgets::field(ui, "Path of a questions file", &mut self.path, "or a path", 180.0);
            let entered = widgets::entered(&field);
            let clicked = ui.button("Import path").clicked();
            if (clicked || entered) && !self.path.trim().is_empty() {
                let path = PathBuf::from(self.path.trim());
                self.path.clear();
                self.import(path, cx);
            }
            ui.toggle_value(&mut self.pasting, "Paste lines");
            if ui.button("New question").clicked() {
                self.chosen = Some(self.rows.new_row());
            }
            ui.separator();
            if ui.add_enabled(self.rows.can_undo(), egui::Button::new("Undo")).on_hover_text("Ctrl+Z").clicked() {
                self.rows.undo();
            }
            if ui.add_enabled(self.rows.can_redo(), egui::Button::new("Redo")).on_hover_text("Ctrl+Shift+Z").clicked() {
                self.rows.redo();
            }
            ui.separator();
            self.draft_controls(ui, cx);
            ui.separator();
            let missing = (!self.rows.changed).then_some("Nothing has changed");
            if widgets::primary_if(ui, "Save questions", missing).clicked() {
                self.save(cx);
            }
            if let Some(said) = &self.said {
                ui.colored_label(palette(ui).good, said);
            }
        });
    }

    fn draft_controls(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if cx.link.is_open(self.drafting) {
            ui.spinner();
            ui.label("drafting…");
            if let Some(ticket) = self.drafting
                && ui.button("Stop drafting").clicked()
            {
                cx.link.cancel(ticket);
            }
            return;
        }
        let Some(project) = cx.project else { return };
        let ready = project.passages.is_some() && project.project.llm.is_some();
        let hint =
            "The language model words questions about passages of your corpus. They are drafts: each must be read";
        let button = ui.add_enabled(ready, egui::Button::new("Draft questions"));
        let clicked =
            button.on_hover_text(hint).on_disabled_hover_text("Needs an index and a language model").clicked();
        let count = ui.add(egui::DragValue::new(&mut self.drafts).range(1..=1000).suffix(" drafts"));
        widgets::name_of(&count, "Number of drafts");
        if clicked && let Some(llm) = project.project.llm.clone() {
            let draft = DraftQuestions {
                index: project.index.clone(),
                llm,
                template: project.project.template.clone(),
                count: self.drafts,
                out: None,
                seed: self.rows.all.len() as u64,
                device: project.project.device.clone(),
            };
            self.drafting = Some(cx.work(Owner::Questions, "Drafting questions", Command::DraftQuestions(draft)));
        }
    }

    fn paste_panel(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::card(ui, |ui| {
            ui.label(
                "One question a line: the question, a tab (or a comma), its answer, and more answers if there are any.",
            );
            let edit = egui::TextEdit::multiline(&mut self.pasted)
                .desired_rows(5)
                .desired_width(f32::INFINITY)
                .hint_text("Who rebuilt the old mill bridge?\tAda Holm");
            let shown = ui.add(edit);
            widgets::name_of(&shown, "Lines of questions and answers");
            if ui.button("Add these").clicked() && !self.pasted.trim().is_empty() {
                let text = std::mem::take(&mut self.pasted);
                self.adding = true;
                self.pasting = false;
                self.check(PathBuf::from("pasted lines"), Some(text), cx);
            }
        });
    }

    fn problem_list(&mut self, ui: &mut Ui) {
        if self.problems.is_empty() {
            return;
        }
        let mut close = false;
        widgets::card(ui, |ui| {
            let fatal = self.problems.iter().filter(|problem| problem.fatal).count();
            ui.horizontal_wrapped(|ui| {
                let colours = palette(ui);
                if fatal > 0 {
                    widgets::badge(ui, &format!("{fatal} lines left out"), colours.bad);
                }
                let warned = self.problems.len() - fatal;
                if warned > 0 {
                    widgets::badge(ui, &format!("{warned} to be looked at"), colours.warn);
                }
                ui.weak(&self.problem_file);
                close = ui.small_button("Close").clicked();
            });
            ScrollArea::vertical().id_salt("problems").max_height(110.0).show(ui, |ui| {
                for problem in &self.problems {
                    let line = problem.line.map_or_else(String::new, |line| format!("line {line}: "));
                    let colour = if problem.fatal { palette(ui).bad } else { palette(ui).warn };
                    ui.label(RichText::new(format!("{line}{}", problem.reason)).color(colour));
                }
            });
        });
        if close {
            self.problems.clear();
        }
    }

    fn counts(&mut self, ui: &mut Ui) {
        let [train, dev, test, open, drafts] = self.rows.counts();
        ui.horizontal_wrapped(|ui| {
            let colours = palette(ui);
            widgets::badge(ui, &format!("{train} train"), colours.accent);
            widgets::badge(ui, &format!("{dev} dev"), colours.accent);
            widgets::badge(ui, &format!("{test} test"), colours.accent);
            if open > 0 {
                widgets::badge(ui, &format!("{open} without a split"), colours.weak).on_hover_text(
                    "They are divided by a hash of their gold passage, so that one passage never serves two splits",
                );
            }
            if drafts > 0 {
                widgets::badge(ui, &format!("{drafts} drafts, not used yet"), colours.warn);
                if ui.small_button("Accept all drafts").clicked() {
                    self.rows.accept_all();
                }
                if ui.small_button("Delete all drafts").clicked() {
                    self.rows.delete_drafts();
                    self.chosen = None;
                }
            }
            widgets::field(ui, "Find in questions", &mut self.find, "find", 160.0);
        });
    }

    fn table(&mut self, ui: &mut Ui) {
        let needle = self.find.trim().to_lowercase();
        let shown: Vec<usize> = (0..self.rows.all.len()).filter(|&at| self.rows.all[at].holds(&needle)).collect();
        let size = egui::vec2(ui.available_width(), ui.available_height().max(260.0));
        let left = (size.x * 0.55).max(300.0);
        ui.horizontal_top(|ui| {
            widgets::sized(ui, egui::vec2(left, size.y), |ui| {
                let area = ScrollArea::vertical().id_salt("questions").auto_shrink([false, false]);
                area.show_rows(ui, 24.0, shown.len(), |ui, range| {
                    for &at in &shown[range] {
                        if self.rows.all[at].line(ui, at, self.chosen == Some(at)) {
                            self.chosen = Some(at);
                        }
                    }
                });
            });
            let Some(at) = self.chosen.filter(|&at| at < self.rows.all.len()) else {
                ui.weak("Choose a question to change it.");
                return;
            };
            ScrollArea::vertical().id_salt("editor").auto_shrink([false, false]).show(ui, |ui| {
                if editor::ui(ui, &mut self.rows, at) {
                    self.chosen = None;
                }
            });
        });
    }
}

/// Name of the project's own questions file.
const QUESTIONS_FILE: &str = ragtune_engine::project::QUESTIONS;
