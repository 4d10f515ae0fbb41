//! Search: modes beside each other, before and after tuning, answers with their passages.

mod column;
mod hit;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use eframe::egui::{self, Key, Layout, Modifiers, RichText, ScrollArea, Ui};
use ragtune_engine::command::{Answer, Command, Queries, Search, SearchMode, SearchSettings, Weigh};
use ragtune_engine::event::{AnswerReport, EventKind, FoundPassage, Report, WeighedPassage};

use self::column::Column;
use super::corpus::no_project;
use super::{Action, Cx, Page, encoder_source};
use crate::dialog::Purpose;
use crate::link::{Owner, Ticket};
use crate::theme::palette;
use crate::widgets;

/// Seconds without a key after which the slow modes start.
const PAUSE: f64 = 0.5;
/// Most new tokens of an answer.
const ANSWER_TOKENS: usize = 60;

/// What the page holds.
pub struct Query {
    text: String,
    /// The answer that the user thinks is right, for its probability with each passage.
    answer: String,
    modes: Vec<SearchMode>,
    /// Whether the tuned encoder's columns stand beside the first one's.
    compare: bool,
    k: usize,
    m: usize,
    docs: usize,
    columns: Vec<Column>,
    /// When the text was last changed, while slow modes wait for its end.
    typed: Option<f64>,
    weighing: Option<Ticket>,
    weighed: HashMap<String, WeighedPassage>,
    answering: Option<Ticket>,
    written: String,
    answered: Option<AnswerReport>,
    answer_error: Option<String>,
    /// The passage that another one is to be compared with, with its encoder.
    first: Option<(FoundPassage, PathBuf)>,
    focus: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            text: String::new(),
            answer: String::new(),
            modes: vec![SearchMode::Bot, SearchMode::Late],
            compare: true,
            k: 10,
            m: 50,
            docs: 3,
            columns: Vec::new(),
            typed: None,
            weighing: None,
            weighed: HashMap::new(),
            answering: None,
            written: String::new(),
            answered: None,
            answer_error: None,
            first: None,
            focus: false,
        }
    }
}

/// Whether a mode answers while one types.
fn is_fast(mode: SearchMode) -> bool {
    mode != SearchMode::Late
}

impl Query {
    /// Forgets another project's things.
    pub fn reset(&mut self) {
        *self = Self { modes: std::mem::take(&mut self.modes), ..Self::default() };
    }

    /// Puts the cursor into the search box.
    pub fn focus(&mut self) {
        self.focus = true;
    }

    /// Asks what was typed before there was anything to search.
    pub fn index_is_there(&mut self, cx: &mut Cx<'_>) {
        if !self.text.trim().is_empty() {
            self.search(cx, is_fast);
            self.typed.get_or_insert(0.0);
        }
    }

    /// Hears of its jobs.
    pub fn on_event(&mut self, ticket: Ticket, kind: &EventKind) {
        if let Some(column) = self.columns.iter_mut().find(|column| column.ticket == Some(ticket)) {
            column.on_event(kind);
            return;
        }
        if self.weighing == Some(ticket) {
            match kind {
                EventKind::Weighed(weighed) => drop(self.weighed.insert(weighed.id.clone(), weighed.clone())),
                EventKind::Failed { error, .. } => self.answer_error = Some(error.clone()),
                _ => {}
            }
        }
        if self.answering == Some(ticket) {
            match kind {
                EventKind::Text(piece) => self.written.push_str(piece),
                EventKind::Report(report) => {
                    if let Report::Answer(answer) = &**report {
                        self.answered = Some(answer.clone());
                    }
                }
                EventKind::Failed { error, .. } => self.answer_error = Some(error.clone()),
                _ => {}
            }
        }
    }

    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::title(ui, "Query", "Ask, and see what each way of searching finds.");
        let Some(project) = cx.project else { return no_project(ui, cx) };
        // Until the window has looked at what the indexing made.
        let at_work = [Owner::Corpus, Owner::App].iter().any(|owner| cx.link.is_working_for(*owner));
        let wanted = project.project.encoder.is_some() && !project.project.sources.is_empty();
        let making = project.passages.is_none() && wanted && at_work;
        if project.passages.is_none() && !making {
            widgets::empty(ui, "Nothing to search yet", "Add documents on the page Corpus.", |ui| {
                if widgets::primary(ui, "Go to Corpus").clicked() {
                    cx.act(Action::Go(Page::Corpus));
                }
            });
            return;
        }
        self.bar(ui, cx);
        self.options(ui, cx);
        self.timer(ui, cx);
        if making {
            ui.add_space(12.0);
            ui.horizontal(|ui| {
                ui.spinner();
                ui.weak("The index is being made. Ask already: hits come as soon as it is there.");
            });
            return;
        }
        if let Some(error) = &self.answer_error
            && widgets::failure(ui, error)
        {
            self.answer_error = None;
        }
        self.answer_panel(ui, cx);
        self.hits(ui, cx);
    }

    /// The search box with what follows from it.
    fn bar(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        ui.horizontal_wrapped(|ui| {
            let width = (ui.available_width() - 320.0).max(220.0);
            let edit = egui::TextEdit::singleline(&mut self.text)
                .hint_text("Ask a question")
                .desired_width(width)
                .font(egui::FontId::proportional(17.0))
                .margin(egui::Margin::symmetric(10, 7));
            let shown = ui.add(edit);
            widgets::name_of(&shown, "Question");
            if std::mem::take(&mut self.focus) {
                shown.request_focus();
            }
            if shown.changed() {
                self.typed = Some(ui.input(|input| input.time));
                self.forget_answers(cx);
                self.search(cx, is_fast);
            }
            let asked = widgets::entered(&shown);
            if (widgets::primary(ui, "Search").clicked() || asked) && !self.text.trim().is_empty() {
                self.typed = None;
                self.forget_answers(cx);
                self.search(cx, |_| true);
            }
            let missing = cx.project.and_then(|project| project.project.llm.as_ref()).is_none();
            let hint = if missing { "Choose a language model on the page Models first" } else { "Ctrl+Enter" };
            let button = ui.add_enabled(!missing && !self.text.trim().is_empty(), egui::Button::new("Answer"));
            let button = button
                .on_hover_text("The language model answers from what is found. Ctrl+Enter")
                .on_disabled_hover_text(hint);
            let keys = ui.input_mut(|input| input.consume_key(Modifiers::COMMAND, Key::Enter));
            if button.clicked() || (keys && !missing && !self.text.trim().is_empty()) {
                self.ask_answer(cx);
            }
        });
    }

    fn options(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let Some(project) = cx.project else { return };
        let (parametric, tuned) = (project.parametric, project.project.tuned.is_some());
        let has_llm = project.project.llm.is_some();
        ui.horizontal_wrapped(|ui| {
            ui.weak("Modes:");
            let mut changed = false;
            for (mode, hint) in [
                (SearchMode::Bot, "the question's expanded words with the passages' own words"),
                (SearchMode::Own, "the question's own words, weighted, with the passages' own words"),
                (SearchMode::Late, "the best of the first stage, read again by the encoder: slower, and better"),
                (SearchMode::Full, "expanded words with expanded words, over all passages"),
                (SearchMode::Alpha, "the question's plain words with the passages' expanded words"),
            ] {
                let usable = parametric || !matches!(mode, SearchMode::Full | SearchMode::Alpha);
                let mut on = self.modes.contains(&mode);
                let shown = ui.add_enabled(usable, egui::Checkbox::new(&mut on, mode.name()));
                let why = "Needs a parametric index: ragtune index build --parametric --encoder … --out …/index";
                if shown.on_hover_text(hint).on_disabled_hover_text(why).changed() {
                    self.modes.retain(|known| *known != mode);
                    if on {
                        self.modes.push(mode);
                        self.modes.sort_by_key(|mode| SearchMode::ALL.iter().position(|known| known == mode));
                    }
                    changed = true;
                }
            }
            if tuned {
                ui.separator();
                changed |= ui.checkbox(&mut self.compare, "before and after tuning").changed();
            }
            ui.separator();
            let label = ui.label("hits");
            changed |= ui.add(egui::DragValue::new(&mut self.k).range(1..=100)).labelled_by(label.id).changed();
            let label = ui.label("window of late");
            changed |= ui.add(egui::DragValue::new(&mut self.m).range(1..=1000)).labelled_by(label.id).changed();
            let label = ui.label("passages in an answer");
            ui.add(egui::DragValue::new(&mut self.docs).range(1..=20)).labelled_by(label.id);
            if changed && !self.text.trim().is_empty() {
                self.search(cx, |_| true);
            }
        });
        if has_llm {
            ui.horizontal_wrapped(|ui| {
                let field = widgets::field(ui, "Right answer", &mut self.answer, "the right answer, if you know it", 220.0);
                let entered = widgets::entered(&field);
                let found = self.columns.iter().any(|column| !column.hits.is_empty());
                let title = if self.answer.trim().is_empty() { "P(its own answer)" } else { "P(this answer)" };
                let hint = "How probable the language model finds the answer with each passage in context: the one that \
                            you wrote, or else the one that it writes itself";
                if ui.add_enabled(found, egui::Button::new(title)).on_hover_text(hint).clicked() || (entered && found) {
                    self.weigh(cx);
                }
                if self.weighing.is_some_and(|ticket| cx.link.is_open(Some(ticket))) {
                    ui.spinner();
                }
            });
        }
    }

    /// Starts the slow modes when nothing was typed for a while.
    fn timer(&mut self, ui: &Ui, cx: &mut Cx<'_>) {
        let Some(typed) = self.typed else { return };
        let now = ui.input(|input| input.time);
        if now - typed < PAUSE {
            ui.ctx().request_repaint_after(std::time::Duration::from_secs_f64(PAUSE - (now - typed)));
            return;
        }
        self.typed = None;
        if !self.text.trim().is_empty() {
            self.search(cx, |mode| !is_fast(mode));
        }
    }

    /// Sends a search for every column of the wanted modes.
    fn search(&mut self, cx: &mut Cx<'_>, wanted: impl Fn(SearchMode) -> bool) {
        let Some(project) = cx.project.filter(|project| project.passages.is_some()) else { return };
        let Some(encoder) = project.project.encoder.clone() else { return };
        let tuned = project.project.tuned.clone().filter(|_| self.compare);
        let parametric = project.parametric;
        let usable = |mode: &SearchMode| parametric || !matches!(mode, SearchMode::Full | SearchMode::Alpha);
        let mut columns = Vec::new();
        for mode in self.modes.iter().copied().filter(usable) {
            for (encoder, after) in
                std::iter::once((encoder.clone(), false)).chain(tuned.clone().map(|tuned| (tuned, true)))
            {
                // The parametric part belongs to the encoder that made it.
                if after && matches!(mode, SearchMode::Full | SearchMode::Alpha) {
                    continue;
                }
                let at = self.columns.iter().position(|column| column.is(mode, &encoder));
                let mut column =
                    at.map_or_else(|| Column::new(mode, encoder, after), |at| self.columns.swap_remove(at));
                if wanted(mode) {
                    if let Some(before) = column.ticket.take() {
                        cx.link.cancel(before);
                    }
                    if self.text.trim().is_empty() {
                        column.clear();
                    } else {
                        let command = Command::Search(self.command(mode, &column.encoder, None, cx));
                        column.begin(cx.ask_quietly(Owner::Query, "Searching", command));
                    }
                }
                columns.push(column);
            }
        }
        for gone in &self.columns {
            gone.ticket.into_iter().for_each(|ticket| cx.link.cancel(ticket));
        }
        self.columns = columns;
    }

    fn command(&self, mode: SearchMode, encoder: &Path, run_file: Option<PathBuf>, cx: &Cx<'_>) -> Search {
        Search {
            index: cx.project.map(|project| project.index.clone()).unwrap_or_default(),
            encoder: encoder_source(encoder.to_owned()),
            settings: SearchSettings { mode, k: self.k, m: self.m.max(self.k), ..SearchSettings::default() },
            queries: Queries::Text(self.text.trim().to_owned()),
            run_file,
            explain: true,
            stream: true,
            device: cx.device(),
        }
    }

    fn forget_answers(&mut self, cx: &mut Cx<'_>) {
        for ticket in [self.weighing.take(), self.answering.take()].into_iter().flatten() {
            cx.link.cancel(ticket);
        }
        self.weighed.clear();
        self.written.clear();
        self.answered = None;
        self.answer_error = None;
    }

    /// How many passages are shown, in all columns.
    pub fn count(&self) -> usize {
        self.columns.iter().map(|column| column.hits.len()).sum()
    }

    /// Writes the hits of the first column to a file, as a TREC run.
    pub fn export(&mut self, file: PathBuf, cx: &mut Cx<'_>) {
        let Some(column) = self.columns.first() else { return };
        let command = self.command(column.mode, &column.encoder, Some(file), cx);
        cx.ask(Owner::App, "Exporting the hits", Command::Search(command));
    }

    fn weigh(&mut self, cx: &mut Cx<'_>) {
        let Some(project) = cx.project else { return };
        let Some(llm) = project.project.llm.clone() else { return };
        let mut passages: Vec<String> = Vec::new();
        for hit in self.columns.iter().flat_map(|column| &column.hits) {
            if !passages.contains(&hit.id) {
                passages.push(hit.id.clone());
            }
        }
        let weigh = Weigh {
            index: project.index.clone(),
            llm,
            template: project.project.template.clone(),
            question: self.text.trim().to_owned(),
            passages,
            answer: Some(self.answer.trim().to_owned()).filter(|answer| !answer.is_empty()),
            max_new_tokens: ANSWER_TOKENS,
            device: project.project.device.clone(),
        };
        self.weighed.clear();
        self.weighing = Some(cx.ask(Owner::Query, "Weighing passages", Command::Weigh(weigh)));
    }

    fn ask_answer(&mut self, cx: &mut Cx<'_>) {
        let Some(project) = cx.project else { return };
        let (Some(encoder), Some(llm)) = (project.project.encoder.clone(), project.project.llm.clone()) else { return };
        let encoder = project.project.tuned.clone().filter(|_| self.compare).unwrap_or(encoder);
        if let Some(before) = self.answering.take() {
            cx.link.cancel(before);
        }
        let answer = Answer {
            index: project.index.clone(),
            encoder: encoder_source(encoder),
            llm,
            template: project.project.template.clone(),
            query: self.text.trim().to_owned(),
            settings: SearchSettings { k: self.docs, m: self.m.max(self.docs), ..SearchSettings::default() },
            max_new_tokens: ANSWER_TOKENS,
            device: project.project.device.clone(),
        };
        self.written.clear();
        self.answered = None;
        self.answer_error = None;
        self.answering = Some(cx.ask(Owner::Query, "Answering", Command::Answer(answer)));
    }

    fn answer_panel(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let open = cx.link.is_open(self.answering);
        if !open && self.answered.is_none() {
            return;
        }
        widgets::card(ui, |ui| {
            ui.horizontal(|ui| {
                widgets::section(ui, "Answer");
                if open {
                    ui.spinner();
                    if let Some(ticket) = self.answering
                        && ui.small_button("Stop").clicked()
                    {
                        cx.link.cancel(ticket);
                    }
                } else if ui.small_button("Copy").clicked() {
                    ui.ctx().copy_text(self.written.clone());
                }
            });
            let text = self.answered.as_ref().map_or(&self.written, |answer| &answer.answer);
            let empty = text.trim().is_empty() && !open;
            let shown = if empty {
                RichText::new("The language model wrote nothing.").weak()
            } else {
                RichText::new(text).size(17.0)
            };
            ui.add(egui::Label::new(shown).wrap().selectable(true));
            let Some(answer) = &self.answered else { return };
            ui.horizontal_wrapped(|ui| {
                ui.weak("It stands on");
                for cited in &answer.citations {
                    let hint =
                        cited.source.as_ref().map_or_else(|| "Show this passage".to_owned(), widgets::source_line);
                    if ui.link(format!("[{}] {}", cited.rank, cited.id)).on_hover_text(hint).clicked() {
                        cx.act(Action::ShowPassage(cited.id.clone()));
                    }
                }
                if answer.dropped_passages > 0 {
                    ui.weak(format!("({} did not fit into its context)", answer.dropped_passages));
                }
            });
        });
    }

    /// The columns side by side; they scroll sideways when they are too many.
    fn hits(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if self.columns.is_empty() {
            ui.add_space(12.0);
            ui.weak("Type a question: bot and own answer at once, late follows when you pause.");
            return;
        }
        ui.horizontal(|ui| {
            if let Some((first, _)) = &self.first {
                let name = if first.title.is_empty() { &first.id } else { &first.title };
                ui.colored_label(
                    palette(ui).accent,
                    format!("“{name}” is to be compared: choose “Compare” at another passage."),
                );
                if ui.small_button("Cancel").clicked() {
                    self.first = None;
                }
            }
            ui.with_layout(Layout::right_to_left(egui::Align::Center), |ui| {
                if ui.small_button("Export hits…").on_hover_text("The first column as a TREC run file").clicked() {
                    cx.dialogs.open(Purpose::ExportHits);
                }
                if ui.small_button("Copy as JSON").on_hover_text("The hits of all columns").clicked() {
                    ui.ctx().copy_text(self.json());
                }
            });
        });
        let width = widgets::column_width(ui, self.columns.len()).max(240.0);
        let ranks = self.ranks_before();
        let mut chosen = None;
        ScrollArea::both().id_salt("hits").auto_shrink([false, false]).show(ui, |ui| {
            ui.horizontal_top(|ui| {
                for column in &self.columns {
                    ui.allocate_ui_with_layout(egui::vec2(width, 0.0), Layout::top_down(egui::Align::LEFT), |ui| {
                        ui.set_width(width);
                        let before = if column.after { ranks.get(&column.mode) } else { None };
                        if let Some(picked) = column.ui(ui, before, &self.weighed, cx) {
                            chosen = Some((picked, column.encoder.clone()));
                        }
                    });
                }
            });
        });
        match chosen {
            Some((hit::Picked::Explain(hit), encoder)) => {
                let (question, a) = (self.text.trim().to_owned(), *hit);
                cx.act(Action::Explain(Box::new(super::ToExplain { question, encoder, a, b: None })));
            }
            Some((hit::Picked::Compare(hit), encoder)) => match self.first.take() {
                Some((first, of)) if of == encoder && first.id != hit.id => {
                    let question = self.text.trim().to_owned();
                    let what = super::ToExplain { question, encoder, a: first, b: Some(*hit) };
                    cx.act(Action::Explain(Box::new(what)));
                }
                _ => self.first = Some((*hit, encoder)),
            },
            None => {}
        }
    }

    /// Where each passage stood before tuning, by mode.
    fn ranks_before(&self) -> HashMap<SearchMode, HashMap<String, usize>> {
        let before = self.columns.iter().filter(|column| !column.after);
        before.map(|column| (column.mode, column.hits.iter().map(|hit| (hit.id.clone(), hit.rank)).collect())).collect()
    }

    fn json(&self) -> String {
        let columns: Vec<serde_json::Value> = self
            .columns
            .iter()
            .map(|column| {
                let hit = |hit: &FoundPassage| serde_json::json!({"id": hit.id, "rank": hit.rank, "score": hit.score, "title": hit.title, "text": hit.text, "source": hit.source});
                let hits: Vec<_> = column.hits.iter().map(hit).collect();
                serde_json::json!({"mode": column.mode.name(), "encoder": column.encoder, "hits": hits})
            })
            .collect();
        let document = serde_json::json!({"query": self.text.trim(), "columns": columns});
        serde_json::to_string_pretty(&document).unwrap_or_default()
    }
}
