//! One hit: the passage with its matching tokens, where it comes from, what it does for the answer.

use eframe::egui::{self, RichText, Ui};
use ragtune_engine::command::SearchMode;
use ragtune_engine::event::{Explained, FoundPassage, WeighedPassage};

use crate::pages::Cx;
use crate::pages::corpus::open_file;
use crate::theme::palette;
use crate::widgets;

/// Tokens of the encoder's own that are shown below a passage.
const EXPANDED: usize = 6;

/// What was asked for at a hit.
pub(super) enum Picked {
    /// Why it has its score.
    Explain(Box<FoundPassage>),
    /// To be compared with another one.
    Compare(Box<FoundPassage>),
}

/// How a passage moved by tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// So many places up.
    Up(usize),
    /// So many places down.
    Down(usize),
    /// Not at all.
    Same,
    /// It was not among the hits.
    New,
}

impl Moved {
    pub(super) fn between(before: Option<usize>, now: usize) -> Self {
        match before {
            None => Self::New,
            Some(before) if before > now => Self::Up(before - now),
            Some(before) if before < now => Self::Down(now - before),
            Some(_) => Self::Same,
        }
    }
}

pub(super) fn ui(
    ui: &mut Ui,
    hit: &FoundPassage,
    moved: Option<Moved>,
    weighed: Option<&WeighedPassage>,
    mode: SearchMode,
    cx: &Cx<'_>,
) -> Option<Picked> {
    let mut picked = None;
    widgets::card(ui, |ui| {
        let colours = palette(ui);
        ui.horizontal_wrapped(|ui| {
            ui.label(RichText::new(format!("{}.", hit.rank)).strong());
            match moved {
                Some(Moved::Up(by)) => drop(widgets::badge(ui, &format!("up {by}"), colours.good)),
                Some(Moved::Down(by)) => drop(widgets::badge(ui, &format!("down {by}"), colours.bad)),
                Some(Moved::New) => drop(widgets::badge(ui, "new", colours.accent)),
                Some(Moved::Same) | None => {}
            }
            ui.label(RichText::new(if hit.title.is_empty() { &hit.id } else { &hit.title }).strong());
            ui.weak(format!("{:.2}", hit.score)).on_hover_text("Inner product of question and passage");
            if let Some(weighed) = weighed {
                probability(ui, weighed);
            }
        });
        let text = widgets::highlighted(ui, &hit.text, &hit.marks);
        ui.add(egui::Label::new(text).wrap().selectable(true));
        if let Some(explained) = &hit.explain {
            expanded(ui, hit, explained, mode);
        }
        ui.horizontal_wrapped(|ui| {
            if let Some(source) = &hit.source {
                ui.label(RichText::new(widgets::source_line(source)).small().color(colours.weak));
                open_file(ui, &source.file, source.page, cx);
            }
            let name = |what: &str| format!("{what} passage {} in {}", hit.rank, mode.name());
            let explain = ui.small_button("Explain");
            widgets::name_of(&explain, &name("Explain"));
            if explain.clicked() {
                picked = Some(Picked::Explain(Box::new(hit.clone())));
            }
            let compare = ui.small_button("Compare").on_hover_text("With another passage of this column's encoder");
            widgets::name_of(&compare, &name("Compare"));
            if compare.clicked() {
                picked = Some(Picked::Compare(Box::new(hit.clone())));
            }
            let copy = ui.small_button("Copy");
            widgets::name_of(&copy, &name("Copy"));
            if copy.clicked() {
                ui.ctx().copy_text(format!("{}\n{}\n", hit.title, hit.text));
            }
        });
    });
    picked
}

/// The probability of an answer with this passage in context, labelled as what it is.
fn probability(ui: &mut Ui, weighed: &WeighedPassage) {
    let colours = palette(ui);
    let Some(log_prob) = weighed.log_prob else {
        widgets::badge(ui, "it writes nothing", colours.weak);
        return;
    };
    let p = widgets::log_probability(log_prob);
    let (text, hint) = if weighed.generated {
        (
            format!("writes “{}”, P {p}", weighed.answer),
            "The answer that the language model writes with this passage in context, and its probability",
        )
    } else {
        (format!("P(“{}”) {p}", weighed.answer), "The probability of your answer with this passage in context")
    };
    let colour = if log_prob > -0.7 {
        colours.good
    } else if log_prob > -3.0 {
        colours.warn
    } else {
        colours.bad
    };
    widgets::badge(ui, &text, colour).on_hover_text(hint);
}

/// Tokens with a part in the score that the passage does not hold: the encoder added them.
fn expanded(ui: &mut Ui, hit: &FoundPassage, explained: &[Explained], mode: SearchMode) {
    // In the other modes only the passage's own words count.
    if !matches!(mode, SearchMode::Late | SearchMode::Full) {
        return;
    }
    let text = format!("{} {}", hit.title, hit.text).to_lowercase();
    let added: Vec<&str> = explained
        .iter()
        .map(|part| part.token.as_str())
        .filter(|token| !text.contains(token.trim_start_matches("##")))
        .take(EXPANDED)
        .collect();
    if !added.is_empty() {
        let line = format!("also matches: {}", added.join(", "));
        ui.label(RichText::new(line).small().color(palette(ui).weak))
            .on_hover_text("Words that the encoder adds to the passage");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_is_told_from_what_is_new() {
        assert_eq!(Moved::between(Some(5), 2), Moved::Up(3));
        assert_eq!(Moved::between(Some(1), 4), Moved::Down(3));
        assert_eq!(Moved::between(Some(2), 2), Moved::Same);
        assert_eq!(Moved::between(None, 1), Moved::New);
    }
}
