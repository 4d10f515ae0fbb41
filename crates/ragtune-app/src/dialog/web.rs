//! The browser's dialogs: what is chosen is copied into the tab's storage first. Saving needs no dialog: what was
//! written is offered as a download.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};

use ragtune_engine::host::bridge;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{File, HtmlInputElement};

use super::Purpose;
use crate::platform::DOCUMENTS;

/// Where folders of models go.
const MODELS: &str = "/models";
/// Where files are written that are only to be downloaded.
const EXPORTS: &str = "/exports";
const KINDS: &str = ".txt,.md,.markdown,.html,.htm,.pdf,.docx,.jsonl,.json,.tsv,.csv,.gz";

/// Open dialogs.
pub struct Dialogs {
    sender: Sender<(Purpose, Vec<PathBuf>)>,
    answers: Receiver<(Purpose, Vec<PathBuf>)>,
    wake: Box<dyn Fn() -> Box<dyn Fn()>>,
}

impl Dialogs {
    /// None open yet. `wake` is called when one is answered.
    pub fn new(wake: impl Fn() + Clone + 'static) -> Self {
        let (sender, answers) = mpsc::channel();
        Self { sender, answers, wake: Box::new(move || Box::new(wake.clone())) }
    }

    /// Opens a dialog.
    pub fn open(&self, purpose: Purpose) {
        match purpose {
            // A folder of its own each time: exporting never writes over a model.
            Purpose::ExportModel | Purpose::ImportModel => {
                let what = if purpose == Purpose::ExportModel { "encoder" } else { "language-model" };
                let name = format!("{what}-{:.0}", js_sys::Date::now());
                self.answer(purpose, Path::new(EXPORTS).join(name));
            }
            Purpose::ExportRun => self.answer(purpose, Path::new(EXPORTS).join("tuned-encoder")),
            Purpose::ExportHits => self.answer(purpose, Path::new(EXPORTS).join("hits.run")),
            Purpose::CorpusFiles => self.pick(purpose, DOCUMENTS, false, true),
            Purpose::Questions => self.pick(purpose, DOCUMENTS, false, false),
            Purpose::CorpusFolder => self.pick(purpose, DOCUMENTS, true, true),
            Purpose::Encoder | Purpose::LanguageModel => self.pick(purpose, MODELS, true, true),
            Purpose::Project => self.pick(purpose, "/projects", true, true),
        }
    }

    fn answer(&self, purpose: Purpose, path: PathBuf) {
        let _ = self.sender.send((purpose, vec![path]));
        (self.wake)()();
    }

    /// An input of the page's own, for a moment.
    fn pick(&self, purpose: Purpose, place: &'static str, folder: bool, many: bool) {
        let (sender, wake) = (self.sender.clone(), (self.wake)());
        let open = || -> Result<(), JsValue> {
            let document = web_sys::window().and_then(|window| window.document()).ok_or("no document")?;
            let input: HtmlInputElement = document.create_element("input")?.dyn_into()?;
            input.set_type("file");
            input.set_multiple(many);
            if folder {
                input.set_attribute("webkitdirectory", "")?;
            } else {
                input.set_accept(KINDS);
            }
            let chosen = input.clone();
            let heard = Closure::once_into_js(move || {
                let paths = keep(&chosen, place, folder);
                if !paths.is_empty() && sender.send((purpose, paths)).is_ok() {
                    wake();
                }
            });
            input.set_onchange(Some(heard.unchecked_ref()));
            input.click();
            Ok(())
        };
        // Without a page there is no dialog.
        let _ = open();
    }

    /// What was chosen since the last call.
    pub fn poll(&self) -> Vec<(Purpose, Vec<PathBuf>)> {
        self.answers.try_iter().collect()
    }
}

/// Sends the chosen files to the worker; gives their paths there, or that of their folder.
fn keep(input: &HtmlInputElement, place: &str, folder: bool) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let Some(files) = input.files() else { return paths };
    for file in (0..files.length()).filter_map(|at| files.get(at)) {
        let inside = relative(&file).filter(|_| folder).unwrap_or_else(|| file.name());
        let path = Path::new(place).join(&inside);
        let shown = match inside.split_once('/') {
            Some((first, _)) if folder => Path::new(place).join(first),
            _ => path.clone(),
        };
        bridge().import(path, &file);
        if !paths.contains(&shown) {
            paths.push(shown);
        }
    }
    paths
}

/// Its path below the folder that was chosen, with the folder's name.
fn relative(file: &File) -> Option<String> {
    let path = js_sys::Reflect::get(file, &"webkitRelativePath".into()).ok()?.as_string()?;
    Some(path).filter(|path| !path.is_empty())
}
