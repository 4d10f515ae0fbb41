//! The passage browser: a page of the index's passages, and the one that was chosen.

use eframe::egui::{self, Align, Layout, RichText, ScrollArea, Ui};
use ragtune_engine::command::{Command, ListPassages};
use ragtune_engine::event::{EventKind, ListedPassage, PassageList, Report};

use super::open_file;
use crate::link::{Owner, Ticket};
use crate::pages::Cx;
use crate::widgets;

/// Passages on a page of the browser.
const PAGE: usize = 50;

/// The passage browser.
#[derive(Default)]
pub(super) struct Browser {
    find: String,
    file: Option<String>,
    offset: u64,
    list: Option<PassageList>,
    fetching: Option<Ticket>,
    chosen: Option<ListedPassage>,
    error: Option<String>,
}

impl Browser {
    /// Looks for a passage by its id.
    pub(super) fn find(&mut self, id: &str, cx: &mut Cx<'_>) {
        self.find = id.to_owned();
        self.file = None;
        self.offset = 0;
        self.fetch(cx);
    }

    /// Fetches what is to be shown.
    pub(super) fn fetch(&mut self, cx: &mut Cx<'_>) {
        let Some(project) = cx.project.filter(|project| project.passages.is_some()) else { return };
        if let Some(before) = self.fetching {
            cx.link.cancel(before);
        }
        let list = ListPassages {
            index: project.index.clone(),
            find: self.find.trim().to_owned(),
            file: self.file.clone(),
            offset: self.offset,
            limit: PAGE,
        };
        self.fetching = Some(cx.fetch(Owner::Corpus, "Listing passages", Command::ListPassages(list)));
    }

    /// Hears of its list; false when the job is not its own.
    pub(super) fn on_event(&mut self, ticket: Ticket, kind: &EventKind) -> bool {
        if self.fetching != Some(ticket) {
            return false;
        }
        match kind {
            EventKind::Report(report) => {
                if let Report::Passages(list) = &**report {
                    self.take(list.clone());
                }
            }
            EventKind::Failed { error, .. } => self.error = Some(error.clone()),
            _ => {}
        }
        true
    }

    fn take(&mut self, list: PassageList) {
        self.error = None;
        let keep = self.chosen.as_ref().and_then(|chosen| list.passages.iter().find(|passage| passage.id == chosen.id));
        self.chosen = keep.or(list.passages.first()).cloned();
        self.list = Some(list);
    }

    /// Draws it.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if self.list.is_none() && self.fetching.is_none() {
            self.fetch(cx);
        }
        ui.horizontal_wrapped(|ui| {
            widgets::section(ui, "Passages");
            let field = widgets::field(ui, "Find in passages", &mut self.find, "find a word or an id", 220.0);
            let mut changed = field.changed();
            let files = self.list.as_ref().map_or(&[][..], |list| &list.files);
            if files.len() > 1 {
                let shown = self.file.clone().unwrap_or_else(|| "all files".to_owned());
                let combo = egui::ComboBox::from_id_salt("file").selected_text(shown).width(220.0).show_ui(ui, |ui| {
                    changed |= ui.selectable_value(&mut self.file, None, "all files").changed();
                    for (file, n) in files {
                        changed |=
                            ui.selectable_value(&mut self.file, Some(file.clone()), format!("{file} ({n})")).changed();
                    }
                });
                widgets::name_of(&combo.response, "Passages of the file");
            }
            if changed {
                self.offset = 0;
                self.fetch(cx);
            }
            if let Some(list) = &self.list {
                let last = list.offset + list.passages.len() as u64;
                let first = if list.passages.is_empty() { 0 } else { list.offset + 1 };
                ui.weak(format!("{first} to {last} of {}", widgets::count(list.total)));
                let (back, on) = (list.offset > 0, last < list.total);
                if ui.add_enabled(back, egui::Button::new("Previous")).clicked() {
                    self.offset = self.offset.saturating_sub(PAGE as u64);
                    self.fetch(cx);
                }
                if ui.add_enabled(on, egui::Button::new("Next")).clicked() {
                    self.offset = last;
                    self.fetch(cx);
                }
            }
        });
        if let Some(error) = &self.error
            && widgets::failure(ui, error)
        {
            self.error = None;
        }
        let Some(list) = &self.list else { return };
        if list.passages.is_empty() {
            ui.weak("No passage fits. Shorten what you look for.");
            return;
        }
        let height = ui.available_height().max(220.0);
        let width = ui.available_width();
        ui.horizontal_top(|ui| {
            let left = (width * 0.42).max(240.0);
            widgets::sized(ui, egui::vec2(left, height), |ui| {
                ScrollArea::vertical().id_salt("passages").auto_shrink([false, false]).show(ui, |ui| {
                    let left = Layout::top_down_justified(Align::LEFT);
                    ui.with_layout(left, |ui| {
                        for passage in &list.passages {
                            let chosen = self.chosen.as_ref().is_some_and(|chosen| chosen.id == passage.id);
                            let name = if passage.title.is_empty() { &passage.id } else { &passage.title };
                            let text = format!("{name}  {}", first_words(&passage.text));
                            let button = egui::Button::selectable(chosen, text).truncate();
                            if ui.add(button).clicked() {
                                self.chosen = Some(passage.clone());
                            }
                        }
                    });
                });
            });
            if let Some(passage) = &self.chosen {
                ScrollArea::vertical()
                    .id_salt("passage")
                    .auto_shrink([false, false])
                    .show(ui, |ui| passage_view(ui, passage, cx));
            }
        });
    }
}

fn first_words(text: &str) -> String {
    text.chars().take(90).map(|c| if c.is_whitespace() { ' ' } else { c }).collect()
}

fn passage_view(ui: &mut Ui, passage: &ListedPassage, cx: &Cx<'_>) {
    widgets::column_card(ui, |ui| {
        if !passage.title.is_empty() {
            ui.label(RichText::new(&passage.title).strong());
        }
        ui.weak(format!("id {}, no. {} in the corpus", passage.id, widgets::count(u64::from(passage.ordinal) + 1)));
        if let Some(source) = &passage.source {
            ui.horizontal_wrapped(|ui| {
                ui.weak(widgets::source_line(source));
                open_file(ui, &source.file, source.page, cx);
            });
        }
        ui.separator();
        ui.add(egui::Label::new(&passage.text).wrap().selectable(true));
        if ui.small_button("Copy text").clicked() {
            ui.ctx().copy_text(passage.text.clone());
        }
    });
}
