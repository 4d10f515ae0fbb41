//! Everything by keyboard.

use eframe::egui::{Key, Modifiers, Ui};

use super::App;
use crate::dialog::Purpose;
use crate::link::Line;
use crate::pages::Page;

/// The keys, for the about box.
pub(super) const KEYS: [(&str, &str); 9] = [
    ("Ctrl+1 … Ctrl+7", "the pages in their order"),
    ("Ctrl+K", "the search box"),
    ("Ctrl+Enter", "let the language model answer"),
    ("Ctrl+O", "open a project folder"),
    ("Ctrl+S", "save the questions"),
    ("Ctrl+Z, Ctrl+Shift+Z", "undo and redo on Questions, undo on Corpus"),
    ("Ctrl+J", "the list of jobs"),
    ("Ctrl+Plus, Ctrl+Minus, Ctrl+0", "larger, smaller, normal"),
    ("Tab, Enter, Escape, F1", "go on, press, close, this box"),
];

impl App {
    pub(super) fn keys(&mut self, ui: &Ui) {
        const DIGITS: [Key; 7] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7];
        let pressed = |modifiers: Modifiers, key: Key| ui.input_mut(|input| input.consume_key(modifiers, key));
        for ((page, _), key) in Page::ALL.into_iter().zip(DIGITS) {
            if pressed(Modifiers::COMMAND, key) {
                self.go(page);
            }
        }
        if self.crash_key && pressed(Modifiers::COMMAND | Modifiers::SHIFT, Key::F12) {
            self.link.kill(Line::Work);
        }
        if pressed(Modifiers::COMMAND, Key::K) {
            self.go(Page::Query);
        }
        if pressed(Modifiers::COMMAND, Key::O) {
            self.dialogs.open(Purpose::Project);
        }
        if pressed(Modifiers::COMMAND, Key::J) {
            self.jobs = !self.jobs;
        }
        if pressed(Modifiers::NONE, Key::F1) {
            self.about = !self.about;
        }
        if self.about && pressed(Modifiers::NONE, Key::Escape) {
            self.about = false;
        }
        if self.settings.page == Page::Questions && pressed(Modifiers::COMMAND, Key::S) {
            self.with_cx(|pages, cx| pages.questions.save(cx));
        }
        // While a field is typed in, the keys are the field's own undo.
        if !ui.ctx().egui_wants_keyboard_input() {
            if self.settings.page == Page::Questions && pressed(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z) {
                self.with_cx(|pages, _| pages.questions.redo());
            }
            if pressed(Modifiers::COMMAND, Key::Z) {
                self.undo();
            }
        }
        self.settings.zoom = ui.ctx().zoom_factor();
    }
}
