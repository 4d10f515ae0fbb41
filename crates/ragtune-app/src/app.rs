//! The window: navigation, the open project, the state of work, and the pages between them.

mod about;
mod frame;
mod keys;

use std::io;
use std::path::{Path, PathBuf};

use eframe::egui;
use ragtune_engine::command::{Command, OpenProject, Project, SampleSize, SaveProject};
use ragtune_engine::event::{EventKind, ProjectReport, Report};

use crate::dialog::{Dialogs, Purpose};
use crate::link::{Line, Link, Owner, Ticket};
use crate::pages::corpus::Corpus;
use crate::pages::explain::Explain;
use crate::pages::home::Home;
use crate::pages::models::{Models, Role};
use crate::pages::query::Query;
use crate::pages::questions::Questions;
use crate::pages::tune::Tune;
use crate::pages::{Action, Cx, Page};
use crate::platform::{self, Told};
use crate::settings::Settings;
use crate::theme;

/// The window.
pub struct App {
    /// What it remembers.
    pub settings: Settings,
    link: Link,
    dialogs: Dialogs,
    project: Option<ProjectReport>,
    opening: Option<Ticket>,
    /// Changes of the project while it is being saved or read, newest last.
    actions: Vec<Action>,
    /// The sample world is on its way from nothing to a tuned retriever.
    sample_flow: bool,
    home: Home,
    corpus: Corpus,
    questions: Questions,
    models: Models,
    tune: Tune,
    query: Query,
    explain: Explain,
    /// Errors that belong to no page.
    errors: Vec<String>,
    /// News that belong to no page.
    notes: Vec<String>,
    about: bool,
    jobs: bool,
    leaving: bool,
    /// A line about files that are on their way.
    status: Option<String>,
    /// The settings as they were stored last, in a tab.
    stored: Option<Settings>,
    /// What was told last of what the window shows.
    announced: String,
    /// What jobs write for the user.
    to_deliver: Vec<(Ticket, PathBuf)>,
    crash_key: bool,
}

impl App {
    /// A window with its engines. `wake` asks for a frame, from any thread.
    ///
    /// # Errors
    /// When the engines' threads cannot be started.
    pub fn new(ctx: &egui::Context, settings: Settings, project: Option<PathBuf>) -> io::Result<Self> {
        theme::install(ctx);
        ctx.set_theme(settings.look.preference());
        ctx.set_zoom_factor(settings.zoom);
        let waker = ctx.clone();
        let wake = move || waker.request_repaint();
        let mut app = Self {
            link: Link::start(wake.clone())?,
            dialogs: Dialogs::new(wake),
            settings,
            project: None,
            opening: None,
            actions: Vec::new(),
            sample_flow: false,
            home: Home::default(),
            corpus: Corpus::default(),
            questions: Questions::default(),
            models: Models::default(),
            tune: Tune::default(),
            query: Query::default(),
            explain: Explain::default(),
            errors: Vec::new(),
            notes: Vec::new(),
            about: false,
            jobs: false,
            leaving: false,
            status: None,
            stored: None,
            announced: String::new(),
            to_deliver: Vec::new(),
            crash_key: false,
        };
        if let Some(folder) = project {
            app.open(folder, None);
        }
        Ok(app)
    }

    /// The page that is shown.
    pub fn page(&self) -> Page {
        self.settings.page
    }

    /// The open project.
    pub fn project(&self) -> Option<&ProjectReport> {
        self.project.as_ref()
    }

    /// The engines with their jobs.
    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// How large the sample world is made by its button.
    pub fn set_sample_size(&mut self, size: SampleSize) {
        self.home.sample = size;
    }

    /// Lets Ctrl+Shift+F12 end the engine that works as a crash would. For `cargo xtask screens --quick`, which sees that
    /// the window outlives it.
    #[doc(hidden)]
    pub fn allow_crash_key(&mut self) {
        self.crash_key = true;
    }

    /// Opens a project's folder.
    pub fn open(&mut self, folder: PathBuf, sample: Option<SampleSize>) {
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        self.sample_flow = sample.is_some();
        let command = Command::OpenProject(OpenProject { folder, sample });
        let title = if sample.is_some() { "Making the sample world" } else { "Opening the project" };
        self.opening = Some(self.link.send(Owner::App, Line::Work, title, command));
    }

    /// Shows a page.
    pub fn go(&mut self, page: Page) {
        self.settings.page = page;
        if page == Page::Query {
            self.query.focus();
        }
    }

    /// Hands news to whom they concern, and carries out what pages asked for. Called before every frame.
    pub fn logic(&mut self, ctx: &egui::Context) {
        for news in self.link.poll() {
            self.hear(&news.kind, news.ticket, news.owner);
        }
        for line in self.link.take_restarted() {
            let which = if line == Line::Work { "The engine that works" } else { "An engine" };
            self.errors.push(format!("{which} stopped and was started again. Nothing that was saved is lost."));
            if line == Line::Work {
                self.with_cx(|app, cx| app.tune.engine_restarted(cx));
            }
        }
        for told in platform::told() {
            self.told(told);
        }
        for (purpose, paths) in self.dialogs.poll() {
            self.chosen(purpose, paths);
        }
        self.dropped(ctx);
        self.carry_out();
        if platform::IN_BROWSER {
            let text = self.in_words();
            if text != self.announced {
                platform::announce(&text);
                self.announced = text;
            }
        }
        // Figures that count seconds move on without events.
        if self.link.jobs().any(|job| job.is_open() && !job.quiet) {
            ctx.request_repaint_after(std::time::Duration::from_millis(250));
        }
    }

    /// The page, the work and the errors in a few words.
    fn in_words(&self) -> String {
        let page = Page::ALL.iter().find(|(page, _)| *page == self.settings.page).map_or("", |(_, name)| name);
        let mut words = format!("Page {page}.");
        if let Some(project) = &self.project {
            words.push_str(&format!(" Project {}.", project.project.name));
            if let Some(encoder) = project.project.encoder.as_ref().and_then(|encoder| encoder.file_name()) {
                words.push_str(&format!(" Encoder {}.", encoder.to_string_lossy()));
            }
        }
        if let Some((device, _)) = self.home.engine.as_ref().filter(|_| self.settings.page == Page::Home) {
            words.push_str(&format!(" Computes: {device}."));
        }
        if self.settings.page == Page::Query {
            words.push_str(&format!(" {} hits.", self.query.count()));
        }
        for job in self.link.jobs().filter(|job| job.is_open() && !job.quiet) {
            words.push_str(&format!(" {}", job.title));
            if let Some(progress) = &job.progress {
                words.push_str(&format!(": {}, {} of {}", progress.label, progress.done, progress.total.unwrap_or(0)));
            }
            words.push('.');
        }
        if let Some(last) = self.link.jobs().rfind(|job| !job.is_open() && !job.quiet) {
            words.push_str(&format!(" Last: {}: {:?}.", last.title, last.state));
        }
        self.notes.iter().for_each(|note| words.push_str(&format!(" Note: {note}")));
        self.errors.iter().for_each(|error| words.push_str(&format!(" Error: {error}")));
        words
    }

    /// What the platform tells beside jobs.
    fn told(&mut self, told: Told) {
        match told {
            Told::Error(error) => self.errors.push(error),
            Told::Status(status) => self.status = status,
            Told::Storage { files, quota, kept } => self.home.storage = Some((files, quota, kept)),
            Told::Engine { device, listens } => self.home.engine = Some((device, listens)),
            Told::Wiped => {
                self.project = None;
                self.settings.recent.clear();
                self.settings.models.clear();
                self.notes.push("Everything was removed from this browser's storage.".to_owned());
                self.link.kill(Line::Work);
            }
        }
    }

    fn hear(&mut self, kind: &EventKind, ticket: Ticket, owner: Owner) {
        if kind.is_end()
            && let Some(at) = self.to_deliver.iter().position(|(known, _)| *known == ticket)
        {
            let (_, path) = self.to_deliver.remove(at);
            if matches!(kind, EventKind::Finished { .. }) {
                platform::deliver(&path);
            }
        }
        match owner {
            Owner::App => self.own(kind, ticket),
            Owner::Query => self.query.on_event(ticket, kind),
            Owner::Explain => self.explain.on_event(ticket, kind),
            _ => self.with_cx(|app, cx| match owner {
                Owner::Corpus => app.corpus.on_event(ticket, kind, cx),
                Owner::Models => app.models.on_event(ticket, kind, cx),
                Owner::Questions => app.questions.on_event(ticket, kind, cx),
                _ => app.tune.on_event(ticket, kind, cx),
            }),
        }
    }

    /// News of the window's own jobs.
    fn own(&mut self, kind: &EventKind, ticket: Ticket) {
        match kind {
            EventKind::Report(report) => {
                if let Report::Project(report) = &**report {
                    self.opened((**report).clone(), self.opening == Some(ticket));
                }
            }
            EventKind::Failed { error, .. } => {
                self.errors.push(error.clone());
                self.sample_flow &= self.opening != Some(ticket);
            }
            _ => {}
        }
        if kind.is_end() && self.opening == Some(ticket) {
            self.opening = None;
        }
    }

    fn opened(&mut self, report: ProjectReport, anew: bool) {
        let other = self.project.as_ref().is_none_or(|known| known.folder != report.folder);
        let had = self.project.as_ref().and_then(|known| known.passages);
        let passages = report.passages;
        if other || anew {
            self.link.record_to(Some(report.folder.join(ragtune_engine::project::TRANSCRIPT)));
            self.settings.remember(&report.folder);
        }
        self.project = Some(report);
        if other {
            self.corpus.reset();
            self.questions.reset();
            self.models.reset();
            self.tune.reset();
            self.query.reset();
            self.explain.reset();
        }
        self.with_cx(|app, cx| {
            if other {
                app.models.refresh(cx);
                app.questions.refresh(cx);
                app.tune.refresh(cx);
            }
            if other || had != passages {
                app.corpus.refresh(cx);
            }
            if !other && had.is_none() && passages.is_some() {
                app.query.index_is_there(cx);
            }
        });
        self.go_on_with_sample();
    }

    /// The next step from an empty folder to a tuned retriever: index, tuning, search.
    fn go_on_with_sample(&mut self) {
        let Some(project) = self.project.as_ref().filter(|_| self.sample_flow) else { return };
        if project.passages.is_none() {
            self.settings.page = Page::Corpus;
            self.actions.push(Action::UpdateIndex);
        } else if project.project.tuned.is_none() {
            self.sample_flow = false;
            // Whoever went somewhere else meanwhile stays there.
            if self.settings.page == Page::Corpus {
                self.settings.page = Page::Tune;
            }
            self.with_cx(|app, cx| {
                if !app.tune.is_running(cx) && !app.tune.has_runs() {
                    app.tune.start(cx);
                }
            });
        } else {
            self.sample_flow = false;
            self.go(Page::Query);
        }
    }

    /// Lets pages work with everything but themselves.
    fn with_cx<R>(&mut self, work: impl FnOnce(&mut Pages<'_>, &mut Cx<'_>) -> R) -> R {
        let mut pages = Pages {
            home: &mut self.home,
            corpus: &mut self.corpus,
            questions: &mut self.questions,
            models: &mut self.models,
            tune: &mut self.tune,
            query: &mut self.query,
            explain: &mut self.explain,
        };
        let mut cx = Cx {
            link: &mut self.link,
            project: self.project.as_ref(),
            dialogs: &self.dialogs,
            settings: &mut self.settings,
            actions: &mut self.actions,
        };
        work(&mut pages, &mut cx)
    }

    fn carry_out(&mut self) {
        // Actions may ask for more.
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Go(page) => self.go(page),
                Action::Open(folder, sample) => self.open(folder, sample),
                Action::Change(project) => self.change(*project),
                Action::UpdateIndex => {
                    let none = self.project.as_ref().is_some_and(|project| project.project.sources.is_empty());
                    if !none {
                        self.with_cx(|app, cx| app.corpus.update(cx));
                    }
                }
                Action::Refresh => self.look_again(),
                Action::Explain(what) => {
                    self.with_cx(|app, cx| app.explain.show(*what, cx));
                    self.go(Page::Explain);
                }
                Action::Note(text) => self.notes.push(text),
                Action::Forget(folder) => self.settings.recent.retain(|known| *known != folder),
                Action::Remove(folder) => self.remove(&folder),
                Action::UseShippedModels => self.with_cx(|app, cx| app.models.ship(cx)),
                Action::ShowPassage(id) => {
                    self.with_cx(|app, cx| app.corpus.show_passage(&id, cx));
                    self.go(Page::Corpus);
                }
            }
        }
    }

    /// Removes a project from the browser's storage.
    fn remove(&mut self, folder: &Path) {
        if self.link.jobs().any(|job| job.is_open() && !job.quiet) {
            let text =
                "Something is at work, perhaps in this project: stop it, or wait for its end, then remove the project.";
            self.errors.push(text.to_owned());
            return;
        }
        self.settings.recent.retain(|known| known != folder);
        if self.project.as_ref().is_some_and(|project| project.folder == folder) {
            self.project = None;
            self.link.record_to(None);
        }
        platform::remove(folder);
    }

    /// Reads the project's folder again.
    fn look_again(&mut self) {
        let Some(folder) = self.project.as_ref().map(|project| project.folder.clone()) else { return };
        let command = Command::OpenProject(OpenProject { folder, sample: None });
        self.link.send_quietly(Owner::App, Line::Look, "Looking at the project", command);
    }

    fn change(&mut self, project: Project) {
        let Some(report) = &mut self.project else { return };
        if report.project == project {
            return;
        }
        let encoder = report.project.encoder != project.encoder;
        let questions = report.project.questions != project.questions;
        report.project = project.clone();
        let folder = report.folder.clone();
        let command = Command::SaveProject(Box::new(SaveProject { folder, project }));
        self.link.send_quietly(Owner::App, Line::Look, "Saving the project", command);
        self.with_cx(|app, cx| {
            if questions {
                app.questions.refresh(cx);
            }
            // Another tokenizer may cut otherwise: the index says so by being read again. Documents that were added before
            // there was an encoder are read now.
            let waits = |project: &ProjectReport| project.passages.is_some() || !project.project.sources.is_empty();
            if encoder && cx.project.is_some_and(waits) {
                cx.act(Action::UpdateIndex);
            }
        });
    }

    fn chosen(&mut self, purpose: Purpose, mut paths: Vec<PathBuf>) {
        let first = paths.first().cloned();
        let delivered = first.clone().filter(|_| {
            use Purpose::{ExportHits, ExportModel, ExportRun, ImportModel};
            matches!(purpose, ExportRun | ExportModel | ImportModel | ExportHits)
        });
        self.with_cx(|app, cx| match (purpose, first) {
            (Purpose::CorpusFiles | Purpose::CorpusFolder, _) => app.corpus.add(std::mem::take(&mut paths), cx),
            (Purpose::Project, Some(path)) => cx.act(Action::Open(path, None)),
            (Purpose::Questions, Some(path)) => app.questions.import(path, cx),
            (Purpose::Encoder, Some(path)) => app.models.choose(path, Role::Encoder, cx),
            (Purpose::LanguageModel, Some(path)) => app.models.choose(path, Role::LanguageModel, cx),
            (Purpose::ExportRun, Some(path)) => app.tune.export_to(path, cx),
            (Purpose::ExportModel, Some(path)) => app.models.export_to(path, cx),
            (Purpose::ImportModel, Some(path)) => app.models.import_to(path, cx),
            (Purpose::ExportHits, Some(path)) => app.query.export(path, cx),
            (_, None) => {}
        });
        if let Some(path) = delivered
            && let Some(job) = self.link.jobs().next_back()
        {
            self.to_deliver.push((job.ticket, path));
        }
    }

    /// Files that were dropped on the window: documents, or questions on their page.
    fn dropped(&mut self, ctx: &egui::Context) {
        let files = platform::dropped(ctx);
        if files.is_empty() {
            return;
        }
        if self.project.is_none() {
            match &files[..] {
                [folder] if !platform::IN_BROWSER && platform::is_dir(folder) => self.open(folder.clone(), None),
                _ => self.errors.push(
                    "Open a project first: documents belong to one. A dropped folder is opened as a project."
                        .to_owned(),
                ),
            }
            return;
        }
        if self.page() == Page::Questions {
            self.with_cx(|app, cx| files.into_iter().for_each(|file| app.questions.import(file, cx)));
        } else {
            self.go(Page::Corpus);
            self.with_cx(|app, cx| app.corpus.add(files, cx));
        }
    }

    /// Takes back the last change on the page that is shown.
    fn undo(&mut self) {
        let page = self.page();
        self.with_cx(|app, cx| match page {
            Page::Questions => app.questions.undo(),
            Page::Corpus => app.corpus.undo(cx),
            _ => false,
        });
    }
}

/// All pages, apart from the rest of the window.
struct Pages<'a> {
    home: &'a mut Home,
    corpus: &'a mut Corpus,
    questions: &'a mut Questions,
    models: &'a mut Models,
    tune: &'a mut Tune,
    query: &'a mut Query,
    explain: &'a mut Explain,
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, frame: &mut eframe::Frame) {
        Self::logic(self, ctx);
        // A tab ends without a word: what it should remember is written at once.
        if platform::IN_BROWSER && self.stored.as_ref() != Some(&self.settings) {
            if let Some(storage) = frame.storage_mut() {
                self.settings.save(storage);
            }
            self.stored = Some(self.settings.clone());
        }
    }

    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        self.draw(ui);
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        self.settings.save(storage);
    }
}
