//! Why a passage is where it is: vectors as tokens, and the difference of two passages token by token.

use std::collections::BTreeMap;

use eframe::egui::{self, RichText, ScrollArea, Ui};
use ragtune_engine::command::{Command, Inspect, InspectText};
use ragtune_engine::event::{EventKind, Explained, FoundPassage, InspectedText, Report, WeightedToken};

use super::corpus::no_project;
use super::{Action, Cx, Page, ToExplain, encoder_source};
use crate::link::{Owner, Ticket};
use crate::theme::palette;
use crate::widgets;

/// Tokens of a vector that are shown.
const TOP: usize = 60;

/// What the page holds.
#[derive(Default)]
pub struct Explain {
    shown: Option<ToExplain>,
    inspecting: Option<Ticket>,
    vectors: Vec<InspectedText>,
    error: Option<String>,
    own_text: String,
}

/// A token's part in two scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The token.
    pub token: String,
    /// Its part in the first passage's score.
    pub a: f32,
    /// In the second's.
    pub b: f32,
}

/// Every token's part in the scores of two passages, largest difference first. The differences sum to that of the scores.
pub fn differences(a: &[Explained], b: &[Explained]) -> Vec<Difference> {
    let mut tokens: BTreeMap<u32, Difference> = BTreeMap::new();
    for (parts, first) in [(a, true), (b, false)] {
        for part in parts {
            let entry =
                tokens.entry(part.id).or_insert_with(|| Difference { token: part.token.clone(), a: 0.0, b: 0.0 });
            if first { entry.a = part.product } else { entry.b = part.product }
        }
    }
    let mut all: Vec<Difference> = tokens.into_values().collect();
    all.sort_by(|x, y| (y.a - y.b).abs().total_cmp(&(x.a - x.b).abs()));
    all
}

impl Explain {
    /// Forgets another project's things.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Shows why passages are where they are.
    pub fn show(&mut self, what: ToExplain, cx: &mut Cx<'_>) {
        let mut texts = vec![InspectText::Question(what.question.clone()), InspectText::Stored(what.a.id.clone())];
        texts.extend(what.b.iter().map(|b| InspectText::Stored(b.id.clone())));
        self.inspect(what.encoder.clone(), texts, cx);
        self.shown = Some(what);
    }

    fn inspect(&mut self, encoder: std::path::PathBuf, texts: Vec<InspectText>, cx: &mut Cx<'_>) {
        let Some(project) = cx.project else { return };
        let inspect = Inspect {
            encoder: encoder_source(encoder),
            index: Some(project.index.clone()),
            texts,
            top: TOP,
            device: cx.device(),
        };
        self.vectors.clear();
        self.error = None;
        self.inspecting = Some(cx.ask_quietly(Owner::Explain, "Looking at vectors", Command::Inspect(inspect)));
    }

    /// Hears of its jobs.
    pub fn on_event(&mut self, ticket: Ticket, kind: &EventKind) {
        if self.inspecting != Some(ticket) {
            return;
        }
        match kind {
            EventKind::Report(report) => {
                if let Report::Inspected(vectors) = &**report {
                    self.vectors.clone_from(vectors);
                }
            }
            EventKind::Failed { error, .. } => self.error = Some(error.clone()),
            _ => {}
        }
    }

    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::title(
            ui,
            "Explain",
            "The encoder gives every text a weight for each word of its vocabulary; a score is the sum of the products.",
        );
        let Some(project) = cx.project else { return no_project(ui, cx) };
        if let Some(error) = &self.error
            && widgets::failure(ui, error)
        {
            self.error = None;
        }
        if let Some(encoder) = project.project.encoder.clone() {
            ui.horizontal_wrapped(|ui| {
                ui.label("Look at any text:");
                let field = widgets::field(ui, "Text to look at", &mut self.own_text, "words, as a question", 320.0);
                let entered = widgets::entered(&field);
                if (ui.button("Show its tokens").clicked() || entered) && !self.own_text.trim().is_empty() {
                    self.shown = None;
                    let texts = vec![InspectText::Question(self.own_text.trim().to_owned())];
                    self.inspect(encoder, texts, cx);
                }
            });
        }
        if self.shown.is_none() && self.vectors.is_empty() {
            widgets::empty(
                ui,
                "Nothing to explain yet",
                "Search on the page Query, then choose “Explain” at a passage, or “Compare” at two of them.",
                |ui| {
                    if widgets::primary(ui, "Go to Query").clicked() {
                        cx.act(Action::Go(Page::Query));
                    }
                },
            );
            return;
        }
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            if let Some(shown) = &self.shown {
                ui.label(RichText::new(format!("“{}”", shown.question)).size(16.0));
                match &shown.b {
                    Some(b) => compare(ui, &shown.a, b),
                    None => parts(ui, &shown.a),
                }
                ui.add_space(8.0);
            }
            self.columns(ui);
        });
    }

    /// The vectors beside each other.
    fn columns(&self, ui: &mut Ui) {
        if self.vectors.is_empty() {
            ui.spinner();
            return;
        }
        let width = widgets::column_width(ui, self.vectors.len());
        let names = ["Question", "Passage A", "Passage B"];
        ui.horizontal_top(|ui| {
            for (vector, name) in self.vectors.iter().zip(names) {
                ui.allocate_ui_with_layout(egui::vec2(width, 0.0), egui::Layout::top_down(egui::Align::LEFT), |ui| {
                    vector_card(ui, name, vector)
                });
            }
        });
    }
}

fn vector_card(ui: &mut Ui, name: &str, vector: &InspectedText) {
    widgets::card(ui, |ui| {
        ui.horizontal(|ui| {
            widgets::section(ui, name);
            ui.weak(format!("{} dimensions", vector.dims));
        });
        let text: String = vector.text.chars().take(120).collect();
        ui.weak(text);
        let most = vector.tokens.first().map_or(1.0, |token| token.weight).max(1e-6);
        let (own, added): (Vec<&WeightedToken>, Vec<&WeightedToken>) =
            vector.tokens.iter().partition(|token| token.own);
        for (title, tokens) in [("its own words", own), ("added by the encoder", added)] {
            ui.add_space(4.0);
            ui.label(RichText::new(format!("{title} ({})", tokens.len())).small().strong());
            for token in tokens.iter().take(20) {
                bar(ui, &token.token, token.weight, most);
            }
        }
    });
}

/// A token with its weight as a bar.
fn bar(ui: &mut Ui, token: &str, weight: f32, most: f32) {
    let colours = palette(ui);
    let height = 17.0;
    let (rect, response) = ui.allocate_exact_size(egui::vec2(ui.available_width(), height), egui::Sense::hover());
    let filled =
        egui::Rect::from_min_size(rect.min, egui::vec2(rect.width() * (weight / most).clamp(0.0, 1.0), height));
    let painter = ui.painter();
    painter.rect_filled(filled, 3.0, colours.accent.gamma_multiply(0.25));
    let font = egui::FontId::proportional(13.0);
    let text = ui.visuals().text_color();
    painter.text(rect.left_center() + egui::vec2(5.0, 0.0), egui::Align2::LEFT_CENTER, token, font.clone(), text);
    let figure = format!("{weight:.2}");
    painter.text(rect.right_center() - egui::vec2(4.0, 0.0), egui::Align2::RIGHT_CENTER, &figure, font, colours.weak);
    widgets::name_of(&response, &format!("{token} {figure}"));
}

/// The tokens that make one score.
fn parts(ui: &mut Ui, hit: &FoundPassage) {
    let Some(explained) = &hit.explain else { return };
    widgets::card(ui, |ui| {
        let sum: f32 = explained.iter().map(|part| part.product).sum();
        widgets::section(ui, &format!("The score of “{}” is {:.2}", name(hit), hit.score));
        ui.weak(format!("{} tokens have a part in it; their products sum to {sum:.2}.", explained.len()));
        egui::Grid::new("parts").num_columns(4).striped(true).spacing([18.0, 4.0]).show(ui, |ui| {
            for title in ["token", "question", "passage", "product"] {
                ui.label(RichText::new(title).small().strong());
            }
            ui.end_row();
            for part in explained.iter().take(25) {
                ui.label(&part.token);
                ui.label(format!("{:.2}", part.query_weight));
                ui.label(format!("{:.2}", part.passage_weight));
                ui.label(format!("{:.2}", part.product));
                ui.end_row();
            }
        });
    });
}

/// Why one passage stands above another.
fn compare(ui: &mut Ui, a: &FoundPassage, b: &FoundPassage) {
    let (Some(of_a), Some(of_b)) = (&a.explain, &b.explain) else { return };
    let all = differences(of_a, of_b);
    let sum: f32 = all.iter().map(|difference| difference.a - difference.b).sum();
    widgets::card(ui, |ui| {
        let place = if a.score >= b.score { "above" } else { "below" };
        widgets::section(ui, &format!("Why “{}” (A) stands {place} “{}” (B)", apart(a, b), apart(b, a)));
        ui.weak(format!(
            "{:.2} against {:.2}: the differences of {} tokens sum to {sum:+.2}.",
            a.score,
            b.score,
            all.len()
        ));
        egui::Grid::new("differences").num_columns(4).striped(true).spacing([18.0, 4.0]).show(ui, |ui| {
            for title in ["token", "A", "B", "A - B"] {
                ui.label(RichText::new(title).small().strong());
            }
            ui.end_row();
            for difference in all.iter().take(25) {
                let by = difference.a - difference.b;
                let colours = palette(ui);
                ui.label(&difference.token);
                ui.label(format!("{:.2}", difference.a));
                ui.label(format!("{:.2}", difference.b));
                ui.colored_label(if by >= 0.0 { colours.good } else { colours.bad }, format!("{by:+.2}"));
                ui.end_row();
            }
        });
        if all.len() > 25 {
            let rest: f32 = all.iter().skip(25).map(|difference| difference.a - difference.b).sum();
            ui.weak(format!("{} more tokens, together {rest:+.2}", all.len() - 25));
        }
    });
}

/// What a passage is called beside another one, which may have the same title.
fn apart(hit: &FoundPassage, other: &FoundPassage) -> String {
    if name(hit) == name(other) { format!("{}, {}", name(hit), hit.id) } else { name(hit).to_owned() }
}

fn name(hit: &FoundPassage) -> &str {
    if hit.title.is_empty() { &hit.id } else { &hit.title }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: u32, product: f32) -> Explained {
        Explained { token: format!("t{id}"), id, query_weight: 1.0, passage_weight: product, product }
    }

    #[test]
    fn differences_sum_to_the_difference_of_the_scores() {
        let (a, b) = ([part(1, 3.0), part(2, 1.0)], [part(2, 2.5), part(3, 0.25)]);
        let all = differences(&a, &b);
        assert_eq!(all.iter().map(|d| d.token.as_str()).collect::<Vec<_>>(), ["t1", "t2", "t3"]);
        let sum: f32 = all.iter().map(|d| d.a - d.b).sum();
        assert!((sum - (4.0 - 2.75)).abs() < 1e-6);
    }
}
