//! The table's rows, with undo.

use eframe::egui::{self, Ui};
use ragtune_engine::command::{Question, Split};

use crate::theme::palette;
use crate::widgets;

/// Changes that can be taken back.
const UNDO: usize = 50;

/// A question in the table.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) question: Question,
    /// Made by a language model and not read by a person yet: it is not saved.
    pub(super) draft: bool,
    /// What speaks against the draft.
    pub(super) doubt: Option<String>,
}

impl Row {
    pub(super) fn of(question: Question) -> Self {
        Self { question, draft: false, doubt: None }
    }

    /// What keeps the question from being used.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let question = &self.question;
        if question.text.trim().is_empty() {
            return Some("the question is empty");
        }
        if question.answers.iter().all(|answer| answer.trim().is_empty()) {
            return Some("it has no answer");
        }
        let fits = |choice: &String| question.answers.iter().any(|answer| answer.trim() == choice.trim());
        if !question.choices.is_empty() && !question.choices.iter().any(fits) {
            return Some("its answer is none of its choices");
        }
        None
    }

    /// The question without the empty lines of its fields.
    pub(super) fn to_save(&self) -> Question {
        let solid = |lines: &[String]| {
            lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).map(str::to_owned).collect()
        };
        let question = self.question.clone();
        Question {
            text: question.text.trim().to_owned(),
            answers: solid(&question.answers),
            choices: solid(&question.choices),
            gold_ids: solid(&question.gold_ids),
            ..question
        }
    }

    pub(super) fn holds(&self, needle: &str) -> bool {
        let has = |text: &String| text.to_lowercase().contains(needle);
        needle.is_empty() || has(&self.question.text) || has(&self.question.id) || self.question.answers.iter().any(has)
    }

    /// Draws the row; true when it was clicked.
    pub(super) fn line(&self, ui: &mut Ui, at: usize, chosen: bool) -> bool {
        let mut clicked = false;
        ui.horizontal(|ui| {
            let colours = palette(ui);
            let split = match self.question.split {
                _ if self.draft => ("draft", colours.warn),
                Some(Split::Train) => ("train", colours.accent),
                Some(Split::Dev) => ("dev", colours.accent),
                Some(Split::Test) => ("test", colours.accent),
                None => ("hash", colours.weak),
            };
            widgets::badge(ui, split.0, split.1);
            if let Some(problem) = self.problem() {
                widgets::badge(ui, problem, colours.bad);
            }
            let name = if self.question.text.trim().is_empty() { "(empty)" } else { self.question.text.trim() };
            let text = format!("{name}  –  {}", self.question.answers.join(" / "));
            let shown = ui.add(egui::Button::selectable(chosen, text).truncate());
            widgets::name_of(&shown, &format!("Question {}: {name}", at + 1));
            clicked = shown.clicked();
        });
        clicked
    }
}

/// All rows, and how they were before.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) all: Vec<Row>,
    /// Whether they differ from the project's file.
    pub(super) changed: bool,
    before: Vec<Vec<Row>>,
    after: Vec<Vec<Row>>,
    /// The row and field of the change before, while keys go on in it.
    editing: Option<(usize, Option<egui::Id>)>,
}

impl Rows {
    /// Takes the rows of the project's file.
    pub(super) fn load(&mut self, questions: Vec<Question>) {
        *self = Self { all: questions.into_iter().map(Row::of).collect(), ..Self::default() };
    }

    /// To be called before a change.
    pub(super) fn remember(&mut self) {
        self.before.push(self.all.clone());
        if self.before.len() > UNDO {
            self.before.remove(0);
        }
        self.after.clear();
        self.changed = true;
        self.editing = None;
    }

    /// To be called before a change in a row's field: only the first of a run is a change of its own.
    pub(super) fn remember_edit(&mut self, place: (usize, Option<egui::Id>)) {
        if place.1.is_none() || self.editing != Some(place) {
            self.remember();
        }
        self.editing = Some(place);
    }

    /// Adds rows at the end; ids that are taken are left for saving to make up.
    pub(super) fn add(&mut self, rows: Vec<Row>) {
        self.remember();
        let taken: std::collections::HashSet<String> = self.all.iter().map(|row| row.question.id.clone()).collect();
        for mut row in rows {
            if taken.contains(&row.question.id) {
                row.question.id.clear();
            }
            self.all.push(row);
        }
    }

    /// An empty row at the end; its place.
    pub(super) fn new_row(&mut self) -> usize {
        self.remember();
        self.all.push(Row::default());
        self.all.len() - 1
    }

    pub(super) fn delete(&mut self, at: usize) {
        if at < self.all.len() {
            self.remember();
            self.all.remove(at);
        }
    }

    pub(super) fn accept_all(&mut self) {
        self.remember();
        for row in &mut self.all {
            (row.draft, row.doubt) = (false, None);
        }
    }

    pub(super) fn delete_drafts(&mut self) {
        self.remember();
        self.all.retain(|row| !row.draft);
    }

    pub(super) fn can_undo(&self) -> bool {
        !self.before.is_empty()
    }

    pub(super) fn can_redo(&self) -> bool {
        !self.after.is_empty()
    }

    pub(super) fn undo(&mut self) -> bool {
        let Some(before) = self.before.pop() else { return false };
        self.after.push(std::mem::replace(&mut self.all, before));
        (self.changed, self.editing) = (true, None);
        true
    }

    pub(super) fn redo(&mut self) -> bool {
        let Some(after) = self.after.pop() else { return false };
        self.before.push(std::mem::replace(&mut self.all, after));
        (self.changed, self.editing) = (true, None);
        true
    }

    /// The first row that cannot be saved.
    pub(super) fn first_problem(&self) -> Option<(usize, &'static str)> {
        let rows = self.all.iter().enumerate().filter(|(_, row)| !row.draft);
        rows.into_iter().find_map(|(at, row)| Some((at, row.problem()?)))
    }

    /// Train, dev, test, without a split, drafts.
    pub(super) fn counts(&self) -> [usize; 5] {
        let mut counts = [0; 5];
        for row in &self.all {
            counts[match row.question.split {
                _ if row.draft => 4,
                Some(Split::Train) => 0,
                Some(Split::Dev) => 1,
                Some(Split::Test) => 2,
                None => 3,
            }] += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(id: &str, text: &str, answer: &str) -> Question {
        Question { id: id.to_owned(), text: text.to_owned(), answers: vec![answer.to_owned()], ..Question::default() }
    }

    #[test]
    fn every_change_can_be_taken_back_and_made_again() {
        let mut rows = Rows::default();
        rows.load(vec![question("a", "Who?", "Ada"), question("b", "Where?", "Bergen")]);
        assert!(!rows.undo() && !rows.changed, "loading is no change");
        rows.delete(0);
        rows.add(vec![Row::of(question("b", "When?", "1912"))]);
        assert_eq!(rows.all[1].question.id, "", "an id that is taken is made up when it is saved");
        assert!(rows.undo() && rows.undo() && !rows.undo());
        assert_eq!(rows.all.iter().map(|row| row.question.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(rows.redo() && rows.all.len() == 1 && rows.redo() && rows.all.len() == 2);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let problem = |question: Question| Row::of(question).problem();
        assert_eq!(problem(question("a", "Who?", "Ada")), None);
        assert!(problem(question("a", " ", "Ada")).unwrap().contains("empty"));
        assert!(problem(question("a", "Who?", " ")).unwrap().contains("no answer"));
        let closed =
            Question { choices: vec!["yes".to_owned(), "no".to_owned()], ..question("a", "Is it?", "perhaps") };
        assert!(problem(closed).unwrap().contains("choices"));
    }

    #[test]
    fn drafts_are_counted_apart_until_they_are_accepted() {
        let mut rows = Rows::default();
        rows.add(vec![Row { draft: true, ..Row::of(question("d", "", "")) }]);
        assert_eq!((rows.counts(), rows.first_problem()), ([0, 0, 0, 0, 1], None));
        rows.accept_all();
        assert_eq!(rows.counts(), [0, 0, 0, 1, 0]);
        assert!(rows.first_problem().is_some());
    }
}
