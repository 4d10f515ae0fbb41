//! Documents: what is in the index, what became of each file, and the passages themselves.

mod browser;

use std::path::{Path, PathBuf};

use eframe::egui::{self, RichText, ScrollArea, Ui};
use ragtune_engine::command::{Command, UpdateIndex};
use ragtune_engine::event::{EventKind, FileOutcome, FileState, Report, UpdateReport};

use self::browser::Browser;
use super::{Action, Cx, Page, encoder_source};
use crate::dialog::Purpose;
use crate::link::{JobState, Owner, Ticket};
use crate::platform;
use crate::theme::palette;
use crate::widgets;

/// What the page holds.
#[derive(Default)]
pub struct Corpus {
    path: String,
    update: Option<Ticket>,
    /// What the last pass said of each file, in the order in which it came.
    outcomes: Vec<FileOutcome>,
    report: Option<UpdateReport>,
    only_trouble: bool,
    error: Option<String>,
    /// Sources as they were before a removal, for undo.
    undo: Vec<Vec<PathBuf>>,
    browser: Browser,
}

impl Corpus {
    /// Forgets another project's things.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Adds files and folders to the project's sources and reads them.
    pub fn add(&mut self, paths: Vec<PathBuf>, cx: &mut Cx<'_>) {
        self.error = None;
        let missing: Vec<String> =
            paths.iter().filter(|path| !platform::exists(path)).map(|path| path.display().to_string()).collect();
        if !missing.is_empty() {
            self.error = Some(format!("not found: {}. Check the path, or choose it with a dialog", missing.join(", ")));
        }
        let found: Vec<PathBuf> = paths.into_iter().filter(|path| platform::exists(path)).collect();
        if found.is_empty() {
            return;
        }
        cx.change(|project| {
            for path in found {
                if !project.sources.contains(&path) {
                    project.sources.push(path);
                }
            }
        });
        cx.act(Action::UpdateIndex);
    }

    /// Brings the index up to date.
    pub fn update(&mut self, cx: &mut Cx<'_>) {
        let Some(report) = cx.project else { return };
        if cx.link.is_open(self.update) {
            return;
        }
        let Some(encoder) = report.project.encoder.clone() else {
            self.error = Some(
                "choose an encoder first (page Models): passages are cut and indexed with its tokenizer".to_owned(),
            );
            return;
        };
        let update = UpdateIndex {
            sources: report.project.sources.clone(),
            tokenizer: None,
            encoder: Some(encoder_source(encoder)),
            memory: None,
            index: report.index.clone(),
        };
        self.outcomes.clear();
        self.report = None;
        self.error = None;
        self.update = Some(cx.work(Owner::Corpus, "Indexing documents", Command::UpdateIndex(update)));
    }

    /// Shows a passage in the browser.
    pub fn show_passage(&mut self, id: &str, cx: &mut Cx<'_>) {
        self.browser.find(id, cx);
    }

    /// Fetches the list of passages, after the project or its index has changed.
    pub fn refresh(&mut self, cx: &mut Cx<'_>) {
        self.browser.fetch(cx);
    }

    /// Hears of its jobs.
    pub fn on_event(&mut self, ticket: Ticket, kind: &EventKind, cx: &mut Cx<'_>) {
        if self.browser.on_event(ticket, kind) || self.update != Some(ticket) {
            return;
        }
        match kind {
            EventKind::Files(files) => self.outcomes.extend(files.iter().cloned()),
            EventKind::Report(report) => {
                if let Report::Updated(report) = &**report {
                    self.outcomes.clone_from(&report.files);
                    self.report = Some(report.clone());
                }
            }
            EventKind::Failed { error, .. } => self.error = Some(error.clone()),
            _ => {}
        }
        if kind.is_end() {
            cx.act(Action::Refresh);
        }
    }

    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::title(
            ui,
            "Corpus",
            "The documents that are searched: text, Markdown, HTML, PDF, Word, and corpora in jsonl or BEIR layout.",
        );
        let Some(project) = cx.project else { return no_project(ui, cx) };
        if let Some(error) = &self.error
            && widgets::failure(ui, error)
        {
            self.error = None;
        }
        if project.project.encoder.is_none() {
            widgets::empty(
                ui,
                "First an encoder",
                "Documents are cut into passages of whole sentences, as long as the encoder can read, and indexed once one \
                 is chosen. A small one ships with ragtune; a larger one that knows your language finds more.",
                |ui| {
                    if widgets::primary(ui, "Use the shipped models").clicked() {
                        cx.act(Action::UseShippedModels);
                    }
                    if ui.button("Choose models").clicked() {
                        cx.act(Action::Go(Page::Models));
                    }
                },
            );
            return;
        }
        self.sources(ui, cx);
        self.pass(ui, cx);
        if cx.project.is_some_and(|project| project.passages.is_some()) {
            ui.add_space(6.0);
            self.browser.ui(ui, cx);
        }
    }

    fn sources(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let Some(project) = cx.project else { return };
        let sources = project.project.sources.clone();
        if sources.is_empty() {
            widgets::empty(
                ui,
                "No documents yet",
                "Drop files and folders anywhere on this window, or add them here. They stay where they are; only \
                 what is new or has changed is read again later.",
                |ui| self.add_buttons(ui, cx),
            );
            return;
        }
        widgets::card(ui, |ui| {
            ui.horizontal(|ui| {
                widgets::section(ui, "Sources");
                ui.weak("drop more anywhere on this window");
            });
            for (at, path) in sources.iter().enumerate() {
                ui.horizontal(|ui| {
                    let remove =
                        ui.small_button("Remove").on_hover_text("Its passages leave the index; the files stay");
                    widgets::name_of(&remove, &format!("Remove {}", path.display()));
                    if remove.clicked() {
                        self.undo.push(sources.clone());
                        cx.change(|project| drop(project.sources.remove(at)));
                        if sources.len() > 1 {
                            cx.act(Action::UpdateIndex);
                        }
                    }
                    ui.label(path.display().to_string());
                });
            }
            ui.horizontal_wrapped(|ui| {
                self.add_buttons(ui, cx);
                if let Some(before) = self.undo.last().cloned()
                    && ui.button("Undo remove").on_hover_text("Ctrl+Z").clicked()
                {
                    self.undo_remove(before, cx);
                }
            });
        });
    }

    /// Takes back the last removal of a source; true when there was one.
    pub fn undo(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(before) = self.undo.last().cloned() else { return false };
        self.undo_remove(before, cx);
        true
    }

    fn undo_remove(&mut self, before: Vec<PathBuf>, cx: &mut Cx<'_>) {
        self.undo.pop();
        cx.change(|project| project.sources = before);
        cx.act(Action::UpdateIndex);
    }

    fn add_buttons(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        ui.horizontal_wrapped(|ui| {
            if ui.button("Add files…").clicked() {
                cx.dialogs.open(Purpose::CorpusFiles);
            }
            if ui.button("Add a folder…").clicked() {
                cx.dialogs.open(Purpose::CorpusFolder);
            }
            let field = widgets::field(ui, "Path of a document or folder", &mut self.path, "or a path", 220.0);
            let entered = widgets::entered(&field);
            if (ui.button("Add path").clicked() || entered) && !self.path.trim().is_empty() {
                let path = PathBuf::from(self.path.trim());
                self.path.clear();
                self.add(vec![path], cx);
            }
        });
    }

    /// The pass over the files: how far it is, what became of each.
    fn pass(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let running = cx.link.is_open(self.update);
        let job = self.update.and_then(|ticket| cx.link.job(ticket)).cloned();
        if self.outcomes.is_empty() && job.is_none() {
            let ready = cx.project.is_some_and(|project| !project.project.sources.is_empty());
            if ready && ui.button("Update the index").on_hover_text("Reads what is new or has changed").clicked() {
                cx.act(Action::UpdateIndex);
            }
            return;
        }
        widgets::card(ui, |ui| {
            ui.horizontal(|ui| {
                widgets::section(ui, "Reading");
                if running {
                    let paused = job.as_ref().is_some_and(|job| job.state == JobState::Paused);
                    if let Some(ticket) = self.update {
                        if ui.button(if paused { "Go on" } else { "Pause" }).clicked() {
                            if paused { cx.link.resume(ticket) } else { cx.link.pause(ticket) }
                        }
                        if ui
                            .button("Stop")
                            .on_hover_text("What is read so far stays; updating goes on from there")
                            .clicked()
                        {
                            cx.link.cancel(ticket);
                        }
                    }
                } else if ui.button("Update the index").on_hover_text("Reads what is new or has changed").clicked() {
                    cx.act(Action::UpdateIndex);
                }
            });
            if let Some(job) = &job {
                match (&job.progress, &job.state) {
                    (Some(progress), _) if running => widgets::progress(ui, progress),
                    (_, JobState::Cancelled(resume)) => {
                        let way = resume.as_deref().unwrap_or("update the index to go on");
                        ui.label(format!("Stopped: {way}."));
                    }
                    _ => {}
                }
                for text in &job.warnings {
                    ui.colored_label(palette(ui).warn, text);
                }
            }
            self.outcome_counts(ui);
            self.outcome_list(ui);
        });
    }

    fn outcome_counts(&mut self, ui: &mut Ui) {
        let count = |wanted: fn(&FileState) -> bool| self.outcomes.iter().filter(|file| wanted(&file.state)).count();
        let indexed = count(|state| matches!(state, FileState::Indexed { .. }));
        let unchanged = count(|state| matches!(state, FileState::Unchanged { .. }));
        let skipped = count(|state| matches!(state, FileState::Skipped { .. }));
        let failed = count(|state| matches!(state, FileState::Failed { .. }));
        let removed = count(|state| matches!(state, FileState::Removed));
        ui.horizontal_wrapped(|ui| {
            let colours = palette(ui);
            for (n, name, colour) in [
                (indexed, "indexed", colours.good),
                (unchanged, "unchanged", colours.weak),
                (skipped, "skipped", colours.warn),
                (failed, "failed", colours.bad),
                (removed, "removed", colours.weak),
            ] {
                if n > 0 {
                    widgets::badge(ui, &format!("{n} {name}"), colour);
                }
            }
            if skipped + failed > 0 {
                ui.checkbox(&mut self.only_trouble, "only what was not read");
            }
        });
    }

    fn outcome_list(&self, ui: &mut Ui) {
        let trouble = |file: &&FileOutcome| matches!(file.state, FileState::Skipped { .. } | FileState::Failed { .. });
        let shown: Vec<&FileOutcome> =
            self.outcomes.iter().filter(|file| !self.only_trouble || trouble(file)).collect();
        if shown.is_empty() {
            return;
        }
        let height = ui.text_style_height(&egui::TextStyle::Body) + 2.0;
        let rows = shown.len();
        ScrollArea::vertical().id_salt("outcomes").max_height(150.0).auto_shrink([false, true]).show_rows(
            ui,
            height,
            rows,
            |ui, range| {
                for file in &shown[range] {
                    ui.horizontal(|ui| {
                        let colours = palette(ui);
                        let (word, colour, more) = match &file.state {
                            FileState::Indexed { passages } => ("indexed", colours.good, many(*passages)),
                            FileState::Unchanged { passages } => ("unchanged", colours.weak, many(*passages)),
                            FileState::Skipped { reason } => ("skipped", colours.warn, reason.clone()),
                            FileState::Failed { reason } => ("failed", colours.bad, reason.clone()),
                            FileState::Removed => ("removed", colours.weak, String::new()),
                        };
                        widgets::badge(ui, word, colour);
                        ui.label(&file.file);
                        ui.add(egui::Label::new(RichText::new(&more).color(colours.weak)).truncate())
                            .on_hover_text(more);
                    });
                }
            },
        );
    }
}

fn many(passages: u64) -> String {
    format!("{} {}", widgets::count(passages), if passages == 1 { "passage" } else { "passages" })
}

/// What every page but the first says without a project.
pub fn no_project(ui: &mut Ui, cx: &mut Cx<'_>) {
    let text = "Open a folder as a project, or try the sample world, on the page Home.";
    widgets::empty(ui, "No project is open", text, |ui| {
        if widgets::primary(ui, "Go to Home").clicked() {
            cx.act(Action::Go(Page::Home));
        }
    });
}

/// A button that shows a source file with the system's own program, at the page where that is possible.
pub fn open_file(ui: &mut Ui, file: &str, page: Option<u32>, cx: &Cx<'_>) {
    let Some(path) = find_source(file, cx) else { return };
    if ui.small_button("Open file").on_hover_text(path.display().to_string()).clicked() {
        let mut url = format!("file://{}", path.display().to_string().replace(' ', "%20"));
        if let Some(page) = page {
            url.push_str(&format!("#page={page}"));
        }
        ui.ctx().open_url(egui::OpenUrl::new_tab(url));
    }
}

/// The file that a passage's source names, below one of the project's sources.
fn find_source(file: &str, cx: &Cx<'_>) -> Option<PathBuf> {
    let sources = &cx.project?.project.sources;
    let beside = |source: &PathBuf| {
        let parent = source.parent().unwrap_or(Path::new(""));
        [source.join(file), parent.join(file), PathBuf::from(file)].into_iter().find(|path| platform::can_show(path))
    };
    sources.iter().find_map(beside).and_then(|path| std::path::absolute(path).ok())
}
