//! A window without a screen, and what is done with it by the names that a screen reader reads.

#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of this")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eframe::egui;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _, by};
use ragtune_app::pages::Page;
use ragtune_app::{App, Settings};
use ragtune_engine::command::{EncoderSource, OpenProject, SampleSize, UpdateIndex};
use ragtune_engine::{Command, EventKind, Session};

/// How long a test waits for an engine before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs a command without a window.
pub fn run(command: Command) {
    let mut session = Session::spawn().unwrap();
    session.submit(command);
    for event in session.events() {
        match event.kind {
            EventKind::Failed { error, .. } => panic!("{error}"),
            EventKind::Finished { .. } => return,
            _ => {}
        }
    }
}

/// A small sample world with its index.
pub fn sample_world(folder: &Path) {
    let sample = Some(SampleSize { passages: 120, questions: 60 });
    run(Command::OpenProject(OpenProject { folder: folder.to_owned(), sample }));
    run(Command::UpdateIndex(UpdateIndex {
        sources: vec![folder.join("world/corpus.jsonl")],
        tokenizer: None,
        encoder: Some(EncoderSource { folder: folder.join("models/encoder"), head: None }),
        memory: None,
        index: folder.join("index"),
    }));
}

/// A tuning of some steps instead of minutes.
pub fn shorten(project: &Path) {
    let file = project.join("project.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    json["tune"]["offline_epochs"] = 2.into();
    json["tune"]["online_epochs"] = 1.into();
    json["tune"]["k"] = 6.into();
    json["tune"]["m"] = 6.into();
    json["tune"]["batch"] = 8.into();
    std::fs::write(&file, json.to_string()).unwrap();
}

/// A window for tests.
pub struct Window {
    pub harness: Harness<'static, App>,
}

impl Window {
    /// A window of a usual size whose projects lie in a folder.
    pub fn open(home: &Path, project: Option<&Path>) -> Self {
        Self::sized(home, project, [1180.0, 800.0], egui::Theme::Dark)
    }

    /// A window of any size and theme.
    pub fn sized(home: &Path, project: Option<&Path>, size: [f32; 2], theme: egui::Theme) -> Self {
        let look = match theme {
            egui::Theme::Dark => ragtune_app::settings::Look::Dark,
            egui::Theme::Light => ragtune_app::settings::Look::Light,
        };
        let settings = Settings { home: home.to_owned(), look, ..Settings::default() };
        let project = project.map(Path::to_owned);
        let harness =
            Harness::builder().with_size(size).with_theme(theme).with_max_steps(64).build_eframe(|creation| {
                let mut app = App::new(&creation.egui_ctx, settings, project).expect("the engines start");
                // The demo's world would take minutes.
                app.set_sample_size(SampleSize { passages: 120, questions: 60 });
                app
            });
        Self { harness }
    }

    pub fn app(&mut self) -> &mut App {
        self.harness.state_mut()
    }

    /// Draws frames until something holds; panics, with what the window says, when it never does.
    pub fn wait(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        loop {
            self.harness.step();
            if holds(self) {
                // Whatever follows from it is drawn too.
                self.harness.step();
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{what} never came; the window says:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for a text on the screen.
    pub fn wait_for(&mut self, text: &str) {
        self.wait(text, |window| window.shows(text));
    }

    /// Whether a label or value holds a text.
    pub fn shows(&self, text: &str) -> bool {
        self.harness.query_all(by().predicate(|node| holds(node, text))).next().is_some()
    }

    /// Everything that is written in the window.
    pub fn text(&self) -> String {
        let all = self.harness.query_all(by().predicate(|_| true));
        let text = |node: egui_kittest::Node<'_>| {
            let node = node.accesskit_node();
            node.label().or_else(|| node.value()).unwrap_or_default()
        };
        all.map(text).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// Clicks on what has this name, once it is there.
    pub fn click(&mut self, name: &str) {
        self.wait(&format!("“{name}”"), |window| window.button(name).is_some());
        self.button(name).expect("was there").click_accesskit();
        self.harness.step();
        self.harness.step();
    }

    /// Writes into the field with this name, instead of what is in it.
    pub fn write(&mut self, name: &str, text: &str) {
        self.wait(&format!("the field “{name}”"), |window| window.field(name).is_some());
        self.field(name).expect("was there").focus();
        self.harness.step();
        self.harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::A);
        self.harness.step();
        self.field(name).expect("was there").type_text(text);
        self.harness.step();
        self.harness.step();
    }

    /// What can be clicked by this name: a heading of the same words cannot.
    fn button<'a>(&'a self, name: &'a str) -> Option<egui_kittest::Node<'a>> {
        self.harness.query_all_by_label(name).find(|node| node.accesskit_node().role() != egui::accesskit::Role::Label)
    }

    fn field<'a>(&'a self, name: &'a str) -> Option<egui_kittest::Node<'a>> {
        let input = |node: &egui_kittest::kittest::AccessKitNode<'_>| {
            node.is_text_input() && node.label().as_deref() == Some(name)
        };
        self.harness.query_all(by().predicate(input)).next()
    }

    pub fn press(&mut self, key: egui::Key) {
        self.harness.key_press(key);
        self.harness.step();
        self.harness.step();
    }

    pub fn press_command(&mut self, key: egui::Key) {
        self.harness.key_press_modifiers(egui::Modifiers::COMMAND, key);
        self.harness.step();
        self.harness.step();
    }

    pub fn go(&mut self, page: Page) {
        self.click(&format!("Page {}", page.name()));
        assert_eq!(self.app().page(), page);
    }

    /// Drops files on the window.
    pub fn drop_files(&mut self, paths: &[PathBuf]) {
        for path in paths {
            self.harness.input_mut().dropped_files.push(std::sync::Arc::new(Dropped(path.clone())));
        }
        self.harness.step();
        self.harness.step();
    }

    /// Waits until nothing runs any more.
    pub fn wait_for_rest(&mut self) {
        let start = Instant::now();
        loop {
            self.harness.step();
            if !self.app().link().jobs().any(|job| job.is_open()) {
                self.harness.step();
                if !self.app().link().jobs().any(|job| job.is_open()) {
                    return;
                }
            }
            assert!(start.elapsed() < PATIENCE, "work never ended; the window says:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn holds(node: &egui_kittest::kittest::AccessKitNode<'_>, text: &str) -> bool {
    let has = |part: Option<String>| part.is_some_and(|part| part.contains(text));
    has(node.label()) || has(node.value())
}

/// A file that was dropped.
#[derive(Debug)]
struct Dropped(PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|error| error.to_string())
    }
}
