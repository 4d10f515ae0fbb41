//! The cache that Python's `huggingface_hub` keeps too:
//!
//! ```text
//! models--OWNER--NAME/refs/REVISION           the commit that the revision was
//! models--OWNER--NAME/blobs/ETAG              contents
//! models--OWNER--NAME/snapshots/COMMIT/FILE   links to them
//! ```

use std::path::{Path, PathBuf};

use super::ModelId;
use crate::{EngineError, Result, fs, host};

/// A cache's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache in a folder.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// This user's, where Python's tools have it: `HF_HUB_CACHE`, or `hub` below `HF_HOME`, or below
    /// `~/.cache/huggingface`.
    ///
    /// # Errors
    /// When there is no home.
    pub fn find() -> Result<Self> {
        let variable = |name: &str| host::variable(name).map(PathBuf::from);
        if let Some(root) = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE")) {
            return Ok(Self { root });
        }
        Ok(Self { root: Self::home()?.join("hub") })
    }

    /// Where the Hub's tools keep what is theirs.
    pub fn home() -> Result<PathBuf> {
        let variable = |name: &str| host::variable(name).map(PathBuf::from);
        variable("HF_HOME")
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("huggingface")))
            .or_else(|| Some(variable("HOME").or_else(|| variable("USERPROFILE"))?.join(".cache/huggingface")))
            .ok_or_else(|| EngineError::input("there is no home folder to keep models in; set HF_HOME to a folder"))
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a model.
    pub fn folder(&self, model: &ModelId) -> PathBuf {
        self.root.join(format!("models--{}", model.name.replace('/', "--")))
    }

    /// Removes a model with all its revisions; gives the bytes that are free then.
    ///
    /// # Errors
    /// When it is not here, or cannot be removed.
    pub fn remove(&self, model: &ModelId) -> Result<u64> {
        let folder = self.folder(model);
        if !fs::is_dir(&folder) {
            return Err(EngineError::input(format!(
                "{}: it is not in the cache, which is {}",
                model.address(),
                self.root.display()
            )));
        }
        let fail = |source| EngineError::io(&folder, source);
        let mut bytes = 0;
        // Contents lie here; the rest are links to them.
        let blobs = folder.join("blobs");
        for entry in fs::read_dir(&blobs).into_iter().flatten() {
            let path = entry.map_err(fail)?.path();
            bytes += fs::File::open(&path).and_then(|file| file.metadata()).map_or(0, |about| about.len());
        }
        fs::remove_dir_all(&folder).map_err(fail)?;
        Ok(bytes)
    }

    /// The folder with a model's files, if it is there with its settings.
    pub fn snapshot(&self, model: &ModelId) -> Option<PathBuf> {
        let folder = self.folder(model);
        let commit = match fs::read_to_string(folder.join("refs").join(&model.revision)) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => model.revision.clone(),
        };
        let snapshot = folder.join("snapshots").join(commit);
        let names: Vec<String> = fs::read_dir(&snapshot)
            .ok()?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let has = |end: &str| names.iter().any(|name| name.ends_with(end));
        (has(".gguf") || has("config.json") && has(".safetensors")).then_some(snapshot)
    }
}
