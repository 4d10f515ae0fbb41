//! Arguments about runs of tuning.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum RunsSub {
    /// List the runs in a folder and below it, finished or not
    List {
        /// A folder of runs
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Show a run: figures before and after, pools, the way of loss and dev accuracy
    Show {
        /// Folder of the run
        run: PathBuf,
    },
    /// Copy a run's best encoder to OUT/model, and write a report beside it
    ///
    /// The encoder is a folder that --encoder takes everywhere. An encoder of another run that lies there already is not
    /// overwritten.
    Export {
        /// Folder of the run
        run: PathBuf,
        /// Folder for model/ and report.md
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}
