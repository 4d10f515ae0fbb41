//! A project: a plain folder with everything that belongs to one corpus, which the window and the command line share.
//!
//! ```text
//! PROJECT/project.json       what the project is made of: paths and settings
//! PROJECT/index/             the index over its sources
//! PROJECT/questions.jsonl    its questions, unless they lie elsewhere
//! PROJECT/runs/NAME/         its tunings
//! PROJECT/transcript.jsonl   every command that was given, in order
//! ```

use std::path::{Component, Path, PathBuf};

use ragtune_text::storage::Directory;
use ragtune_tune::{OptimSettings, TuneSettings};
use serde::{Deserialize, Serialize};

use crate::device::DeviceChoice;
use crate::directory::Folder;
use crate::{EngineError, Result, hub};

/// The file that makes a folder a project.
pub const PROJECT: &str = "project.json";
/// Its index.
pub const INDEX: &str = "index";
/// Its questions, unless they lie elsewhere.
pub const QUESTIONS: &str = "questions.jsonl";
/// Its tunings.
pub const RUNS: &str = "runs";
/// Every command that was given.
pub const TRANSCRIPT: &str = "transcript.jsonl";

/// What a project is made of. In the file, paths inside the project's folder are relative to it, so that it can be moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Project {
    /// For people.
    pub name: String,
    /// Files and folders of the corpus, in order.
    pub sources: Vec<PathBuf>,
    /// The questions.
    pub questions: Option<PathBuf>,
    /// The encoder to search with and to start tuning from.
    pub encoder: Option<PathBuf>,
    /// The language model.
    pub llm: Option<PathBuf>,
    /// Prompt template.
    pub template: Option<PathBuf>,
    /// A tuned encoder that is compared with the first.
    pub tuned: Option<PathBuf>,
    /// Computes.
    pub device: DeviceChoice,
    /// Compute a share of each training step.
    pub helpers: Vec<DeviceChoice>,
    /// Settings of the next tuning.
    pub tune: TuneSettings,
    /// Whether it is the sample world.
    pub sample: bool,
}

impl Default for Project {
    fn default() -> Self {
        Self {
            name: String::new(),
            sources: Vec::new(),
            questions: None,
            encoder: None,
            llm: None,
            template: None,
            tuned: None,
            device: DeviceChoice::Auto,
            helpers: Vec::new(),
            tune: quick(),
            sample: false,
        }
    }
}

/// Settings for a first tuning on a plain machine: the paper's, cut down.
pub fn quick() -> TuneSettings {
    TuneSettings {
        k: 20,
        m: 20,
        offline_epochs: 4,
        online_epochs: 2,
        batch: 16,
        dev_questions: 100,
        optim: OptimSettings { lr: 5e-5, ..OptimSettings::default() },
        ..TuneSettings::default()
    }
}

impl Project {
    /// Reads `project.json`; none when the folder has none.
    ///
    /// # Errors
    /// When the file cannot be read or is no project file.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let file = folder.join(PROJECT);
        let text = match crate::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(EngineError::io(&file, error)),
        };
        let project: Self = serde_json::from_slice(&text).map_err(|error| {
            EngineError::input(format!(
                "{}, line {}: {error}; correct it, or move it away to start the project's settings anew",
                file.display(),
                error.line()
            ))
        })?;
        // A model of the Hub lies in no folder of the project's.
        let found = |path: &Path| if hub::is_address(path) { path.to_owned() } else { folder.join(path) };
        Ok(Some(project.with_paths(&found)))
    }

    /// Writes `project.json`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let fail = |source| EngineError::io(&folder.join(PROJECT), source);
        let inside = self.clone().with_paths(&|path| relative(folder, path));
        let text = serde_json::to_vec_pretty(&inside)
            .map_err(|error| EngineError::Failed(format!("the project cannot be written as JSON: {error}")))?;
        Folder::create(folder).map_err(fail)?.write(PROJECT, &text).map_err(fail)
    }

    fn with_paths(mut self, change: &dyn Fn(&Path) -> PathBuf) -> Self {
        self.sources.iter_mut().for_each(|path| *path = change(path));
        for path in [&mut self.questions, &mut self.encoder, &mut self.llm, &mut self.template, &mut self.tuned] {
            *path = path.as_deref().map(change);
        }
        self
    }
}

/// A path inside a folder without the folder's part, with `/`; any other path as it is.
fn relative(folder: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix(folder) {
        Ok(rest) if rest.components().all(|part| matches!(part, Component::Normal(_))) => {
            PathBuf::from(rest.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/"))
        }
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_can_be_moved() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let project = Project {
            name: "bridges".to_owned(),
            sources: vec![old.path().join("corpus"), PathBuf::from("/elsewhere/notes")],
            encoder: Some(old.path().join("models/encoder")),
            llm: Some(PathBuf::from("hf:owner/model")),
            ..Project::default()
        };
        project.write(old.path()).unwrap();
        assert_eq!(Project::read(old.path()).unwrap(), Some(project));
        std::fs::copy(old.path().join(PROJECT), new.path().join(PROJECT)).unwrap();
        let moved = Project::read(new.path()).unwrap().unwrap();
        assert_eq!(moved.sources, [new.path().join("corpus"), PathBuf::from("/elsewhere/notes")]);
        assert_eq!(moved.encoder, Some(new.path().join("models/encoder")));
        assert_eq!(moved.llm, Some(PathBuf::from("hf:owner/model")));
    }

    #[test]
    fn a_broken_file_is_named_with_its_line_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Project::read(folder.path()).unwrap(), None);
        let broken = "{\n  \"name\": \"x\",\n  \"sources\": 7\n}";
        std::fs::write(folder.path().join(PROJECT), broken).unwrap();
        let error = Project::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("project.json, line 3"), "{error}");
        assert_eq!(std::fs::read_to_string(folder.path().join(PROJECT)).unwrap(), broken);
    }
}
