//! A run as it goes: loss, pools, dev accuracy, and the examples that it learns from.

use std::collections::VecDeque;
use std::path::Path;

use eframe::egui::{self, RichText, ScrollArea, Ui};
use egui_plot::{Bar, BarChart, Legend, Line, Plot, PlotPoints, Points};
use ragtune_engine::event::{
    EventKind, OnlineRates, Origin, PoolReport, Record, RunDetails, ShownExample, StepRecord, TuneReport,
};

use crate::theme::palette;
use crate::widgets;

/// Examples that the feed remembers.
const FEED: usize = 40;
/// Height of a plot.
const HEIGHT: f32 = 190.0;

/// What a run told of itself.
#[derive(Default)]
pub(super) struct Live {
    name: String,
    pools: Option<PoolReport>,
    steps: Vec<StepRecord>,
    /// Step, accuracy, whether it was the best.
    dev: Vec<(usize, f64, bool)>,
    feed: VecDeque<ShownExample>,
    tokens_per_second: Option<f64>,
    memory_bytes: Option<u64>,
    report: Option<TuneReport>,
    /// How fast its online steps were.
    online: Option<OnlineRates>,
}

impl Live {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_empty(&self) -> bool {
        self.name.is_empty()
    }

    pub(super) fn on_event(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Steps(records) => records.iter().cloned().for_each(|record| self.record(record)),
            EventKind::Example(example) => {
                self.feed.push_front((**example).clone());
                self.feed.truncate(FEED);
            }
            EventKind::Resources { tokens_per_second, memory_bytes } => {
                // Between two steps nothing is encoded: the last rate stays.
                self.tokens_per_second = tokens_per_second.or(self.tokens_per_second);
                self.memory_bytes = memory_bytes.or(self.memory_bytes);
            }
            _ => {}
        }
    }

    pub(super) fn finished(&mut self, report: &TuneReport) {
        self.report = Some(report.clone());
        self.online = report.online;
    }

    fn record(&mut self, record: Record) {
        match record {
            Record::Pools { report } => self.pools = Some(report),
            Record::Step(step) => self.steps.push(step),
            Record::Dev { step, accuracy, best, .. } => self.dev.push((step, accuracy, best)),
        }
    }

    /// Takes what a run recorded; of the running one, what it recorded before it was resumed.
    pub(super) fn load(&mut self, run: &RunDetails, running: bool) {
        let name =
            Path::new(&run.run.run).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if running && name != self.name {
            return;
        }
        let newer = if running { std::mem::take(self) } else { Self::default() };
        *self = Self::new(&name);
        self.online = run.run.online;
        run.records.iter().cloned().for_each(|record| self.record(record));
        let last = newer.steps.first().map_or(usize::MAX, |step| step.step);
        self.steps.retain(|step| step.step < last);
        self.steps.extend(newer.steps);
        self.dev.extend(newer.dev.into_iter().filter(|(step, ..)| self.steps.is_empty() || *step > 0));
        self.dev.sort_by_key(|(step, ..)| *step);
        self.dev.dedup_by_key(|(step, ..)| *step);
        self.pools = newer.pools.or(self.pools.take());
        (self.feed, self.tokens_per_second, self.memory_bytes) =
            (newer.feed, newer.tokens_per_second, newer.memory_bytes);
    }

    pub(super) fn ui(&self, ui: &mut Ui) {
        if self.is_empty() || (self.pools.is_none() && self.steps.is_empty() && self.dev.is_empty()) {
            return;
        }
        widgets::card(ui, |ui| {
            widgets::section(ui, &format!("Run “{}”", self.name));
            self.result(ui);
            self.figures(ui);
            let wide = ui.available_width() > 760.0;
            let columns = if wide { 3 } else { 1 };
            let width = widgets::column_width(ui, columns);
            let plots = |ui: &mut Ui| {
                for plot in [Self::loss_plot, Self::dev_plot, Self::score_plot] {
                    ui.allocate_ui(egui::vec2(width, HEIGHT + 26.0), |ui| {
                        ui.vertical(|ui| {
                            ui.set_width(width);
                            plot(self, ui);
                        });
                    });
                }
            };
            if wide {
                ui.horizontal_top(plots).inner
            } else {
                ui.vertical(plots).inner
            };
            self.feed(ui);
        });
    }

    /// Before and after, when the run is finished.
    fn result(&self, ui: &mut Ui) {
        let Some(report) = &self.report else { return };
        let accuracy = |figures: &ragtune_engine::event::Metrics| figures.rag_accuracy.get(&1).copied().flatten();
        let (before, after) = (accuracy(&report.before), accuracy(&report.after));
        ui.horizontal_wrapped(|ui| {
            widgets::badge(ui, "finished", palette(ui).good);
            ui.label(
                RichText::new(format!(
                    "RAG accuracy on test questions, one passage in context: {} before, {} after",
                    widgets::percent(before),
                    widgets::percent(after)
                ))
                .strong(),
            );
        });
    }

    fn figures(&self, ui: &mut Ui) {
        let mut tiles: Vec<(&str, String, &str)> = Vec::new();
        if let Some(step) = self.steps.last() {
            let stage = if step.stage == ragtune_engine::command::Stage::Offline { "offline" } else { "online" };
            tiles.push((
                "step",
                format!("{} {}/{}", stage, step.stage_step, step.stage_steps),
                "stage, step of the stage",
            ));
            tiles.push(("loss", format!("{:.3}", step.loss), "L_para + L_semi"));
            tiles.push((
                "in-batch accuracy",
                widgets::percent(Some(f64::from(step.batch_accuracy))),
                "questions whose positive scores highest in the batch",
            ));
            tiles.push((
                "score spread",
                format!("{:.2}", step.score_spread),
                "standard deviation of in-batch scores after the temperature",
            ));
        }
        if let Some((step, best, _)) = self.dev.iter().rev().find(|(.., best)| *best) {
            tiles.push((
                "best on dev",
                widgets::percent(Some(*best)),
                if *step == 0 { "the start" } else { "the encoder that is kept" },
            ));
        }
        if let Some(pools) = &self.pools {
            tiles.push((
                "usable questions",
                format!("{} of {}", pools.usable, pools.questions),
                "questions with a positive and a negative",
            ));
            tiles.push((
                "pool sizes",
                format!("{:.1} + {:.1}", pools.positives, pools.negatives),
                "mean number of positives and negatives per question",
            ));
            let auc = pools.auc.map_or_else(|| "-".to_owned(), |auc| format!("{auc:.3}"));
            tiles.push(("label-score AUC", auc, "how well scores predict labels: 1 is perfect, 0.5 is chance"));
        }
        if let Some(rate) = self.tokens_per_second {
            tiles.push(("training", format!("{} tokens/s", widgets::count(rate as u64)), ""));
        }
        if let Some(online) = self.online {
            let hint = "search, judging and learning together";
            tiles.push(("online steps", format!("{:.1} questions/s", online.questions), hint));
            let hint = "passages that the language model has judged in online steps";
            tiles.push(("judged", format!("{:.1} passages/s", online.passages), hint));
        }
        if let Some(bytes) = self.memory_bytes {
            tiles.push(("memory", widgets::bytes(bytes), "of this program, models and index included"));
        }
        widgets::tiles(ui, &tiles);
    }

    fn loss_plot(&self, ui: &mut Ui) {
        ui.label(RichText::new("Loss").strong());
        let colours = palette(ui);
        let series = |value: fn(&StepRecord) -> f32| -> PlotPoints<'static> {
            self.steps.iter().map(|step| [step.step as f64, f64::from(value(step))]).collect()
        };
        plot("loss").legend(Legend::default()).include_y(0.0).show(ui, |plot| {
            plot.line(Line::new("loss", series(|step| step.loss)).color(colours.series[0]).width(2.0));
            plot.line(Line::new("L_para", series(|step| step.para)).color(colours.series[1]));
            plot.line(Line::new("L_semi", series(|step| step.semi)).color(colours.series[2]));
        });
    }

    fn dev_plot(&self, ui: &mut Ui) {
        ui.label(RichText::new("Accuracy on dev").strong());
        let colours = palette(ui);
        let all: PlotPoints<'static> = self.dev.iter().map(|(step, share, _)| [*step as f64, *share]).collect();
        let best: PlotPoints<'static> =
            self.dev.iter().filter(|(.., best)| *best).map(|(step, share, _)| [*step as f64, *share]).collect();
        plot("dev").legend(Legend::default()).include_y(0.0).include_y(1.0).show(ui, |plot| {
            plot.line(Line::new("accuracy", all).color(colours.series[0]).width(2.0));
            plot.points(Points::new("best so far", best).color(colours.good).radius(4.0));
        });
    }

    fn score_plot(&self, ui: &mut Ui) {
        ui.label(RichText::new("RAG scores of the pools").strong());
        let colours = palette(ui);
        let empty = self.pools.as_ref().is_none_or(|pools| pools.scores.edges.len() < 2);
        if empty {
            ui.weak("Scores are there once the pools are complete; gold supervision has none.");
            return;
        }
        let Some(scores) = self.pools.as_ref().map(|pools| &pools.scores) else { return };
        let bars = |counts: &[u32]| -> Vec<Bar> {
            let bins = scores.edges.windows(2).zip(counts);
            bins.map(|(edges, &count)| {
                let (low, high) = (f64::from(edges[0]), f64::from(edges[1]));
                Bar::new(f64::midpoint(low, high), f64::from(count)).width((high - low) * 0.95)
            })
            .collect()
        };
        plot("scores").legend(Legend::default()).x_axis_label("log P(answer)").show(ui, |plot| {
            plot.bar_chart(BarChart::new("negatives", bars(&scores.negatives)).color(colours.bad.gamma_multiply(0.55)));
            plot.bar_chart(BarChart::new("positives", bars(&scores.positives)).color(colours.good.gamma_multiply(0.6)));
        });
    }

    /// The examples that steps were made of: question, positive, negative, and why.
    fn feed(&self, ui: &mut Ui) {
        if self.feed.is_empty() {
            return;
        }
        ui.label(RichText::new("What it learns from").strong());
        ScrollArea::vertical().id_salt("feed").max_height(230.0).auto_shrink([false, true]).show(ui, |ui| {
            for shown in &self.feed {
                let colours = palette(ui);
                let example = &shown.example;
                ui.horizontal_wrapped(|ui| {
                    ui.weak(format!("step {}", shown.step));
                    ui.label(RichText::new(&shown.question).strong());
                });
                for (word, colour, text, score, origin) in [
                    ("positive", colours.good, &shown.positive, example.positive_score, example.positive_origin),
                    ("negative", colours.bad, &shown.negative, example.negative_score, example.negative_origin),
                ] {
                    ui.horizontal(|ui| {
                        widgets::badge(ui, word, colour).on_hover_text(why(word, score, origin));
                        if let Some(score) = score {
                            ui.weak(format!("P {}", widgets::log_probability(score)));
                        }
                        let text = text.replace('\n', " – ");
                        ui.add(egui::Label::new(&text).truncate()).on_hover_text(text);
                    });
                }
                ui.add_space(4.0);
            }
        });
    }
}

fn plot(id: &'static str) -> Plot<'static> {
    Plot::new(id).height(HEIGHT).allow_scroll(false).allow_drag(false).allow_zoom(false).allow_boxed_zoom(false)
}

/// Why a passage is a positive or a negative, in words.
fn why(word: &str, score: Option<f32>, origin: Origin) -> String {
    let from = match origin {
        Origin::Pool => "drawn from the question's pool",
        Origin::Walk => "met in the ranking of the encoder as it is now",
    };
    match score {
        Some(score) => format!(
            "{word}, {from}: with it in context the right answer has probability {}",
            widgets::log_probability(score)
        ),
        None => format!("{word}, {from}"),
    }
}
