//! One way of searching: its hits, best first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use eframe::egui::{RichText, Ui};
use ragtune_engine::command::SearchMode;
use ragtune_engine::event::{EventKind, FoundPassage, Report, WeighedPassage};

use super::hit::{self, Picked};
use crate::link::Ticket;
use crate::pages::Cx;
use crate::theme::palette;
use crate::widgets;

/// A mode with an encoder, and what it found.
pub(super) struct Column {
    pub(super) mode: SearchMode,
    pub(super) encoder: PathBuf,
    /// Whether the encoder is the tuned one.
    pub(super) after: bool,
    pub(super) ticket: Option<Ticket>,
    pub(super) hits: Vec<FoundPassage>,
    reranked: Option<(usize, usize)>,
    seconds: Option<f64>,
    running: bool,
    error: Option<String>,
}

impl Column {
    pub(super) fn new(mode: SearchMode, encoder: PathBuf, after: bool) -> Self {
        Self {
            mode,
            encoder,
            after,
            ticket: None,
            hits: Vec::new(),
            reranked: None,
            seconds: None,
            running: false,
            error: None,
        }
    }

    pub(super) fn is(&self, mode: SearchMode, encoder: &Path) -> bool {
        self.mode == mode && self.encoder == encoder
    }

    /// A new search: the old hits stay on the screen until there are others.
    pub(super) fn begin(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
        self.running = true;
        self.error = None;
        self.reranked = None;
        self.seconds = None;
    }

    pub(super) fn clear(&mut self) {
        self.hits.clear();
        (self.reranked, self.seconds, self.running, self.error) = (None, None, false, None);
    }

    pub(super) fn on_event(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Hits(queries) => {
                if let Some(found) = queries.first() {
                    self.hits.clone_from(&found.hits);
                    self.reranked = found.reranked;
                }
            }
            EventKind::Report(report) => {
                if let Report::Search(report) = &**report {
                    self.hits = report.queries.first().map(|query| query.hits.clone()).unwrap_or_default();
                    self.seconds = Some(report.seconds);
                    self.reranked = None;
                }
            }
            EventKind::Failed { error, .. } => {
                self.error = Some(error.clone());
                self.hits.clear();
            }
            _ => {}
        }
        if kind.is_end() {
            self.running = false;
        }
    }

    /// Draws the column. `before` is where passages stood before tuning.
    pub(super) fn ui(
        &self,
        ui: &mut Ui,
        before: Option<&HashMap<String, usize>>,
        weighed: &HashMap<String, WeighedPassage>,
        cx: &Cx<'_>,
    ) -> Option<Picked> {
        ui.horizontal(|ui| {
            let name = if self.after { format!("{}, tuned", self.mode.name()) } else { self.mode.name().to_owned() };
            ui.label(RichText::new(name).strong().size(15.0));
            match (self.reranked, self.seconds) {
                (Some((done, total)), _) => {
                    ui.spinner();
                    ui.weak(format!("{done} of {total} read again"));
                }
                (None, Some(seconds)) => drop(ui.weak(widgets::duration(seconds))),
                _ if self.running => drop(ui.spinner()),
                _ => {}
            }
        });
        if let Some(error) = &self.error {
            ui.colored_label(palette(ui).bad, error);
        } else if self.hits.is_empty() && !self.running && self.seconds.is_some() {
            ui.weak("Nothing was found.");
        }
        let mut picked = None;
        for hit in &self.hits {
            let moved = before.map(|ranks| hit::Moved::between(ranks.get(&hit.id).copied(), hit.rank));
            if let Some(action) = hit::ui(ui, hit, moved, weighed.get(&hit.id), self.mode, cx) {
                picked = Some(action);
            }
        }
        picked
    }
}
