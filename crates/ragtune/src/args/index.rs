//! Arguments about indexes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::files::{ListPassages, UpdateIndex};
use super::search::OptionalEncoder;

#[derive(Debug, Subcommand)]
pub(crate) enum IndexSub {
    /// Index a corpus
    ///
    /// A tokenizer is enough. Such an index serves `search` in the modes bot, own and late, and never grows stale. With
    /// --parametric an encoder reads every passage too, which takes longer and serves the modes full and alpha. Without
    /// --corpus, --parametric renews that part of the index in --out.
    Build(BuildIndex),
    /// Bring an index up to date with files and folders
    ///
    /// Reads what is new or changed, keeps what is not, and takes out what is gone. A file that cannot be read is named
    /// with the reason, and the others go on. Interrupted, it keeps the files that were read whole, and the same command
    /// goes on with the rest.
    Update(UpdateIndex),
    /// List the passages of an index, and the files that they were cut from
    Passages(ListPassages),
    /// Show what an index holds
    Info {
        /// Folder of the index
        index: PathBuf,
    },
    /// Read every byte of an index and check it
    Verify {
        /// Folder of the index
        index: PathBuf,
    },
    /// Add the passages of a corpus to an index
    Add {
        /// Folder of the index
        index: PathBuf,
        /// Files or folders to add, in the formats of `index build`
        #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
        corpus: Vec<PathBuf>,
        /// The tokenizer that the index was built with: tokenizer.json or a folder with one
        #[arg(long, value_name = "DIR|FILE")]
        tokenizer: PathBuf,
        /// Folder of the new index; without it the index is replaced
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Remove passages from an index
    Remove {
        /// Folder of the index
        index: PathBuf,
        /// Ids of the passages
        #[arg(long, value_name = "ID", required = true, num_args = 1..)]
        id: Vec<String>,
        /// Folder of the new index; without it the index is replaced
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Make one index out of several that were built with the same tokenizer
    Merge {
        /// Folders of the indexes, in order
        #[arg(required = true, num_args = 1..)]
        indexes: Vec<PathBuf>,
        /// Folder of the new index
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Write the passages of an index as corpus.jsonl
    Export {
        /// Folder of the index
        index: PathBuf,
        /// Folder for corpus.jsonl
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BuildIndex {
    /// Files or folders: a BEIR folder, .jsonl, DPR's .json, psgs_w100.tsv (all also as .gz), .txt, .md, .html, .pdf, .docx,
    /// or a folder of such documents
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) corpus: Vec<PathBuf>,
    /// tokenizer.json or a folder with one; without it the encoder's is used
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) tokenizer: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) encoder: OptionalEncoder,
    /// Let the encoder read every passage too
    #[arg(long, requires = "encoder")]
    pub(crate) parametric: bool,
    /// Memory that the build may take for its tables, as in 512MB or 2GB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// Reads a number of bytes: `2000000`, `512MB`, `2GiB`, `1.5g`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "kib" => 1024.0,
        "m" | "mb" => 1e6,
        "mib" => 1024.0 * 1024.0,
        "g" | "gb" => 1e9,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(format!("{unit:?} is no unit of size: write a number with KB, MB or GB")),
    };
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 && number * factor < 1e15 => Ok((number * factor) as u64),
        _ => Err("write a size like 512MB or 2GB".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [("2000", 2000), ("512MB", 512_000_000), ("2GiB", 2 << 30), ("1.5k", 1500)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "0", "12 parsecs", "1e999", "-1"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
