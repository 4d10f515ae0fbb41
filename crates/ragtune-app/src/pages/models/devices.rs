//! What can compute, and which of it does.

use eframe::egui::Ui;
use ragtune_engine::DeviceChoice;
use ragtune_engine::command::{Command, TestDevices};
use ragtune_engine::event::{DeviceReport, EventKind, Report};

use super::bench::Bench;
use crate::link::{Line, Owner, Ticket};
use crate::pages::Cx;
use crate::platform;
use crate::theme::palette;
use crate::widgets;

/// The devices that were found.
#[derive(Default)]
pub(super) struct Devices {
    all: Vec<DeviceReport>,
    finding: Option<Ticket>,
    error: Option<String>,
    bench: Bench,
    /// What stands in the field of helpers while it is being edited.
    helpers: Option<String>,
    /// Where another machine's device is, as it is typed.
    lent: String,
}

impl Devices {
    /// Hears of its job; whether it was of its own.
    pub(super) fn on_event(&mut self, ticket: Ticket, kind: &EventKind) -> bool {
        if self.finding != Some(ticket) {
            return self.bench.on_event(ticket, kind);
        }
        match kind {
            EventKind::Report(report) => {
                if let Report::Devices(devices) = &**report {
                    self.all.clone_from(devices);
                }
            }
            EventKind::Failed { error, .. } => self.error = Some(error.clone()),
            _ => {}
        }
        if kind.is_end() {
            self.finding = None;
        }
        true
    }

    fn find(&mut self, measure: bool, cx: &mut Cx<'_>) {
        let what = if measure { "Measuring devices" } else { "Looking for devices" };
        let command = Command::Devices(TestDevices { measure });
        self.finding = Some(cx.link.send_quietly(Owner::Models, Line::Test, what, command));
    }

    /// The card: what there is, which one computes, what each reaches.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        // Every GPU answers a test first: that is asked for by whoever looks at the list.
        if self.all.is_empty() && self.finding.is_none() && self.error.is_none() {
            self.find(false, cx);
        }
        let Some(report) = cx.project else { return };
        let used = report.project.device.clone();
        widgets::card(ui, |ui| {
            widgets::section(ui, "Device");
            if let Some(error) = self.error.clone() {
                if widgets::failure(ui, &error) {
                    self.error = None;
                }
            } else if self.all.is_empty() {
                ui.horizontal(|ui| {
                    ui.spinner();
                    ui.weak("Looking for devices; each answers a small test with known results first.");
                });
            }
            if self.all.is_empty() {
                return;
            }
            let auto = self.all.iter().find(|device| device.chosen);
            // Which device, and beside it whether it multiplies in 16 bits.
            let (mut choice, mut half) = match used {
                DeviceChoice::HalfGpu(number) => (DeviceChoice::Gpu(number), true),
                ref used => (used.clone(), false),
            };
            let why = auto.map_or_else(String::new, |device| format!("Automatic: {} computes", device.name));
            ui.radio_value(&mut choice, DeviceChoice::Auto, why);
            for device in &self.all {
                let Ok(this) = device.device.parse::<DeviceChoice>() else { continue };
                ui.horizontal_wrapped(|ui| {
                    ui.add_enabled_ui(device.usable, |ui| ui.radio_value(&mut choice, this, &device.name));
                    ui.weak(about(device));
                    if let Some(note) = &device.note {
                        ui.colored_label(palette(ui).warn, note);
                    }
                });
            }
            if let DeviceChoice::Gpu(number) = choice
                && self.has_halves(number)
            {
                let hint = "Layers multiply numbers in 16 bits and add in 32, on the card's matrix units where they are reached: faster, and results differ in the third digit";
                ui.checkbox(&mut half, "Products in 16 bits").on_hover_text(hint);
            }
            // A tab computes by itself.
            if !platform::IN_BROWSER {
                self.lent_ui(ui, &used, &mut choice);
            }
            if self.finding.is_some() {
                ui.horizontal(|ui| {
                    ui.spinner();
                    ui.weak("Each device is tested.");
                });
            } else {
                ui.horizontal_wrapped(|ui| {
                    let hint = "The whole self-test, and what each device reaches: some seconds";
                    if ui.small_button("Measure devices").on_hover_text(hint).clicked() {
                        self.find(true, cx);
                    }
                    self.bench.button(ui, cx);
                });
            }
            let real = self.all.iter().any(|device| device.device.starts_with("gpu") && device.chosen);
            if !real {
                ui.weak("No GPU of its own computes here: the processor does. A graphics driver in software would be slower.");
            }
            let choice = match choice {
                // One that stays as it is keeps it, also when it cannot be asked now.
                DeviceChoice::Gpu(number)
                    if half && (self.has_halves(number) || used == DeviceChoice::HalfGpu(number)) =>
                {
                    DeviceChoice::HalfGpu(number)
                }
                choice => choice,
            };
            if choice != used {
                cx.change(|project| project.device = choice);
            }
            self.bench.results(ui);
            if !platform::IN_BROWSER {
                self.helpers_ui(ui, &report.project.helpers, cx);
            }
        });
    }

    /// Whether a GPU computes in 16 bits too.
    fn has_halves(&self, number: Option<usize>) -> bool {
        let name = String::from(DeviceChoice::Gpu(Some(number.unwrap_or(0))));
        let device = self.all.iter().find(|device| device.device == name);
        device.and_then(|device| device.limits.as_ref()).is_some_and(|limits| limits.f16 == Some(true))
    }

    /// Another machine's device.
    fn lent_ui(&mut self, ui: &mut Ui, used: &DeviceChoice, choice: &mut DeviceChoice) {
        if let DeviceChoice::Lent(lender) = used {
            ui.radio_value(choice, used.clone(), format!("The device lent by {}", lender.address));
        }
        ui.horizontal_wrapped(|ui| {
            ui.label("Another machine's:");
            widgets::field(ui, "Lent device", &mut self.lent, "TOKEN@HOST:PORT", 220.0);
            let wanted = self.lent.trim().parse::<DeviceChoice>().ok();
            let wanted = wanted.filter(|wanted| matches!(wanted, DeviceChoice::Lent(_)));
            let hint = "Start `ragtune lend` there, and write here what it prints";
            let shown = ui.add_enabled_ui(wanted.is_some(), |ui| ui.small_button("Use").on_hover_text(hint));
            if let Some(wanted) = wanted.filter(|_| shown.inner.clicked()) {
                *choice = wanted;
                self.lent.clear();
            }
        });
    }

    fn helpers_ui(&mut self, ui: &mut Ui, helpers: &[DeviceChoice], cx: &mut Cx<'_>) {
        let saved = || helpers.iter().cloned().map(String::from).collect::<Vec<_>>().join(", ");
        let mut text = self.helpers.clone().unwrap_or_else(saved);
        ui.add_space(6.0);
        ui.label("Helpers");
        let hint = "gpu:1, TOKEN@HOST:PORT";
        let shown = widgets::field(ui, "Helpers", &mut text, hint, ui.available_width().min(420.0));
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        match parts.map(str::parse::<DeviceChoice>).collect::<Result<Vec<_>, _>>() {
            Ok(wanted) if wanted != helpers => cx.change(|project| project.helpers = wanted),
            Ok(_) => {}
            Err(error) => {
                ui.colored_label(palette(ui).warn, error);
            }
        }
        ui.weak("Compute a share of each training step: devices about as fast as the one above, of this machine, or of another that runs `ragtune lend`.");
        self.helpers = shown.has_focus().then_some(text);
    }
}

/// A device's kind, with what it holds and reaches where that is known.
fn about(device: &DeviceReport) -> String {
    let mut facts = vec![device.kind.clone()];
    if let Some(limits) = &device.limits {
        facts.extend(limits.memory_bytes.map(|bytes| format!("memory {}", widgets::bytes(bytes))));
        facts.extend(limits.buffer_bytes.map(|bytes| format!("largest buffer {}", widgets::bytes(bytes))));
        facts.extend(limits.matrix_units.then(|| "matrix units".to_owned()));
    }
    if let Some(speed) = &device.speed {
        let half = speed.half_gflops.map_or_else(String::new, |half| format!(" ({half:.0} in 16 bits)"));
        facts.push(format!("{:.0} GFLOP/s{half}, {:.0} GB/s", speed.gflops, speed.gigabytes));
    }
    facts.join(", ")
}
