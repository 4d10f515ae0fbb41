//! The arguments, worded for people who never saw the paper.

mod files;
mod index;
mod llm;
pub(crate) mod look;
pub(crate) mod questions;
pub(crate) mod runs;
mod sample;
mod search;
mod tune;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use ragtune_engine::DeviceChoice;

pub(crate) use self::index::IndexSub;
pub(crate) use self::llm::{Answer, Bench, Generate, Score};
pub(crate) use self::sample::{Demo, SampleSub};
pub(crate) use self::search::{Encode, Encoder, OptionalEncoder, Search, SearchMethod, TextKind};
pub(crate) use self::tune::{Eval, Ids, Tune};

/// Heading of the options that every command takes.
const EVERYWHERE: &str = "Options of every command";

/// Tune a retriever to your language model and your documents.
///
/// A retriever finds passages; a language model answers with them. Passages that look right are not always the ones
/// that help your model. ragtune watches which passages lead your model to right answers and tunes the retriever to find
/// those.
///
/// Start with `ragtune demo`. With documents of your own: `index build`, `search`, `eval`, `tune`.
///
/// Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 the work failed, 2 bad usage
/// or input, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "ragtune", version, propagate_version = true)]
pub(crate) struct Arguments {
    /// Print results as JSON instead of tables
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    /// Seed of everything that is drawn at random: equal seeds give equal results
    #[arg(long, global = true, value_name = "N", default_value_t = 0, help_heading = EVERYWHERE)]
    pub(crate) seed: u64,
    /// What computes: auto (a GPU if there is a good one), cpu, gpu, gpu:N as `ragtune devices` counts them, either with /f16 behind it for products in 16 bits, or TOKEN@HOST:PORT
    /// as `ragtune lend` on another machine prints it
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto", help_heading = EVERYWHERE)]
    pub(crate) device: DeviceChoice,
    /// Say nothing but results and errors
    #[arg(long, short, global = true, help_heading = EVERYWHERE)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Sub,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sub {
    /// See the whole method work on a small invented world, in minutes
    Demo(Demo),
    /// Make an invented world of passages and questions to try things on
    #[command(subcommand)]
    Sample(SampleSub),
    /// Build and look after indexes, in which passages are searched
    #[command(subcommand)]
    Index(IndexSub),
    /// Find the passages for a question
    Search(Search),
    /// Turn texts into the vectors that search compares
    Encode(Encode),
    /// How probable does a language model find given answers?
    Score(Score),
    /// Let a language model continue a prompt
    Generate(Generate),
    /// Answer a question from an index, with the passages that the answer stands on
    Answer(Answer),
    /// Show the tokens that the encoder turns texts into, with their weights
    Inspect(look::Inspect),
    /// How probable does a language model find an answer with each of some passages in context?
    Weigh(look::Weigh),
    /// Check, write and draft questions with answers
    #[command(subcommand)]
    Questions(questions::QuestionsSub),
    /// Tune an encoder to a language model and a corpus
    Tune(Tune),
    /// Look at runs of tuning and take their encoders with you
    #[command(subcommand)]
    Runs(runs::RunsSub),
    /// Measure search and answers on questions whose answers are known
    Eval(Eval),
    /// Look at models on disk
    #[command(subcommand)]
    Models(ModelsSub),
    /// List and test what can compute here
    Devices {
        /// Only what every start asks: no measurements, and of a device that is known the short test
        #[arg(long)]
        quick: bool,
    },
    /// Measure how fast a device is at encoding, training, scoring and writing, beside its own ceiling
    Bench(Bench),
    /// Let a device of this machine compute for another machine
    ///
    /// Prints what --device there is given, or `ragtune tune --helper`, and computes until it is interrupted. What goes to and
    /// fro is not encrypted: for networks that you trust, or through a tunnel with --listen 127.0.0.1:PORT.
    Lend {
        /// Where to listen
        #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:7770")]
        listen: String,
        /// What the other machine must know; without it a fresh one is made up
        #[arg(long)]
        token: Option<String>,
    },
    /// Open the window: index, tune, query and understand
    Gui(look::Gui),
    /// Run the commands of a session in the window again, without it
    Replay(look::Replay),
}

/// Who is to read an exported encoder.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// A folder for transformers
    HuggingFace,
    /// A SparseEncoder of sentence-transformers
    SentenceTransformers,
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Dtype {
    /// 32-bit floats
    F32,
    /// 16-bit floats
    F16,
    /// 16 bits with the range of 32
    Bf16,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsSub {
    /// List the models in a folder
    List {
        /// A folder of model folders
        #[arg(default_value = "models")]
        folder: PathBuf,
    },
    /// Fetch a model from the Hugging Face Hub into the cache that Python's tools share
    ///
    /// Afterwards `hf:OWNER/NAME` names it wherever a model's folder is asked for. HF_TOKEN opens models that must be asked
    /// for, HF_ENDPOINT names another Hub, HF_HOME another place for the cache. A fetch that was stopped goes on where it was.
    Pull {
        /// OWNER/NAME, with @REVISION (a branch, a tag or a commit) behind it for another than main
        model: String,
        /// The file of weights, where a model has several GGUF files
        #[arg(long, value_name = "NAME")]
        file: Option<String>,
        /// Ask nothing of the network: say whether it is in the cache
        #[arg(long)]
        offline: bool,
    },
    /// Remove a model of the Hub from the cache, with all its revisions
    Rm {
        /// OWNER/NAME
        model: String,
    },
    /// Write an encoder as other programs read it
    Export {
        #[command(flatten)]
        encoder: Encoder,
        /// Who is to read it
        #[arg(long, value_enum, default_value_t = Format::SentenceTransformers)]
        format: Format,
        /// Which tower, where questions and passages have one each
        #[arg(long, value_enum)]
        tower: Option<TextKind>,
        /// A new folder
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Write a model of another form as a folder that Python's tools read too
    ///
    /// From a GGUF file, llama2.c, or PyTorch's pytorch_model.bin (which is read, never run) come config.json,
    /// model.safetensors and tokenizer.json.
    Import {
        /// Folder of the model, a GGUF file, or hf:OWNER/NAME
        model: PathBuf,
        /// How its numbers are written; without it as they are, quantised ones as 32-bit floats
        #[arg(long, value_enum)]
        dtype: Option<Dtype>,
        /// A new folder
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Show what a model is
    Info {
        /// Folder of the model, a GGUF file, or hf:OWNER/NAME
        model: PathBuf,
    },
    /// Measure what fewer bits do to a model's scores
    ///
    /// The weights are rounded to 16, 8 and 4 bits as GGUF files hold them; the scores of questions about an invented world
    /// with a passage that answers each and one that does not are put beside those of the model as it is.
    Check {
        /// Folder of the model, a GGUF file, or hf:OWNER/NAME
        model: PathBuf,
        /// Another file of the same model to put beside
        #[arg(long, value_name = "DIR")]
        against: Option<PathBuf>,
        /// Questions to ask
        #[arg(long, value_name = "N", default_value_t = 16)]
        questions: usize,
    },
    /// Read all of a model and let it compute once
    Verify {
        /// Folder of the model, a GGUF file, or hf:OWNER/NAME
        model: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}
