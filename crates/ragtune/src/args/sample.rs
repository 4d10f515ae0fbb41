//! Arguments about the sample world.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Folder for the invented world and the tuned encoder
    #[arg(long, value_name = "DIR", default_value = "ragtune-demo")]
    pub(crate) out: PathBuf,
    /// Also tune with each of the two stages alone, to see what each contributes
    #[arg(long)]
    pub(crate) stages: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SampleSub {
    /// Write a world as a BEIR folder: corpus.jsonl, queries.jsonl, qrels and qa.jsonl
    Generate {
        /// Number of passages, at least 50
        #[arg(long, value_name = "N", default_value_t = 2000)]
        passages: u64,
        /// Number of questions
        #[arg(long, value_name = "N", default_value_t = 500)]
        questions: u64,
        /// Folder for the files
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Write the small encoder and the small language model that ship with ragtune
    ///
    /// They know the words of the sample world best. With them, documents of one's own can be searched before a model is at
    /// hand; one that was made for the language at hand finds more.
    Models {
        /// Folder for both models' folders, encoder and reader
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}
