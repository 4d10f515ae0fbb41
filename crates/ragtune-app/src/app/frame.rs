//! What stands around a page: navigation at the left, the project above, the state of work below.

use eframe::egui::{self, Align, CornerRadius, Layout, Margin, RichText, ScrollArea, Stroke, Ui};

use super::App;
use crate::link::{Job, JobState};
use crate::pages::Page;
use crate::settings::Look;
use crate::theme::palette;
use crate::widgets;

/// Below this width the navigation stands above the page.
const NARROW: f32 = 720.0;

impl App {
    /// Draws the window.
    pub fn draw(&mut self, ui: &mut Ui) {
        self.keys(ui);
        let narrow = ui.available_width() < NARROW;
        let rail = egui::Frame::new().fill(palette(ui).rail).inner_margin(Margin::symmetric(12, 8));
        egui::Panel::top("top").frame(rail).show(ui, |ui| self.top(ui, narrow));
        egui::Panel::bottom("status").frame(rail).show(ui, |ui| self.status(ui));
        if !narrow {
            let frame = egui::Frame::new().fill(palette(ui).rail).inner_margin(Margin::symmetric(10, 10));
            egui::Panel::left("pages").frame(frame).resizable(false).exact_size(132.0).show(ui, |ui| {
                ui.vertical(|ui| self.navigation(ui));
            });
        }
        let frame = egui::Frame::new().fill(ui.visuals().panel_fill).inner_margin(Margin::same(16));
        egui::CentralPanel::default().frame(frame).show(ui, |ui| {
            self.messages(ui);
            self.page_ui(ui);
        });
        self.drop_hint(ui);
        self.about_box(ui);
        self.leave_box(ui);
    }

    fn top(&mut self, ui: &mut Ui, narrow: bool) {
        ui.horizontal(|ui| {
            ui.label(RichText::new("ragtune").strong().size(16.0));
            let name = self.project.as_ref().map(|project| project.project.name.clone());
            match name {
                Some(name) => drop(ui.label(name)),
                None => drop(ui.weak("no project")),
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if ui.button("About").on_hover_text("F1").clicked() {
                    self.about = !self.about;
                }
                ui.menu_button("View", |ui| self.view_menu(ui));
                if let Some(project) = self.project.as_ref().filter(|_| !narrow) {
                    ui.weak(format!("device: {}", project.project.device.shown()));
                }
            });
        });
        if narrow {
            ui.horizontal_wrapped(|ui| self.navigation(ui));
        }
    }

    fn view_menu(&mut self, ui: &mut Ui) {
        ui.label(RichText::new("Colours").small().strong());
        for (look, name) in Look::ALL {
            if ui.radio_value(&mut self.settings.look, look, name).changed() {
                ui.ctx().set_theme(look.preference());
            }
        }
        ui.separator();
        ui.label(RichText::new("Size").small().strong());
        ui.horizontal(|ui| {
            if ui.button("Smaller").on_hover_text("Ctrl+Minus").clicked() {
                ui.ctx().set_zoom_factor((ui.ctx().zoom_factor() - 0.1).max(0.5));
            }
            if ui.button("Larger").on_hover_text("Ctrl+Plus").clicked() {
                ui.ctx().set_zoom_factor((ui.ctx().zoom_factor() + 0.1).min(3.0));
            }
            if ui.button("Normal").on_hover_text("Ctrl+0").clicked() {
                ui.ctx().set_zoom_factor(1.0);
            }
        });
    }

    fn navigation(&mut self, ui: &mut Ui) {
        for (at, (page, name)) in Page::ALL.into_iter().enumerate() {
            let chosen = self.settings.page == page;
            let colours = palette(ui);
            let text = if chosen { RichText::new(name).strong().color(colours.accent) } else { RichText::new(name) };
            let fill = if chosen { colours.accent.gamma_multiply(0.16) } else { egui::Color32::TRANSPARENT };
            let button = egui::Button::new(text).fill(fill).stroke(Stroke::NONE).corner_radius(CornerRadius::same(6));
            let width = if ui.layout().is_horizontal() { 0.0 } else { ui.available_width() };
            let shown = ui.add(button.min_size(egui::vec2(width, 30.0))).on_hover_text(format!("Ctrl+{}", at + 1));
            widgets::name_of(&shown, &format!("Page {name}"));
            if shown.clicked() {
                self.go(page);
            }
        }
    }

    /// Errors and news that belong to no page.
    fn messages(&mut self, ui: &mut Ui) {
        let mut at = 0;
        self.errors.retain(|error| {
            at += 1;
            !ui.push_id(("error", at), |ui| widgets::failure(ui, error)).inner
        });
        self.notes.retain(|note| {
            at += 1;
            !ui.push_id(("note", at), |ui| widgets::warning(ui, note)).inner
        });
    }

    fn page_ui(&mut self, ui: &mut Ui) {
        let page = self.settings.page;
        self.with_cx(|pages, cx| match page {
            // These fill the window themselves; the others scroll as a whole.
            Page::Query => pages.query.ui(ui, cx),
            Page::Explain => pages.explain.ui(ui, cx),
            Page::Tune => pages.tune.ui(ui, cx),
            _ => drop(ScrollArea::vertical().id_salt(page).auto_shrink([false, false]).show(ui, |ui| match page {
                Page::Corpus => pages.corpus.ui(ui, cx),
                Page::Questions => pages.questions.ui(ui, cx),
                Page::Models => pages.models.ui(ui, cx),
                _ => pages.home.ui(ui, cx),
            })),
        });
    }

    /// What runs, in one line; all jobs when it is opened.
    fn status(&mut self, ui: &mut Ui) {
        if self.jobs {
            self.job_list(ui);
            ui.separator();
        }
        let job = self.link.jobs().find(|job| job.is_open() && !job.quiet && job.state != JobState::Waiting).cloned();
        let waiting = self.link.jobs().filter(|job| job.state == JobState::Waiting && !job.quiet).count();
        ui.horizontal(|ui| {
            if ui.small_button(if self.jobs { "Hide jobs" } else { "Jobs" }).on_hover_text("Ctrl+J").clicked() {
                self.jobs = !self.jobs;
            }
            if let Some(status) = &self.status {
                ui.label(status);
            }
            match job {
                Some(job) => self.status_job(ui, &job, waiting),
                None if waiting > 0 => drop(ui.weak("starting…")),
                None => drop(ui.weak("Nothing runs.")),
            }
        });
    }

    fn status_job(&mut self, ui: &mut Ui, job: &Job, waiting: usize) {
        ui.label(&job.title);
        if job.state == JobState::Paused {
            widgets::badge(ui, "paused", palette(ui).warn);
        }
        if let Some(progress) = &job.progress {
            if let Some(total) = progress.total.filter(|total| *total > 0) {
                let share = progress.done as f32 / total as f32;
                ui.add(egui::ProgressBar::new(share.clamp(0.0, 1.0)).desired_width(150.0).desired_height(10.0));
            }
            ui.add(egui::Label::new(RichText::new(widgets::figures(progress)).weak()).truncate());
        }
        if waiting > 0 {
            ui.weak(format!("{waiting} waiting"));
        }
    }

    fn job_list(&mut self, ui: &mut Ui) {
        let jobs: Vec<Job> = self.link.jobs().rev().filter(|job| !job.quiet).cloned().collect();
        ui.horizontal(|ui| {
            widgets::section(ui, "Jobs");
            if ui.small_button("Clear").on_hover_text("Forgets those that are over").clicked() {
                self.link.clear();
            }
        });
        if jobs.is_empty() {
            ui.weak("Nothing has run yet.");
        }
        ScrollArea::vertical().id_salt("jobs").max_height(180.0).auto_shrink([false, true]).show(ui, |ui| {
            for job in &jobs {
                ui.horizontal(|ui| {
                    let colours = palette(ui);
                    let (word, colour, more) = match &job.state {
                        JobState::Waiting => ("waiting", colours.weak, String::new()),
                        JobState::Running => ("running", colours.accent, String::new()),
                        JobState::Paused => ("paused", colours.warn, String::new()),
                        JobState::Finished => ("done", colours.good, String::new()),
                        JobState::Cancelled(way) => ("stopped", colours.warn, way.clone().unwrap_or_default()),
                        JobState::Failed(error) => ("failed", colours.bad, error.clone()),
                    };
                    widgets::badge(ui, word, colour);
                    ui.label(&job.title);
                    if job.is_open() && ui.small_button("Stop").clicked() {
                        self.link.cancel(job.ticket);
                    }
                    ui.add(egui::Label::new(RichText::new(&more).color(colours.weak)).truncate()).on_hover_text(more);
                });
            }
        });
    }

    /// Where files may be dropped, while some are held over the window.
    fn drop_hint(&self, ui: &Ui) {
        if ui.input(|input| input.raw.hovered_files.is_empty()) {
            return;
        }
        let colours = palette(ui);
        let layer = egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop"));
        let painter = ui.ctx().layer_painter(layer);
        let rect = ui.ctx().content_rect();
        painter.rect_filled(rect, 0.0, ui.visuals().panel_fill.gamma_multiply(0.85));
        let text = match (self.project.is_some(), self.settings.page) {
            (false, _) => "Drop a folder to open it as a project",
            (true, Page::Questions) => "Drop a questions file to import it",
            (true, _) => "Drop documents to add them to the corpus",
        };
        painter.text(
            rect.center(),
            egui::Align2::CENTER_CENTER,
            text,
            egui::FontId::proportional(26.0),
            colours.accent,
        );
    }

    /// Asks once before changes are lost.
    fn leave_box(&mut self, ui: &Ui) {
        let unsaved = self.questions.unsaved();
        if ui.input(|input| input.viewport().close_requested()) && unsaved && !self.leaving {
            ui.send_viewport_cmd(egui::ViewportCommand::CancelClose);
            self.leaving = true;
        }
        if !self.leaving {
            return;
        }
        let shown = egui::Modal::new(egui::Id::unique("leave")).show(ui.ctx(), |ui| {
            ui.set_width(360.0);
            widgets::section(ui, "Questions have changed");
            ui.label("Save them in the project before you leave?");
            ui.horizontal(|ui| {
                if widgets::primary(ui, "Back to save them").clicked() {
                    self.leaving = false;
                    self.settings.page = Page::Questions;
                }
                if ui.button("Leave without saving").clicked() {
                    ui.send_viewport_cmd(egui::ViewportCommand::Close);
                }
                if ui.button("Stay").clicked() {
                    self.leaving = false;
                }
            });
        });
        if shown.should_close() {
            self.leaving = false;
        }
    }
}
