//! The pages of the window. Each holds what it shows, draws it, and hears of its own jobs.

pub mod corpus;
pub mod explain;
pub mod home;
pub mod models;
pub mod query;
pub mod questions;
pub mod tune;

use std::path::PathBuf;

use ragtune_engine::command::{EncoderSource, Project, SampleSize};
use ragtune_engine::event::{FoundPassage, ProjectReport};
use ragtune_engine::{Command, DeviceChoice};
use serde::{Deserialize, Serialize};

use crate::dialog::Dialogs;
use crate::link::{Line, Link, Owner, Ticket};
use crate::settings::Settings;

/// A page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Page {
    /// Projects, and what to do next.
    #[default]
    Home,
    /// Documents and passages.
    Corpus,
    /// Questions with answers.
    Questions,
    /// Encoder, language model, device.
    Models,
    /// Tuning.
    Tune,
    /// Search and answers.
    Query,
    /// Why a passage is where it is.
    Explain,
}

impl Page {
    /// All pages in the order of the work, with their names.
    pub const ALL: [(Self, &str); 7] = [
        (Self::Home, "Home"),
        (Self::Corpus, "Corpus"),
        (Self::Questions, "Questions"),
        (Self::Models, "Models"),
        (Self::Tune, "Tune"),
        (Self::Query, "Query"),
        (Self::Explain, "Explain"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(page, _)| *page == self).map_or("", |(_, name)| name)
    }
}

/// What a page asks of the window.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Show another page.
    Go(Page),
    /// Open a project's folder, filled with the sample world if that is said and the folder is new.
    Open(PathBuf, Option<SampleSize>),
    /// Change what the project is made of, and save it.
    Change(Box<Project>),
    /// Bring the index up to date.
    UpdateIndex,
    /// Look at the project's folder again: an index or a run is new.
    Refresh,
    /// Say why passages are where they are.
    Explain(Box<ToExplain>),
    /// Forget a project in the list of recent ones.
    Forget(PathBuf),
    /// Remove a project with everything in it, where files are the browser's.
    Remove(PathBuf),
    /// Tell the user something that belongs to no page.
    Note(String),
    /// Show a passage of the index.
    ShowPassage(String),
    /// Take the models that ship with ragtune for those that the project lacks.
    UseShippedModels,
}

/// A question with one or two passages that were found for it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToExplain {
    /// The question.
    pub question: String,
    /// The encoder that found them.
    pub encoder: PathBuf,
    /// A passage.
    pub a: FoundPassage,
    /// Another one to compare with.
    pub b: Option<FoundPassage>,
}

/// What pages work with.
pub struct Cx<'a> {
    /// The engines.
    pub link: &'a mut Link,
    /// The open project.
    pub project: Option<&'a ProjectReport>,
    /// The system's dialogs.
    pub dialogs: &'a Dialogs,
    /// The window's settings.
    pub settings: &'a mut Settings,
    /// What the window is asked to do after this frame.
    pub actions: &'a mut Vec<Action>,
}

impl Cx<'_> {
    /// Asks something of the window.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Changes the project and saves it.
    pub fn change(&mut self, change: impl FnOnce(&mut Project)) {
        if let Some(report) = self.project {
            let mut project = report.project.clone();
            change(&mut project);
            self.act(Action::Change(Box::new(project)));
        }
    }

    /// Long work.
    pub fn work(&mut self, owner: Owner, title: &str, command: Command) -> Ticket {
        self.link.send(owner, Line::Work, title, command)
    }

    /// A question that is answered at once.
    pub fn ask(&mut self, owner: Owner, title: &str, command: Command) -> Ticket {
        self.link.send(owner, Line::Ask, title, command)
    }

    /// Something that is fetched without a word.
    pub fn fetch(&mut self, owner: Owner, title: &str, command: Command) -> Ticket {
        self.link.send_quietly(owner, Line::Look, title, command)
    }

    /// A question that is answered at once and again with every key.
    pub fn ask_quietly(&mut self, owner: Owner, title: &str, command: Command) -> Ticket {
        self.link.send_quietly(owner, Line::Ask, title, command)
    }

    /// The device that the project computes on.
    pub fn device(&self) -> DeviceChoice {
        self.project.map_or(DeviceChoice::Auto, |project| project.project.device.clone())
    }

    /// The project's encoder.
    pub fn encoder(&self) -> Option<EncoderSource> {
        self.project?.project.encoder.clone().map(encoder_source)
    }
}

/// An encoder's folder with the head that it has.
pub fn encoder_source(folder: PathBuf) -> EncoderSource {
    EncoderSource { folder, head: None }
}
