//! In a browser models come by address, in parts, through the page: see `host/web/fetch.rs`.

use std::path::PathBuf;

use super::{Cache, ModelId};
use crate::session::JobContext;
use crate::{EngineError, Result};

/// How to speak to the Hub.
#[derive(Debug, Clone)]
pub struct Hub;

/// What is wanted of a model.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The file of weights, where there are several.
    pub file: Option<String>,
    /// Nothing is asked of the network.
    pub offline: bool,
}

/// A model that is there.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The folder with its files.
    pub folder: PathBuf,
    /// Its files.
    pub files: Vec<String>,
    /// Bytes that came over the network.
    pub received: u64,
}

impl Hub {
    /// The one that the environment names.
    pub fn find() -> Self {
        Self
    }

    /// In a browser, an error that says what to do instead.
    pub fn pull(&self, _: &Cache, _: &ModelId, _: &Options, _: &mut JobContext<'_>) -> Result<Pulled> {
        Err(EngineError::input("in a browser, give the address of the model's folder on the page Models"))
    }
}
