//! Encoder, language model, device.

mod actions;
mod bench;
mod devices;

use std::path::{Path, PathBuf};

use eframe::egui::{RichText, Ui};
use ragtune_engine::DeviceChoice;
use ragtune_engine::command::{Command, ListModels, ModelPath, PullModel, WriteSampleModels};
use ragtune_engine::event::{EventKind, ModelReport, Report};
use ragtune_engine::hub;
use ragtune_engine::models::CHAT;

use self::actions::Actions;
use self::devices::Devices;
use super::Cx;
use super::corpus::no_project;
use crate::dialog::Purpose;
use crate::link::{Line, Owner, Ticket};
use crate::platform;
use crate::widgets;

/// Memory that training takes beside the weights, in weights: gradients and two moments of the optimiser.
const TRAINING: u64 = 3;

/// Which of the two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Finds passages, is tuned.
    Encoder,
    /// Answers, is asked.
    LanguageModel,
}

impl Role {
    fn kind(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::LanguageModel => "llm",
        }
    }
}

/// What the page holds.
#[derive(Default)]
pub struct Models {
    /// Models that were found: in the project's `models` folder, chosen before, in use.
    known: Vec<ModelReport>,
    listing: Option<Ticket>,
    looking: Vec<(Ticket, PathBuf, Option<Role>)>,
    actions: Actions,
    /// The shipped models are on their way.
    shipping: Option<Ticket>,
    /// Models of the Hub that are on their way.
    fetching: Vec<(Ticket, Role)>,
    devices: Devices,
    encoder_path: String,
    llm_path: String,
    error: Option<String>,
}

impl Models {
    /// Forgets another project's models; devices stay.
    pub fn reset(&mut self) {
        let devices = std::mem::take(&mut self.devices);
        *self = Self { devices, ..Self::default() };
    }

    /// Looks for models and devices.
    pub fn refresh(&mut self, cx: &mut Cx<'_>) {
        let Some(report) = cx.project else { return };
        let folder = report.folder.join("models");
        let project = &report.project;
        let mut wanted: Vec<PathBuf> =
            project.encoder.iter().chain(&project.llm).chain(&project.tuned).cloned().collect();
        wanted.extend(cx.settings.models.iter().cloned());
        if platform::is_dir(&folder) {
            self.listing = Some(cx.fetch(Owner::Models, "Listing models", Command::ListModels(ListModels { folder })));
        }
        for path in wanted {
            self.look(path, None, cx);
        }
    }

    /// Writes the encoder that was to be exported to a new folder.
    pub fn export_to(&mut self, out: PathBuf, cx: &mut Cx<'_>) {
        self.actions.export_to(out, cx);
    }

    /// Writes the model that was to be imported to a new folder.
    pub fn import_to(&mut self, out: PathBuf, cx: &mut Cx<'_>) {
        self.actions.import_to(out, cx);
    }

    /// Finds out what a folder holds; takes it for a role if it fits.
    pub fn choose(&mut self, path: PathBuf, role: Role, cx: &mut Cx<'_>) {
        self.error = None;
        self.look(path, Some(role), cx);
    }

    /// Takes what was typed: a path, the address of a folder in a browser, or a model of the Hub, which is fetched first.
    fn choose_typed(&mut self, typed: &str, role: Role, cx: &mut Cx<'_>) {
        if platform::IN_BROWSER || !typed.starts_with(hub::PREFIX) {
            match from_address(typed) {
                Ok(path) => self.choose(path, role, cx),
                Err(error) => self.error = Some(error),
            }
            return;
        }
        self.error = None;
        let command = Command::PullModel(PullModel { model: typed.to_owned(), file: None, offline: false });
        let ticket = cx.link.send(Owner::Models, Line::Work, "Fetching a model", command);
        self.fetching.push((ticket, role));
    }

    fn look(&mut self, path: PathBuf, role: Option<Role>, cx: &mut Cx<'_>) {
        if self.looking.iter().any(|(_, known, wanted)| *known == path && *wanted == role) {
            return;
        }
        let command = Command::ModelInfo(ModelPath { model: path.clone(), device: DeviceChoice::Cpu });
        let ticket = cx.fetch(Owner::Models, "Looking at a model", command);
        self.looking.push((ticket, path, role));
    }

    /// Hears of its jobs.
    pub fn on_event(&mut self, ticket: Ticket, kind: &EventKind, cx: &mut Cx<'_>) {
        if self.devices.on_event(ticket, kind) {
            return;
        }
        let looked = self.looking.iter().position(|(known, ..)| *known == ticket);
        let fetched = self.fetching.iter().find(|(known, _)| *known == ticket).map(|(_, role)| *role);
        if let Some(model) = self.actions.on_event(ticket, kind) {
            self.know(model);
        }
        match kind {
            EventKind::Report(report) => match (&**report, looked) {
                (Report::Models(models), _) => {
                    models.iter().for_each(|model| self.know(model.clone()));
                    if self.shipping == Some(ticket) {
                        take_missing(models, cx);
                    }
                }
                (Report::Model(model), Some(at)) => {
                    let (_, path, role) = self.looking[at].clone();
                    self.know(model.clone());
                    if let Some(role) = role {
                        self.take(model, path, role, cx);
                    }
                }
                (Report::Model(model), None) if fetched.is_some() => {
                    self.know(model.clone());
                    if let Some(role) = fetched {
                        self.take(model, PathBuf::from(&model.folder), role, cx);
                    }
                }
                _ => {}
            },
            EventKind::Failed { error, .. } => {
                // A model that was only looked for may be gone: that is no error until it is wanted.
                let wanted = looked.is_none_or(|at| self.looking[at].2.is_some());
                if wanted && self.listing != Some(ticket) {
                    self.error = Some(error.clone());
                }
            }
            _ => {}
        }
        if kind.is_end() {
            self.looking.retain(|(known, ..)| *known != ticket);
            self.fetching.retain(|(known, _)| *known != ticket);
            self.shipping = self.shipping.filter(|known| *known != ticket);
        }
    }

    fn know(&mut self, model: ModelReport) {
        match self.known.iter_mut().find(|known| known.folder == model.folder) {
            Some(known) => *known = model,
            None => self.known.push(model),
        }
        self.known.sort_by(|a, b| a.folder.cmp(&b.folder));
    }

    fn take(&mut self, model: &ModelReport, path: PathBuf, role: Role, cx: &mut Cx<'_>) {
        if model.kind != role.kind() {
            let (is, wanted) = (name_of_kind(&model.kind), name_of_kind(role.kind()));
            self.error = Some(format!("{}: this is {is}, not {wanted}; choose another folder", path.display()));
            return;
        }
        cx.settings.remember_model(&path);
        cx.change(|project| match role {
            Role::Encoder => project.encoder = Some(path),
            Role::LanguageModel => project.llm = Some(path),
        });
    }

    /// Draws the page.
    pub fn ui(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::title(
            ui,
            "Models",
            "The encoder finds passages and is tuned; the language model answers and is never changed.",
        );
        if cx.project.is_none() {
            return no_project(ui, cx);
        }
        if let Some(error) = &self.error
            && widgets::failure(ui, error)
        {
            self.error = None;
        }
        self.actions.results(ui);
        if cx.project.is_some_and(|report| report.project.encoder.is_none() || report.project.llm.is_none()) {
            self.shipped(ui, cx);
        }
        self.role(ui, Role::Encoder, cx);
        self.role(ui, Role::LanguageModel, cx);
        self.devices.ui(ui, cx);
    }

    /// The models at hand, for a project that lacks one.
    fn shipped(&mut self, ui: &mut Ui, cx: &mut Cx<'_>) {
        widgets::card(ui, |ui| {
            widgets::section(ui, "No model at hand?");
            ui.label(
                "Two small ones ship with ragtune, about one million parameters each. They know the sample world's words \
                 best, and are enough to search documents of your own at once; choose larger ones when you have them.",
            );
            if widgets::primary_if(ui, "Use the shipped models", self.shipping.map(|_| "They are on their way."))
                .clicked()
            {
                self.ship(cx);
            }
        });
    }

    /// Writes the shipped models into the project, and takes them for what is missing.
    pub fn ship(&mut self, cx: &mut Cx<'_>) {
        let Some(report) = cx.project else { return };
        let out = report.folder.join("models");
        let command = Command::WriteSampleModels(WriteSampleModels { out });
        self.shipping = Some(cx.link.send(Owner::Models, Line::Look, "Writing the shipped models", command));
    }

    fn role(&mut self, ui: &mut Ui, role: Role, cx: &mut Cx<'_>) {
        let Some(report) = cx.project else { return };
        let (title, used, hint) = match role {
            Role::Encoder => (
                "Encoder",
                report.project.encoder.clone(),
                "A folder of BERT or its kin, such as all-MiniLM-L6-v2: config.json, model.safetensors, tokenizer.json.",
            ),
            Role::LanguageModel => (
                "Language model",
                report.project.llm.clone(),
                "A folder of Llama, Qwen, Gemma or others with the same files, or with a GGUF file.",
            ),
        };
        widgets::card(ui, |ui| {
            ui.horizontal(|ui| {
                widgets::section(ui, title);
                ui.weak(hint);
            });
            let fitting: Vec<ModelReport> =
                self.known.iter().filter(|model| model.kind == role.kind()).cloned().collect();
            if fitting.is_empty() {
                ui.weak("None is known yet. Choose a folder on this computer.");
            }
            for model in &fitting {
                let folder = PathBuf::from(&model.folder);
                let chosen = used.as_ref() == Some(&folder);
                ui.horizontal_wrapped(|ui| {
                    let name = folder
                        .file_name()
                        .map_or_else(|| model.folder.clone(), |name| name.to_string_lossy().into_owned());
                    if ui
                        .radio(chosen, RichText::new(display_name(&folder, &name)).strong())
                        .on_hover_text(&model.folder)
                        .clicked()
                        && !chosen
                    {
                        self.choose(folder.clone(), role, cx);
                    }
                    ui.weak(facts(model));
                    self.actions.buttons(ui, &folder, &name, role, cx);
                });
                if chosen {
                    ui.indent(("memory", role.kind()), |ui| {
                        ui.weak(memory(model, role));
                        if role == Role::LanguageModel && model.chat {
                            chat(ui, report.project.template.as_deref(), cx);
                        }
                    });
                }
            }
            ui.horizontal_wrapped(|ui| {
                let (purpose, path, name) = match role {
                    Role::Encoder => (Purpose::Encoder, &mut self.encoder_path, "Folder of an encoder"),
                    Role::LanguageModel => (Purpose::LanguageModel, &mut self.llm_path, "Folder of a language model"),
                };
                let choose = ui.button("Choose a folder…");
                widgets::name_of(&choose, &format!("Choose a folder: {title}"));
                if choose.clicked() {
                    cx.dialogs.open(purpose);
                }
                let field = widgets::field(
                    ui,
                    name,
                    path,
                    if platform::IN_BROWSER {
                        "or the address of one (https://…, hf:OWNER/NAME)"
                    } else {
                        "or its path, or hf:OWNER/NAME"
                    },
                    260.0,
                );
                let entered = widgets::entered(&field);
                let add = ui.button("Use");
                widgets::name_of(&add, &format!("Use this {title}"));
                if (add.clicked() || entered) && !path.trim().is_empty() {
                    let typed = path.trim().to_owned();
                    self.choose_typed(&typed, role, cx);
                }
                if self.fetching.iter().any(|(_, wanted)| *wanted == role) {
                    ui.spinner();
                    ui.weak("It is being fetched; how far it is stands below.");
                }
            });
        });
    }
}

/// Whether prompts are put as messages; a template of the user's own stays.
fn chat(ui: &mut Ui, template: Option<&Path>, cx: &mut Cx<'_>) {
    let is_chat = template.and_then(Path::file_name).is_some_and(|name| name == CHAT);
    if template.is_some() && !is_chat {
        return;
    }
    let mut wanted = is_chat;
    let hint = "It was taught to answer messages: prompts are put in the words of its own chat template";
    if ui.checkbox(&mut wanted, "Put prompts as messages").on_hover_text(hint).changed() {
        cx.change(|project| project.template = wanted.then(|| PathBuf::from(CHAT)));
    }
}

/// Chooses models for the roles that a project has none for.
fn take_missing(models: &[ModelReport], cx: &mut Cx<'_>) {
    let shipped = |role: Role, name: &str| {
        let fits = |model: &&ModelReport| model.kind == role.kind() && Path::new(&model.folder).ends_with(name);
        models.iter().find(fits).map(|model| PathBuf::from(&model.folder))
    };
    let (encoder, reader) = (shipped(Role::Encoder, "encoder"), shipped(Role::LanguageModel, "reader"));
    cx.change(|project| {
        project.encoder = project.encoder.take().or(encoder);
        project.llm = project.llm.take().or(reader);
    });
}

/// A folder as it was typed; in a browser it may be the address of one, or a model of the Hub, whose files are fetched
/// first.
fn from_address(typed: &str) -> Result<PathBuf, String> {
    let is_address = typed.starts_with("http") || typed.starts_with(hub::PREFIX);
    if !platform::IN_BROWSER || !is_address {
        return Ok(PathBuf::from(typed));
    }
    let (address, name) = if typed.starts_with(hub::PREFIX) {
        let model = hub::ModelId::parse(typed).map_err(|error| error.to_string())?;
        (model.url(), model.name.rsplit('/').next().unwrap_or("model").to_owned())
    } else {
        (typed.to_owned(), typed.trim_end_matches('/').rsplit('/').next().unwrap_or("model").to_owned())
    };
    let folder = Path::new("/models").join(name);
    platform::fetch_model(&address, &folder);
    Ok(folder)
}

fn name_of_kind(kind: &str) -> &'static str {
    match kind {
        "encoder" => "an encoder",
        "llm" => "a language model",
        _ => "only a tokenizer",
    }
}

/// A folder's name; a run's encoder is called after the run.
fn display_name(folder: &Path, name: &str) -> String {
    match folder.parent().and_then(Path::file_name) {
        Some(run) if name == "best" => format!("tuned: {}", run.to_string_lossy()),
        _ => name.to_owned(),
    }
}

fn facts(model: &ModelReport) -> String {
    let mut facts = vec![model.architecture.clone()];
    if let Some(parameters) = model.parameters {
        facts.push(format!("{} M parameters", (parameters as f64 / 1e5).round() / 10.0));
    }
    facts.extend(model.dtype.clone());
    if let Some(context) = model.context {
        facts.push(format!("{} tokens", widgets::count(context)));
    }
    if let Some(head) = &model.head {
        facts.push(format!("head {head}"));
    }
    facts.push(format!("{} on disk", widgets::bytes(model.bytes)));
    facts.join(", ")
}

fn memory(model: &ModelReport, role: Role) -> String {
    let Some(bytes) = model.memory_bytes else {
        return "The memory that it takes is known once it is loaded.".to_owned();
    };
    let loaded = widgets::bytes(bytes);
    match role {
        Role::Encoder => format!(
            "Memory, on any device (ragtune computes in 32-bit floats): {loaded} to search, about {} more to tune, and the batch.",
            widgets::bytes(bytes * TRAINING)
        ),
        Role::LanguageModel => match model.gpu_memory_bytes.filter(|gpu| *gpu != bytes) {
            Some(gpu) => format!(
                "Memory: {loaded} on the CPU, which has them as the file does, or {} on a GPU, and the keys and values of a batch.",
                widgets::bytes(gpu)
            ),
            None => format!("Memory, on any device: {loaded}, and the keys and values of a batch."),
        },
    }
}
