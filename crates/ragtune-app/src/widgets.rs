//! Pieces that several pages are made of.

mod format;
mod passage;

pub use format::{bytes, count, duration, log_probability, percent};
pub use passage::{highlighted, source_line};

use eframe::egui::{self, Align, Color32, CornerRadius, Layout, Margin, Response, RichText, Stroke, Ui, Vec2};
use ragtune_engine::event::Progress;

use crate::theme::palette;

/// A group of things with a frame around it, as wide as there is room.
pub fn card<R>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let palette = palette(ui);
    egui::Frame::new()
        .fill(palette.card)
        .stroke(Stroke::new(1.0, palette.edge))
        .corner_radius(CornerRadius::same(8))
        .inner_margin(Margin::same(12))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.vertical(contents).inner
        })
        .inner
}

/// A card in a row of things: what is in it stands one below the other.
pub fn column_card<R>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> R) -> R {
    ui.vertical(|ui| card(ui, contents)).inner
}

/// The title of a page with what it is for.
pub fn title(ui: &mut Ui, title: &str, purpose: &str) {
    ui.heading(title);
    ui.weak(purpose);
    ui.add_space(8.0);
}

/// The title of a part of a page.
pub fn section(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).size(16.0).strong());
}

/// The button that most people want on a page.
pub fn primary(ui: &mut Ui, text: &str) -> Response {
    let palette = palette(ui);
    let text = RichText::new(text).color(palette.on_accent).strong();
    ui.add(egui::Button::new(text).fill(palette.accent).stroke(Stroke::NONE))
}

/// That button, if it makes sense now; otherwise its tooltip says what is missing.
pub fn primary_if(ui: &mut Ui, text: &str, missing: Option<&str>) -> Response {
    match missing {
        None => primary(ui, text),
        Some(missing) => ui.add_enabled(false, egui::Button::new(text)).on_disabled_hover_text(missing),
    }
}

/// A place where nothing is yet: what would be here, and how to bring it here.
pub fn empty(ui: &mut Ui, title: &str, text: &str, actions: impl FnOnce(&mut Ui)) {
    card(ui, |ui| {
        ui.add_space(10.0);
        ui.vertical_centered(|ui| {
            ui.label(RichText::new(title).size(18.0).strong());
            ui.add_space(2.0);
            ui.set_max_width(560.0);
            ui.label(RichText::new(text).color(palette(ui).weak));
            ui.add_space(6.0);
            actions(ui);
        });
        ui.add_space(10.0);
    });
}

/// Something that went wrong, in place: it can be selected, copied and closed. True when it was closed.
pub fn failure(ui: &mut Ui, text: &str) -> bool {
    let colour = palette(ui).bad;
    message(ui, "Error", text, colour)
}

/// Something to be looked at. True when it was closed.
pub fn warning(ui: &mut Ui, text: &str) -> bool {
    let colour = palette(ui).warn;
    message(ui, "Note", text, colour)
}

fn message(ui: &mut Ui, kind: &str, text: &str, colour: Color32) -> bool {
    let mut closed = false;
    egui::Frame::new()
        .fill(colour.gamma_multiply(0.12))
        .stroke(Stroke::new(1.0, colour.gamma_multiply(0.8)))
        .corner_radius(CornerRadius::same(8))
        .inner_margin(Margin::symmetric(12, 8))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.with_layout(Layout::right_to_left(Align::TOP), |ui| {
                closed = ui.small_button("Close").clicked();
                if ui.small_button("Copy").on_hover_text("Copy this message").clicked() {
                    ui.ctx().copy_text(text.to_owned());
                }
                ui.with_layout(Layout::top_down(Align::LEFT), |ui| {
                    ui.set_width(ui.available_width());
                    ui.label(RichText::new(kind).color(colour).strong());
                    ui.add(egui::Label::new(text).wrap());
                });
            });
        });
    closed
}

/// How far a job is: a bar with per cent, what is being done, rate and time left.
pub fn progress(ui: &mut Ui, progress: &Progress) {
    let share = progress.total.filter(|total| *total > 0).map(|total| progress.done as f32 / total as f32);
    let bar = egui::ProgressBar::new(share.unwrap_or(0.0).clamp(0.0, 1.0)).desired_height(16.0);
    let bar = match share {
        Some(_) => bar.show_percentage(),
        None => bar.animate(true),
    };
    ui.add(bar.fill(palette(ui).accent.gamma_multiply(0.7))).on_hover_text(&progress.label);
    ui.horizontal_wrapped(|ui| {
        ui.label(&progress.label);
        ui.weak(figures(progress));
    });
}

/// Done, rate and time left in words.
pub fn figures(progress: &Progress) -> String {
    let amount = |n: u64| if progress.unit == "bytes" { bytes(n) } else { count(n) };
    let mut parts = vec![match progress.total {
        Some(total) if progress.unit == "bytes" => format!("{} of {}", amount(progress.done), amount(total)),
        Some(total) => format!("{} of {} {}", amount(progress.done), amount(total), progress.unit),
        None if progress.unit == "bytes" => amount(progress.done),
        None => format!("{} {}", amount(progress.done), progress.unit),
    }];
    if let Some(rate) = progress.rate {
        parts.push(match progress.unit.as_str() {
            "bytes" => format!("{}/s", bytes(rate as u64)),
            unit if rate < 10.0 => format!("{rate:.1} {unit}/s"),
            unit => format!("{} {unit}/s", count(rate as u64)),
        });
    }
    if let Some(eta) = progress.eta_seconds {
        parts.push(format!("{} left", duration(eta)));
    }
    parts.join(", ")
}

/// A figure with its name, as wide as is said.
fn tile(ui: &mut Ui, name: &str, value: &str, hint: &str, width: f32) {
    let palette = palette(ui);
    let frame = egui::Frame::new()
        .fill(palette.card)
        .stroke(Stroke::new(1.0, palette.edge))
        .corner_radius(CornerRadius::same(8))
        .inner_margin(Margin::symmetric(12, 8));
    let shown = frame.show(ui, |ui| {
        ui.vertical(|ui| {
            ui.set_width(width);
            ui.spacing_mut().item_spacing.y = 1.0;
            ui.label(RichText::new(name).small().color(palette.weak));
            ui.label(RichText::new(value).size(18.0).strong());
        });
    });
    if !hint.is_empty() {
        shown.response.on_hover_text(hint);
    }
}

/// A small word with a frame, such as a state.
pub fn badge(ui: &mut Ui, text: &str, colour: Color32) -> Response {
    egui::Frame::new()
        .fill(colour.gamma_multiply(0.16))
        .corner_radius(CornerRadius::same(10))
        .inner_margin(Margin::symmetric(8, 1))
        .show(ui, |ui| ui.add(egui::Label::new(RichText::new(text).small().color(colour)).extend()))
        .inner
}

/// A text field with a name, as wide as is wanted.
pub fn field(ui: &mut Ui, name: &str, text: &mut String, hint: &str, width: f32) -> Response {
    // An id of its own: one that egui counts out would change, and the keyboard's focus be lost, when something appears above.
    let edit = egui::TextEdit::singleline(text).id(egui::Id::unique(("field", name)));
    let shown = ui.add(edit.hint_text(hint.to_owned()).desired_width(width));
    name_of(&shown, name);
    shown
}

/// Gives a field a name for screen readers (and tests), where no label stands beside it.
pub fn name_of(response: &Response, name: &str) {
    response.ctx.accesskit_node_builder(response.id, |node| node.set_label(name.to_owned()));
}

/// Whether Enter was pressed in a field.
pub fn entered(response: &Response) -> bool {
    response.lost_focus() && response.ctx.input(|input| input.key_pressed(egui::Key::Enter))
}

/// A row of figures side by side, which breaks when the window is narrow.
pub fn tiles(ui: &mut Ui, figures: &[(&str, String, &str)]) {
    let wide = |text: &str, size: f32| {
        let font = egui::FontId::proportional(size);
        ui.painter().layout_no_wrap(text.to_owned(), font, Color32::WHITE).size().x.ceil()
    };
    let widths: Vec<f32> = figures.iter().map(|(name, value, _)| wide(name, 12.0).max(wide(value, 18.0))).collect();
    // Margins, frame and the gap to the next one.
    let around = 26.0 + ui.spacing().item_spacing.x;
    let room = ui.available_width();
    let mut at = 0;
    while at < figures.len() {
        let mut used = 0.0;
        let fits = widths[at..].iter().take_while(|width| {
            used += *width + around;
            used <= room
        });
        let end = at + fits.count().max(1);
        ui.horizontal(|ui| {
            for ((name, value, hint), width) in figures[at..end].iter().zip(&widths[at..end]) {
                tile(ui, name, value, hint, *width);
            }
        });
        at = end;
    }
}

/// The width of a column when so many stand side by side.
pub fn column_width(ui: &Ui, columns: usize) -> f32 {
    let gaps = ui.spacing().item_spacing.x * columns.saturating_sub(1) as f32;
    ((ui.available_width() - gaps) / columns.max(1) as f32).max(160.0)
}

/// Space that grows to the given size even when less is in it.
pub fn sized<R>(ui: &mut Ui, size: Vec2, contents: impl FnOnce(&mut Ui) -> R) -> R {
    ui.allocate_ui_with_layout(size, Layout::top_down(Align::LEFT), |ui| {
        ui.set_min_size(size);
        contents(ui)
    })
    .inner
}
