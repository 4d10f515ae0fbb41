//! The key settings of a tuning, each with a line that says what it does.

use eframe::egui::{self, Ui};
use ragtune_engine::command::{Precision, Stage, Supervision, TuneSettings};
use ragtune_engine::project::quick;

use crate::widgets;

/// Draws the settings; true when one was changed.
pub(super) fn ui(ui: &mut Ui, settings: &mut TuneSettings) -> bool {
    let before = settings.clone();
    ui.horizontal_wrapped(|ui| {
        widgets::section(ui, "Settings");
        if ui.button("Quick").on_hover_text("Minutes on a plain computer: few epochs, small batches").clicked() {
            *settings = keeping(quick(), settings);
        }
        if ui.button("As in the paper").on_hover_text("40 epochs a stage, batches of 128: hours, on a GPU").clicked() {
            *settings = keeping(TuneSettings::default(), settings);
        }
    });
    egui::Grid::new("settings").num_columns(3).spacing([14.0, 6.0]).show(ui, |ui| {
        let label = ui.label("Supervision");
        ui.horizontal(|ui| {
            let rag = ui.radio_value(&mut settings.supervision, Supervision::Rag, "language model");
            rag.labelled_by(label.id);
            ui.radio_value(&mut settings.supervision, Supervision::Gold, "gold passages");
        });
        ui.weak("what says which passages are positive");
        ui.end_row();

        let gold = settings.supervision == Supervision::Gold;
        ui.label("Stages");
        ui.horizontal(|ui| {
            stage(ui, settings, Stage::Offline, "offline", !gold);
            stage(ui, settings, Stage::Online, "online", !gold);
        });
        ui.weak("offline learns from fixed pools, online from what the encoder finds as it changes");
        ui.end_row();

        let has = |stage| settings.stages.contains(&stage);
        let (offline, online) = (has(Stage::Offline), has(Stage::Online));
        number(ui, "Offline epochs", &mut settings.offline_epochs, 1..=200, offline, "passes over the train questions");
        number(ui, "Online epochs", &mut settings.online_epochs, 1..=200, online, "passes over the train questions");
        number(
            ui,
            "Batch",
            &mut settings.batch,
            2..=512,
            true,
            "questions a step; each also learns from the others' passages",
        );
        number(
            ui,
            "Candidates",
            &mut settings.k,
            2..=1000,
            true,
            "passages per question that the language model judges: most of the cost",
        );
        number(
            ui,
            "Window",
            &mut settings.m,
            2..=1000,
            online,
            "passages that the online stage looks through per question",
        );
        number(ui, "Most questions", &mut settings.max_questions, 0..=1_000_000, true, "0 takes all train questions");
        number(ui, "Most steps a stage", &mut settings.max_steps, 0..=1_000_000, true, "0 for none");

        let label = ui.label("Learning rate");
        let mut rate = f64::from(settings.optim.lr);
        let drag = egui::DragValue::new(&mut rate).range(1e-7..=1e-1).speed(1e-6).max_decimals(8);
        if ui.add(drag).labelled_by(label.id).changed() {
            settings.optim.lr = rate as f32;
        }
        ui.weak("2e-5 for large encoders, up to 3e-4 for small ones");
        ui.end_row();

        ui.label("Memory");
        ui.checkbox(&mut settings.checkpointing, "save it");
        ui.weak("compute each layer twice instead of keeping its states: a third more time; for long texts");
        ui.end_row();

        ui.label("Precision");
        let mut half = settings.precision == Precision::F16;
        if ui.checkbox(&mut half, "16 bits").changed() {
            settings.precision = if half { Precision::F16 } else { Precision::F32 };
        }
        ui.weak("of the layers' products; on a graphics card that has them");
        ui.end_row();

        let label = ui.label("Seed");
        ui.add(egui::DragValue::new(&mut settings.seed)).labelled_by(label.id);
        ui.weak("equal seeds give equal results on the CPU");
        ui.end_row();
    });
    if settings.supervision == Supervision::Gold {
        settings.stages = vec![Stage::Offline];
    }
    *settings != before
}

/// A preset with what it says nothing about.
fn keeping(preset: TuneSettings, settings: &TuneSettings) -> TuneSettings {
    TuneSettings { supervision: settings.supervision, stages: settings.stages.clone(), seed: settings.seed, ..preset }
}

fn stage(ui: &mut Ui, settings: &mut TuneSettings, stage: Stage, name: &str, enabled: bool) {
    let mut on = settings.stages.contains(&stage);
    if ui.add_enabled(enabled, egui::Checkbox::new(&mut on, name)).changed() {
        settings.stages.retain(|known| *known != stage);
        if on {
            settings.stages.push(stage);
        }
        // At least one stage, in their order.
        if settings.stages.is_empty() {
            settings.stages.push(if stage == Stage::Offline { Stage::Online } else { Stage::Offline });
        }
        settings.stages.sort();
    }
}

fn number(
    ui: &mut Ui,
    name: &str,
    value: &mut usize,
    range: std::ops::RangeInclusive<usize>,
    enabled: bool,
    hint: &str,
) {
    let label = ui.label(name);
    ui.add_enabled(enabled, egui::DragValue::new(value).range(range)).labelled_by(label.id);
    ui.weak(hint);
    ui.end_row();
}
