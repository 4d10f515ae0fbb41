//! One question, to be changed.

use eframe::egui::{self, Ui};
use ragtune_engine::command::Split;

use super::rows::Rows;
use crate::theme::palette;
use crate::widgets;

/// Draws the editor of a row; true when the row was deleted.
pub(super) fn ui(ui: &mut Ui, rows: &mut Rows, at: usize) -> bool {
    let mut deleted = false;
    widgets::column_card(ui, |ui| {
        let mut row = rows.all[at].clone();
        let mut changed = false;
        ui.horizontal(|ui| {
            widgets::section(ui, &format!("Question {}", at + 1));
            if row.draft {
                widgets::badge(ui, "draft by the language model", palette(ui).warn);
            }
        });
        if let Some(doubt) = &row.doubt {
            ui.colored_label(palette(ui).warn, doubt);
        }
        changed |= text(ui, "Text", &mut row.question.text, 2);
        changed |= lines(ui, "Answers, one a line; any of them is right", &mut row.question.answers, 2);
        changed |= lines(ui, "Choices, one a line; none for a free answer", &mut row.question.choices, 2);
        changed |= lines(ui, "Ids of relevant passages, one a line", &mut row.question.gold_ids, 2);
        ui.horizontal(|ui| {
            let label = ui.label("Split");
            let splits = [
                (None, "by hash"),
                (Some(Split::Train), "train"),
                (Some(Split::Dev), "dev"),
                (Some(Split::Test), "test"),
            ];
            let name = splits.iter().find(|(split, _)| *split == row.question.split).map_or("", |(_, name)| name);
            let combo = egui::ComboBox::from_id_salt("split").selected_text(name).show_ui(ui, |ui| {
                for (split, name) in splits {
                    changed |= ui.selectable_value(&mut row.question.split, split, name).changed();
                }
            });
            combo.response.labelled_by(label.id);
        });
        if let Some(problem) = row.problem() {
            ui.colored_label(palette(ui).bad, problem);
        }
        let mut accepted = false;
        ui.horizontal(|ui| {
            if row.draft {
                accepted = widgets::primary(ui, "Accept draft").clicked();
            }
            deleted = ui.button("Delete question").on_hover_text("Undo brings it back").clicked();
        });
        if accepted {
            (row.draft, row.doubt, changed) = (false, None, true);
        }
        if deleted {
            rows.delete(at);
        } else if changed {
            // A run of keys in one field is one change.
            let focus = ui.ctx().memory(|memory| memory.focused());
            rows.remember_edit((at, focus.filter(|_| !accepted)));
            rows.all[at] = row;
            rows.changed = true;
        }
    });
    deleted
}

fn text(ui: &mut Ui, name: &str, value: &mut String, rows: usize) -> bool {
    let label = ui.label(name);
    let edit = egui::TextEdit::multiline(value).desired_rows(rows).desired_width(f32::INFINITY);
    ui.add(edit).labelled_by(label.id).changed()
}

/// A list as lines. The field holds what is typed, empty lines included; the list holds what counts.
fn lines(ui: &mut Ui, name: &str, values: &mut Vec<String>, rows: usize) -> bool {
    let mut joined = values.join("\n");
    let label = ui.label(name);
    let edit = egui::TextEdit::multiline(&mut joined).desired_rows(rows).desired_width(f32::INFINITY);
    let changed = ui.add(edit).labelled_by(label.id).changed();
    if changed {
        *values = if joined.is_empty() { Vec::new() } else { joined.split('\n').map(str::to_owned).collect() };
    }
    changed
}
