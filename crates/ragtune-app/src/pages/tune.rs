//! Tuning: settings with their cost, the run as it goes, and the runs that were.

mod live;
mod runs;
mod settings;

use std::path::{Path, PathBuf};

use eframe::egui::{ScrollArea, Ui};
use ragtune_engine::command::{
    Command, ExportRun, ListRuns, QuestionSource, ReadRun, Tune as TuneCommand, TuneSettings,
};
use ragtune_engine::event::{EstimateReport, EventKind, Report, RunReport, RunState};

use self::live::Live;
use super::corpus::no_project;
use super::{Action, Cx, Page, encoder_source};
use crate::link::{JobState, Owner, STOPPED, Ticket};
use crate::platform;
use crate::theme::palette;
use crate::widgets;

/// Times that a tuning is taken up by itself. One that stops its engine again and again needs somebody to look at it.
const REVIVALS: u32 = 3;

/// What the page holds.
#[derive(Default)]
pub struct Tune {
    /// The settings as they stand on the page; saved with the project when a run starts.
    settings: Option<TuneSettings>,
    name: String,
    running: Option<Ticket>,
    /// The run that is shown: the running one, or one of the list.
    live: Live,
    estimating: Option<Ticket>,
    estimate: Option<EstimateReport>,
    runs: Vec<RunReport>,
    listing: Option<Ticket>,
    reading: Option<Ticket>,
    /// Runs that are compared.
    compared: Vec<String>,
    exporting: Option<Ticket>,
    /// The run that a folder is being chosen for.
    to_export: Option<PathBuf>,
    export_path: String,
    said: Option<String>,
    error: Option<String>,
    /// Whether the user was told of a tuning that can go on.
    greeted: bool,
    /// The run's folder when its engine stopped under it, and how often it was taken up again after that.
    cut: Option<PathBuf>,
    revived: u32,
    /// Whether that tuning has made a step since it was begun or taken up.
    stepped: bool,
}

impl Tune {
    /// Forgets another project's runs.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether a tuning runs.
    pub fn is_running(&self, cx: &Cx<'_>) -> bool {
        cx.link.is_open(self.running)
    }

    /// Looks at the project's runs.
    pub fn refresh(&mut self, cx: &mut Cx<'_>) {
        let Some(project) = cx.project else { return };
        if self.settings.is_none() {
            self.settings = Some(project.project.tune.clone());
        }
        let folder = project.runs.clone();
        if platform::is_dir(&folder) {
            self.listing = Some(cx.fetch(Owner::Tune, "Listing runs", Command::ListRuns(ListRuns { folder })));
        }
    }

    /// What is missing before a tuning can start.
    fn missing(&self, cx: &Cx<'_>) -> Option<&'static str> {
        let project = cx.project?;
        let gold = self
            .settings
            .as_ref()
            .is_some_and(|settings| settings.supervision == ragtune_engine::command::Supervision::Gold);
        if project.project.encoder.is_none() {
            Some("Choose an encoder on the page Models")
        } else if project.project.llm.is_none() && !gold {
            Some("Choose a language model on the page Models, or gold supervision")
        } else if project.passages.is_none() {
            Some("Add documents on the page Corpus")
        } else if project.project.questions.is_none() {
            Some("Bring questions on the page Questions, and save them")
        } else if self.is_running(cx) {
            Some("A tuning runs already")
        } else {
            None
        }
    }

    fn command(&self, out: Option<PathBuf>, cx: &Cx<'_>) -> Option<TuneCommand> {
        let project = cx.project?;
        let settings = self.settings.clone()?;
        let gold = settings.supervision == ragtune_engine::command::Supervision::Gold;
        Some(TuneCommand {
            index: Some(project.index.clone()),
            questions: project.project.questions.clone().map(|path| QuestionSource {
                path,
                id_prefix: None,
                aliases: None,
            }),
            encoder: project.project.encoder.clone().map(encoder_source),
            llm: project.project.llm.clone().filter(|_| !gold),
            template: project.project.template.clone(),
            supervision: Some(settings.supervision),
            stages: Some(settings.stages.clone()),
            seed: settings.seed,
            settings: Some(Box::new(settings)),
            out,
            device: project.project.device.clone(),
            helpers: project.project.helpers.clone(),
            ..TuneCommand::default()
        })
    }

    /// Starts a tuning with the page's settings.
    pub fn start(&mut self, cx: &mut Cx<'_>) {
        let Some(project) = cx.project else { return };
        let name = self.free_name(&project.runs);
        let Some(command) = self.command(Some(project.runs.join(&name)), cx) else { return };
        if let Some(settings) = self.settings.clone() {
            cx.change(|project| project.tune = settings);
        }
        self.name.clear();
        self.begin(&name, command, cx);
    }

    /// Goes on with a run that was stopped.
    fn resume(&mut self, run: &str, cx: &mut Cx<'_>) {
        // A resumed run knows its own settings.
        let command = TuneCommand {
            resume: Some(PathBuf::from(run)),
            device: cx.device(),
            helpers: cx.project.map(|report| report.project.helpers.clone()).unwrap_or_default(),
            ..TuneCommand::default()
        };
        let name =
            Path::new(run).file_name().map_or_else(|| run.to_owned(), |name| name.to_string_lossy().into_owned());
        self.begin(&name, command, cx);
        // What it recorded before it was stopped belongs to its curves.
        self.read(run, cx);
    }

    /// Takes up the tuning that was cut short when its engine stopped: a crash, or a graphics card that was lost.
    pub fn engine_restarted(&mut self, cx: &mut Cx<'_>) {
        let Some(run) = self.cut.take() else { return };
        if self.revived >= REVIVALS || (self.revived > 0 && !self.stepped) {
            return;
        }
        let revived = self.revived + 1;
        self.resume(&run.to_string_lossy(), cx);
        self.revived = revived;
        cx.act(Action::Note(format!("The tuning “{}” goes on from what it had saved.", self.live.name())));
    }

    fn begin(&mut self, name: &str, command: TuneCommand, cx: &mut Cx<'_>) {
        self.live = Live::new(name);
        (self.error, self.said) = (None, None);
        cx.settings.tuning = command.out.clone().or_else(|| command.resume.clone());
        (self.cut, self.revived, self.stepped) = (None, 0, false);
        let title = format!("Tuning “{name}”");
        self.running = Some(cx.work(Owner::Tune, &title, Command::Tune(Box::new(command))));
    }

    /// The name that was typed, or the next number; one that no run has.
    fn free_name(&self, runs: &Path) -> String {
        let typed: String =
            self.name.trim().chars().map(|c| if c.is_alphanumeric() || "-_. ".contains(c) { c } else { '-' }).collect();
        let typed = typed.trim_matches(['.', ' ']).to_owned();
        let taken = |name: &str| {
            (!platform::IN_BROWSER && platform::exists(&runs.join(name)))
                || self.runs.iter().any(|run| run.run.ends_with(name))
        };
        if !typed.is_empty() && !taken(&typed) {
            return typed;
        }
        let stem = if typed.is_empty() { "run" } else { &typed };
        (1..).map(|n| format!("{stem}-{n}")).find(|name| !taken(name)).unwrap_or_default()
    }

    fn read(&mut self, run: &str, cx: &mut Cx<'_>) {
        let read = ReadRun { run: PathBuf::from(run) };
        self.reading = Some(cx.fetch(Owner::Tune, "Reading a run", Command::ReadRun(read)));
    }

    /// Writes a run's encoder and report to a folder.
    pub fn export_to(&mut self, out: PathBuf, cx: &mut Cx<'_>) {
        let Some(run) = self.to_export.take() else { return };
        self.said = None;
        let export = ExportRun { run, out };
        self.exporting = Some(cx.ask(Owner::Tune, "Exporting a run", Command::ExportRun(export)));
    }

    /// Hears of its jobs.
    pub fn on_event(&mut self, ticket: Ticket, kind: &EventKind, cx: &mut Cx<'_>) {
        if self.running == Some(ticket) {
            self.live.on_event(kind);
            match kind {
                EventKind::Report(report) => {
                    if let Report::Tuned(report) = &**report {
                        let tuned = PathBuf::from(&report.checkpoint);
                        cx.change(|project| project.tuned = Some(tuned));
                        self.live.finished(report);
                    }
                }
                EventKind::Failed { error, .. } => {
                    self.cut = cx.settings.tuning.clone().filter(|_| error == STOPPED);
                    self.error = Some(error.clone());
                }
                EventKind::Steps(_) => self.stepped = true,
                _ => {}
            }
            if kind.is_end() {
                cx.settings.tuning = None;
                self.refresh(cx);
                cx.act(Action::Refresh);
            }
            return;
        }
        match kind {
            EventKind::Report(report) => match &**report {
                Report::Runs(runs) if self.listing == Some(ticket) => {
                    self.runs.clone_from(runs);
                    if !std::mem::replace(&mut self.greeted, true)
                        && !self.is_running(cx)
                        && let Some(run) = self.unfinished()
                    {
                        let name = runs::name(run).to_owned();
                        let run = run.run.clone();
                        if platform::IN_BROWSER && cx.settings.tuning.as_deref() == Some(Path::new(&run)) {
                            // The tab was closed in the middle: nobody asked it to stop.
                            cx.act(Action::Note(format!(
                                "The tuning “{name}” goes on where it was when the tab was closed."
                            )));
                            return self.resume(&run, cx);
                        }
                        cx.act(Action::Note(format!(
                            "The tuning “{name}” was stopped before its end. It can go on where it stopped: choose \
                             “Resume” on the page Tune."
                        )));
                    }
                    // The last run is shown when nothing else is.
                    if self.live.is_empty()
                        && let Some(last) = self.runs.last().map(|run| run.run.clone())
                    {
                        self.read(&last, cx);
                    }
                }
                Report::Run(run) if self.reading == Some(ticket) => self.live.load(run, cx.link.is_open(self.running)),
                Report::Estimate(estimate) if self.estimating == Some(ticket) => self.estimate = Some(estimate.clone()),
                Report::ExportedRun(exported) if self.exporting == Some(ticket) => {
                    self.said =
                        Some(format!("The encoder lies in {}, the report in {}.", exported.model, exported.report));
                }
                _ => {}
            },
            EventKind::Failed { error, .. } if self.listing != Some(ticket) => self.error = Some(error.clone()),
            _ => {}
        }
    }

    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::title(
            ui,
            "Tune",
            "The language model says which passages lead it to the right answer; the encoder learns to find those.",
        );
        if cx.project.is_none() {
            return no_project(ui, cx);
        }
        if let Some(error) = &self.error
            && widgets::failure(ui, error)
        {
            self.error = None;
        }
        if let Some(said) = &self.said {
            ui.colored_label(palette(ui).good, said);
        }
        ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
            if self.is_running(cx) {
                self.running_card(ui, cx);
                self.live.ui(ui);
            } else if self.runs.is_empty() {
                self.start_card(ui, cx);
                self.live.ui(ui);
            } else {
                // Whoever has a run wants to see it first.
                let new = eframe::egui::CollapsingHeader::new("A new tuning").id_salt("new-tuning");
                new.show(ui, |ui| self.start_card(ui, cx));
                self.live.ui(ui);
            }
            self.runs_card(ui, cx);
        });
    }

    fn running_card(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let Some(ticket) = self.running else { return };
        let Some(job) = cx.link.job(ticket).cloned() else { return };
        widgets::card(ui, |ui| {
            ui.horizontal(|ui| {
                widgets::section(ui, &job.title);
                let paused = job.state == JobState::Paused;
                if paused {
                    widgets::badge(ui, "paused", palette(ui).warn);
                }
                if ui.button(if paused { "Go on" } else { "Pause" }).clicked() {
                    if paused { cx.link.resume(ticket) } else { cx.link.pause(ticket) }
                }
                if ui.button("Stop").on_hover_text("What was done is saved; the run can go on later").clicked() {
                    cx.link.cancel(ticket);
                }
                if ui.button("Search meanwhile").clicked() {
                    cx.act(Action::Go(Page::Query));
                }
            });
            match &job.progress {
                Some(progress) => widgets::progress(ui, progress),
                None => drop(ui.weak("waiting for what runs before it")),
            }
            for warning in &job.warnings {
                ui.colored_label(palette(ui).warn, warning);
            }
        });
    }

    fn start_card(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        let missing = self.missing(cx);
        let Some(settings) = &mut self.settings else { return };
        let mut start = false;
        let mut estimate = false;
        widgets::card(ui, |ui| {
            if settings::ui(ui, settings) {
                self.estimate = None;
            }
            ui.separator();
            ui.horizontal_wrapped(|ui| {
                start = widgets::primary_if(ui, "Start tuning", missing).clicked();
                let label = ui.label("name");
                ui.add(eframe::egui::TextEdit::singleline(&mut self.name).hint_text("run-1").desired_width(110.0))
                    .labelled_by(label.id);
                let can = missing.is_none();
                let button = ui.add_enabled(can, eframe::egui::Button::new("Estimate the cost"));
                estimate = button.on_hover_text("Measures a small part: some seconds").clicked();
                if let Some(missing) = missing {
                    ui.weak(missing);
                }
            });
            if self.estimating.is_some_and(|ticket| cx.link.is_open(Some(ticket))) {
                ui.spinner();
            }
            if let Some(estimate) = &self.estimate {
                estimate_ui(ui, estimate);
            }
        });
        if estimate && let Some(command) = self.command(None, cx) {
            self.estimate = None;
            self.estimating =
                Some(cx.ask(Owner::Tune, "Estimating the cost", Command::EstimateTuning(Box::new(command))));
        }
        if start {
            self.start(cx);
        }
    }

    fn runs_card(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        if self.runs.is_empty() {
            return;
        }
        let running = self.is_running(cx);
        let used = cx.project.and_then(|project| project.project.tuned.clone());
        match runs::ui(ui, &self.runs, &mut self.compared, used.as_deref(), running) {
            Some(runs::Picked::Show(run)) => self.read(&run, cx),
            Some(runs::Picked::Resume(run)) => self.resume(&run, cx),
            Some(runs::Picked::Use(checkpoint)) => cx.change(|project| project.tuned = Some(PathBuf::from(checkpoint))),
            Some(runs::Picked::Export(run)) => self.to_export = Some(PathBuf::from(run)),
            None => {}
        }
        let Some(run) = self.to_export.clone() else { return };
        ui.horizontal_wrapped(|ui| {
            ui.label(format!(
                "Export {} to",
                run.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
            ));
            if ui.button("Choose a folder…").clicked() {
                cx.dialogs.open(crate::dialog::Purpose::ExportRun);
            }
            let field = widgets::field(ui, "Folder for the export", &mut self.export_path, "or its path", 260.0);
            let entered = widgets::entered(&field);
            if (ui.button("Export").clicked() || entered) && !self.export_path.trim().is_empty() {
                let out = PathBuf::from(self.export_path.trim());
                self.export_to(out, cx);
            }
            if ui.button("Cancel").clicked() {
                self.to_export = None;
            }
        });
    }

    /// A run that can be gone on with.
    fn unfinished(&self) -> Option<&RunReport> {
        self.runs.iter().find(|run| run.state == RunState::Unfinished)
    }

    /// Whether the runs were listed and there is none.
    pub fn has_runs(&self) -> bool {
        !self.runs.is_empty()
    }
}

fn estimate_ui(ui: &mut Ui, estimate: &EstimateReport) {
    let total = estimate.pool_seconds + estimate.train_seconds + estimate.evaluation_seconds;
    widgets::tiles(
        ui,
        &[
            ("time in all", widgets::duration(total), "on this device, with nothing else running"),
            (
                "pairs to judge",
                widgets::count(estimate.pairs),
                "questions times passages that the language model judges",
            ),
            ("judged before", widgets::count(estimate.cached_pairs), "pairs in the score cache"),
            ("pools", widgets::duration(estimate.pool_seconds), ""),
            ("steps", widgets::count(estimate.steps), ""),
            ("training", widgets::duration(estimate.train_seconds), ""),
            ("evaluation", widgets::duration(estimate.evaluation_seconds), "on dev and test questions"),
            ("memory", widgets::bytes(estimate.memory_bytes), "models, optimiser and one batch"),
        ],
    );
    for note in &estimate.notes {
        ui.weak(note);
    }
}
