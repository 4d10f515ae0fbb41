//! Arguments about the files that an index is made of.

use std::path::PathBuf;

use clap::Args;

use super::OptionalEncoder;
use super::index::size;

#[derive(Debug, Args)]
pub(crate) struct UpdateIndex {
    /// All files and folders that the index shall hold, in the formats of `index build`; what is no longer among them
    /// leaves the index
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub(crate) corpus: Vec<PathBuf>,
    /// tokenizer.json or a folder with one; without it the encoder's is used
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "encoder")]
    pub(crate) tokenizer: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) encoder: OptionalEncoder,
    /// Memory that the build may take for its tables, as in 512MB or 2GB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
    /// Folder of the index; it is made when there is none
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ListPassages {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    /// Only passages whose id, title or text contains this, whatever the case
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    pub(crate) find: String,
    /// Only passages that were cut from this file, named as in the list of files
    #[arg(long, value_name = "NAME")]
    pub(crate) file: Option<String>,
    /// Passages to leave out at the start
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) offset: u64,
    /// Most passages to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
}
