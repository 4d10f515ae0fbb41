//! File dialogs.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod web;

#[cfg(not(target_family = "wasm"))]
pub use native::Dialogs;
#[cfg(target_family = "wasm")]
pub use web::Dialogs;

/// What a dialog was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A folder to be opened as a project.
    Project,
    /// Files for the corpus.
    CorpusFiles,
    /// A folder for the corpus.
    CorpusFolder,
    /// A questions file.
    Questions,
    /// An encoder's folder.
    Encoder,
    /// A language model's folder.
    LanguageModel,
    /// A folder for a run's encoder and report.
    ExportRun,
    /// A folder for an encoder as other programs read it.
    ExportModel,
    /// A folder for a language model as other programs read it.
    ImportModel,
    /// A file for the hits of a query.
    ExportHits,
}
