//! What this is, in which version, under which licence, and the keys.

use eframe::egui::{self, RichText, Ui};

use super::App;
use super::keys::KEYS;
use crate::widgets;

/// What the window stands on, with the licence of each.
const PARTS: [(&str, &str); 7] = [
    ("burn, cubecl: tensors on CPU and GPU", "MIT or Apache-2.0"),
    ("wgpu, naga: graphics", "MIT or Apache-2.0"),
    ("egui, eframe, egui_plot: the window", "MIT or Apache-2.0"),
    ("tokenizers", "Apache-2.0"),
    ("safetensors", "Apache-2.0"),
    ("lopdf, zip, quick-xml: documents", "MIT"),
    ("the fonts Ubuntu Light, Hack, Noto Emoji", "their own free licences"),
];

impl App {
    pub(super) fn about_box(&mut self, ui: &Ui) {
        let mut open = self.about;
        let window = egui::Window::new("About ragtune").open(&mut open).collapsible(false).resizable(false);
        window.anchor(egui::Align2::CENTER_CENTER, egui::Vec2::ZERO).show(ui.ctx(), |ui| {
            ui.set_width(460.0);
            ui.label(RichText::new(concat!("ragtune ", env!("CARGO_PKG_VERSION"))).size(18.0).strong());
            ui.label("Tunes a retriever to your language model and your documents. Nothing leaves this computer.");
            ui.weak("Licence: MIT or Apache-2.0, as you prefer. Method: OpenRAG (arXiv 2503.08398), SiDR (arXiv 2405.01924).");
            ui.add_space(6.0);
            widgets::section(ui, "Keys");
            egui::Grid::new("keys").num_columns(2).spacing([18.0, 3.0]).show(ui, |ui| {
                for (key, what) in KEYS {
                    ui.label(RichText::new(key).strong());
                    ui.label(what);
                    ui.end_row();
                }
            });
            ui.add_space(6.0);
            widgets::section(ui, "It stands on");
            egui::Grid::new("parts").num_columns(2).spacing([18.0, 3.0]).show(ui, |ui| {
                for (part, licence) in PARTS {
                    ui.label(part);
                    ui.weak(licence);
                    ui.end_row();
                }
            });
        });
        self.about = open;
    }
}
