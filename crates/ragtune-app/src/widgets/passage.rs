//! Passages: their text with the tokens that matter, and where they come from.

use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{Color32, FontId, Ui};
use ragtune_engine::event::{Mark, Source};

use crate::theme::palette;

/// A text whose tokens are tinted by their part in the score.
pub fn highlighted(ui: &Ui, text: &str, marks: &[Mark]) -> LayoutJob {
    let colours = palette(ui);
    let plain =
        TextFormat { font_id: FontId::proportional(14.5), color: ui.visuals().text_color(), ..Default::default() };
    let most = marks.iter().map(|mark| mark.product).fold(0.0f32, f32::max);
    let mut job = LayoutJob::default();
    job.wrap.max_width = ui.available_width();
    let mut at = 0;
    for mark in marks {
        // Marks come in order and lie on characters' borders; what does not is shown plainly.
        let inside = mark.start >= at && mark.end <= text.len() && mark.start < mark.end;
        let Some(piece) = text.get(mark.start..mark.end).filter(|_| inside) else { continue };
        job.append(&text[at..mark.start], 0.0, plain.clone());
        let share = if most > 0.0 { (mark.product / most).clamp(0.0, 1.0) } else { 0.0 };
        job.append(piece, 0.0, TextFormat { background: tint(colours.accent, share), ..plain.clone() });
        at = mark.end;
    }
    job.append(&text[at..], 0.0, plain);
    job
}

/// From barely to clearly seen.
fn tint(colour: Color32, share: f32) -> Color32 {
    colour.gamma_multiply(0.06 + 0.44 * share)
}

/// Where a passage comes from, in a line.
pub fn source_line(source: &Source) -> String {
    let mut line = source.file.clone();
    if let Some(page) = source.page {
        line.push_str(&format!(", page {page}"));
    }
    if !source.heading.is_empty() {
        line.push_str(&format!(", “{}”", source.heading));
    }
    if source.page.is_none() && source.end > source.start {
        line.push_str(&format!(", bytes {} to {}", source.start, source.end));
    }
    line
}
