//! The first page: projects, the sample world, and what to do next.

use std::path::{Path, PathBuf};

use eframe::egui::{RichText, Ui};
use ragtune_engine::command::SampleSize;
use ragtune_engine::event::ProjectReport;

use super::{Action, Cx, Page};
use crate::dialog::Purpose;
use crate::platform;
use crate::theme::palette;
use crate::widgets;

/// Name of the sample world's folder below [`Settings::home`](crate::settings::Settings::home).
const SAMPLE: &str = "sample-world";

/// What the page holds.
#[derive(Default)]
pub struct Home {
    path: String,
    /// How large the sample world is made; the demo's size.
    pub sample: SampleSize,
    /// Of the browser's storage: bytes of ragtune's files, bytes granted, whether the browser keeps them.
    pub storage: Option<(u64, u64, bool)>,
    /// What computes in the browser, and whether jobs hear while they work.
    pub engine: Option<(String, bool)>,
    /// The user is asked whether everything is to go.
    wiping: bool,
    /// The user is asked whether this project is to go.
    removing: Option<PathBuf>,
}

impl Home {
    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::title(ui, "ragtune", "Tune a retriever to your language model and your documents.");
        if let Some(project) = cx.project {
            overview(ui, project, cx);
            ui.add_space(10.0);
        }
        widgets::card(ui, |ui| {
            widgets::section(ui, "Try the sample world");
            ui.label(
                "An invented world of 1,000 passages and 700 questions with a small reader. One click makes the \
                 project, builds its index and tunes the retriever: some minutes on a plain computer, and you can \
                 search while it runs.",
            );
            if widgets::primary(ui, "Try the sample world").clicked() {
                cx.act(Action::Open(cx.settings.home.join(SAMPLE), Some(self.sample)));
            }
        });
        widgets::card(ui, |ui| {
            widgets::section(ui, "Your own documents");
            if platform::IN_BROWSER {
                ui.label(
                    "A project keeps its documents, index and tunings in this browser. Give it a name, then drop files on \
                     the window.",
                );
            } else {
                ui.label(
                    "A project is a plain folder: ragtune keeps its index and its tunings there, beside a small settings \
                     file. The command line works with the same folder. Your documents may lie anywhere.",
                );
            }
            ui.horizontal_wrapped(|ui| {
                let (name, hint) = if platform::IN_BROWSER {
                    ("Project name", "my-project")
                } else {
                    if ui.button("Open a folder…").clicked() {
                        cx.dialogs.open(Purpose::Project);
                    }
                    ui.label("or type its path:");
                    ("Project folder", "/home/me/my-project")
                };
                let field = widgets::field(ui, name, &mut self.path, hint, 280.0);
                let entered = widgets::entered(&field);
                if (ui.button("Open").clicked() || entered) && !self.path.trim().is_empty() {
                    let path = PathBuf::from(self.path.trim());
                    // In a browser a name is a folder among the others; a path stays what it is.
                    let path = if platform::IN_BROWSER { cx.settings.home.join(path) } else { path };
                    cx.act(Action::Open(path, None));
                }
            });
        });
        if platform::IN_BROWSER {
            self.browser(ui, cx);
        }
        if cx.settings.recent.is_empty() {
            return;
        }
        ui.add_space(6.0);
        widgets::section(ui, "Recent projects");
        for folder in cx.settings.recent.clone() {
            ui.horizontal(|ui| {
                let name = folder.file_name().map_or_else(|| "/".into(), |name| name.to_string_lossy());
                if ui.button(RichText::new(name).strong()).on_hover_text("Open this project").clicked() {
                    cx.act(Action::Open(folder.clone(), None));
                }
                ui.weak(folder.display().to_string());
                if platform::IN_BROWSER {
                    // Nobody else sees this folder: what is only taken off the list would take room for ever.
                    self.removal(ui, &folder, cx);
                } else if ui.small_button("Forget").on_hover_text("Take it off this list; the folder stays").clicked() {
                    cx.act(Action::Forget(folder.clone()));
                }
            });
        }
    }
}

impl Home {
    fn removal(&mut self, ui: &mut Ui, folder: &Path, cx: &mut Cx<'_>) {
        if self.removing.as_deref() != Some(folder) {
            if ui.small_button("Remove…").on_hover_text("Its index, tunings and models leave this browser").clicked()
            {
                self.removing = Some(folder.to_owned());
            }
            return;
        }
        ui.label("Remove its index, tunings and models?");
        if ui.small_button("Remove").clicked() {
            self.removing = None;
            cx.act(Action::Remove(folder.to_owned()));
        }
        if ui.small_button("Keep").clicked() {
            self.removing = None;
        }
    }

    /// What is special about a tab: where files lie, and what computes.
    fn browser(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::card(ui, |ui| {
            widgets::section(ui, "In this browser");
            ui.label("Nothing leaves this machine: documents, models and tunings lie in this browser's own storage.");
            match &self.engine {
                Some((device, listens)) => {
                    ui.label(format!("Computes: {device}."));
                    if !listens {
                        ui.weak(
                            "This browser cannot interrupt WebAssembly (JSPI): a search waits while a tuning runs, and \
                             Stop starts the engine again from what was saved.",
                        );
                    }
                }
                None => drop(ui.weak("The engine is starting.")),
            }
            if let Some((files, quota, kept)) = self.storage {
                let kept = if kept {
                    "kept until you remove them"
                } else {
                    "the browser may clear them when its disk is full"
                };
                ui.label(format!("Storage: {} of {}; {kept}.", widgets::bytes(files), widgets::bytes(quota)));
            }
            ui.horizontal_wrapped(|ui| {
                if let Some(project) = cx.project
                    && ui.button("Export this project as zip").clicked()
                {
                    platform::deliver(&project.folder);
                }
                if self.wiping {
                    ui.label("Remove all projects, models and documents from this browser?");
                    if ui.button("Remove everything").clicked() {
                        self.wiping = false;
                        platform::wipe();
                    }
                    if ui.button("Keep").clicked() {
                        self.wiping = false;
                    }
                } else if ui.button("Clear storage…").clicked() {
                    self.wiping = true;
                }
            });
        });
    }
}

/// How far the project is, step by step.
fn overview(ui: &mut Ui, report: &ProjectReport, cx: &mut Cx<'_>) {
    let project = &report.project;
    widgets::card(ui, |ui| {
        ui.horizontal(|ui| {
            widgets::section(ui, if project.name.is_empty() { "This project" } else { &project.name });
            ui.weak(report.folder.display().to_string());
        });
        let passages = report.passages.map(|n| format!("{} passages in the index", widgets::count(n)));
        let named = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned())
        };
        let models = match (named(&project.encoder), named(&project.llm)) {
            (Some(encoder), Some(llm)) => Some(format!("encoder “{encoder}”, language model “{llm}”")),
            _ => None,
        };
        let steps: [(Page, &str, Option<String>, &str); 5] = [
            (Page::Models, "Models", models, "choose an encoder and a language model"),
            (Page::Corpus, "Corpus", passages, "add documents"),
            (Page::Questions, "Questions", named(&project.questions), "bring questions with answers"),
            (Page::Tune, "Tuning", named_run(&project.tuned), "tune the retriever"),
            (Page::Query, "Query", None, "search and compare"),
        ];
        let next = steps.iter().position(|(_, _, done, _)| done.is_none());
        for (at, (page, name, done, todo)) in steps.into_iter().enumerate() {
            ui.horizontal(|ui| {
                let colours = palette(ui);
                match &done {
                    Some(_) => widgets::badge(ui, "done", colours.good),
                    None if Some(at) == next => widgets::badge(ui, "next", colours.accent),
                    None => widgets::badge(ui, "later", colours.weak),
                };
                if ui.link(name).clicked() {
                    cx.act(Action::Go(page));
                }
                ui.weak(done.unwrap_or_else(|| todo.to_owned()));
            });
        }
    });
}

/// The run that a tuned encoder comes from: RUN/best.
fn named_run(path: &Option<PathBuf>) -> Option<String> {
    let run = path.as_ref()?.parent()?.file_name()?;
    Some(format!("run “{}”", run.to_string_lossy()))
}
