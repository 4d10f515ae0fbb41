//! The arguments, worded for people who never saw the paper.

mod files;
pub(crate) mod look;
pub(crate) mod questions;
pub(crate) mod runs;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ragtune_engine::DeviceChoice;
use ragtune_engine::command::{self, FirstStage, HeadKind, SearchMode};

pub(crate) use self::files::{ListPassages, UpdateIndex};

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
    /// What computes: auto (a GPU if there is a good one), cpu, gpu, or gpu:N as `ragtune devices` counts them
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
    Devices,
    /// Open the window: index, tune, query and understand
    Gui(look::Gui),
    /// Run the commands of a session in the window again, without it
    Replay(look::Replay),
}

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
}

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

#[derive(Debug, Args)]
pub(crate) struct OptionalEncoder {
    /// Folder of the encoder: a Hugging Face folder of a BERT-like model, or a checkpoint of `ragtune tune`
    #[arg(long, value_name = "DIR")]
    pub(crate) encoder: Option<PathBuf>,
    /// How the encoder's output becomes a vector; without it as its folder says, else sidr
    #[arg(long, value_enum)]
    pub(crate) head: Option<Head>,
}

#[derive(Debug, Args)]
pub(crate) struct Encoder {
    /// Folder of the encoder: a Hugging Face folder of a BERT-like model, or a checkpoint of `ragtune tune`
    #[arg(long, value_name = "DIR")]
    pub(crate) encoder: PathBuf,
    /// How the encoder's output becomes a vector; without it as its folder says, else sidr
    #[arg(long, value_enum)]
    pub(crate) head: Option<Head>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Head {
    /// A weight for every word of the vocabulary (SiDR)
    Sidr,
    /// The same with SPLADE's formula, for models trained so
    Splade,
    /// One dense vector, the mean over the text; for `encode` only
    Dense,
}

/// How to search.
#[derive(Debug, Args)]
pub(crate) struct SearchMethod {
    /// What is compared with what
    #[arg(long, value_enum, default_value = "late")]
    pub(crate) mode: Mode,
    /// What finds the candidates of the mode late
    #[arg(long, value_enum, value_name = "STAGE", default_value = "bot")]
    pub(crate) first_stage: First,
    /// Number of candidates that the mode late reads again
    #[arg(short = 'm', value_name = "N", default_value_t = 100)]
    pub(crate) m: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Mode {
    /// The question's expanded words against the passages' words
    Bot,
    /// The question's own words, weighted, against the passages' words
    Own,
    /// Expanded against expanded; needs an index with --parametric
    Full,
    /// The question's plain words against the passages' expanded ones; needs an index with --parametric
    Alpha,
    /// Candidates by a first stage, then as full; reads the candidates on the spot
    Late,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum First {
    /// As the mode bot
    Bot,
    /// As the mode own
    Own,
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false, args = ["query", "queries"])]
pub(crate) struct Search {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    #[command(flatten)]
    pub(crate) encoder: Encoder,
    #[command(flatten)]
    pub(crate) method: SearchMethod,
    /// Number of passages to show
    #[arg(short = 'k', value_name = "N", default_value_t = 10)]
    pub(crate) k: usize,
    /// One question
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) query: Option<String>,
    /// Many: jsonl with "id" and "text", a questions file, or a BEIR folder
    #[arg(long, value_name = "FILE")]
    pub(crate) queries: Option<PathBuf>,
    /// Also write what was found as a TREC run file
    #[arg(long, value_name = "FILE")]
    pub(crate) run: Option<PathBuf>,
    /// Show which words make each score
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Encode {
    #[command(flatten)]
    pub(crate) encoder: Encoder,
    /// Lines of text, or jsonl with "id", "text" and optionally "title"; lines are numbered from 0
    #[arg(long, value_name = "FILE")]
    pub(crate) texts: PathBuf,
    /// Whether the texts are questions or passages: their length limit differs, and their weights in some encoders
    #[arg(long, value_enum, default_value = "passage")]
    pub(crate) kind: TextKind,
    /// Which part of the vector; without it s for questions and s+ for passages
    #[arg(long, value_enum)]
    pub(crate) form: Option<VectorForm>,
    /// Number of largest weights in s and s+
    #[arg(long, value_name = "N", default_value_t = 768)]
    pub(crate) top_k: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TextKind {
    /// Questions
    Query,
    /// Passages
    Passage,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum VectorForm {
    /// The largest weights
    S,
    /// The largest weights and those of the text's own words
    #[value(name = "s+")]
    SPlus,
    /// All weights
    Dense,
    /// 1 for each of the text's own words
    Bot,
}

/// A language model and how it is asked.
#[derive(Debug, Args)]
pub(crate) struct Score {
    /// Folder of the language model
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) llm: PathBuf,
    /// jsonl: "id", "answers", and "prompt", or "question" and "passage" {"title", "text"}
    #[arg(long, value_name = "FILE")]
    pub(crate) items: PathBuf,
    #[command(flatten)]
    pub(crate) template: Template,
}

#[derive(Debug, Args)]
pub(crate) struct Template {
    /// Wording of prompts: TOML (passage, numbered, free_form, closed_set, answer_prefix), or a text with {passages} and
    /// {question}
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// Folder of the language model
    #[arg(long, value_name = "DIR")]
    pub(crate) llm: PathBuf,
    /// The prompt, or - to read it from standard input; an empty one starts from the model's first token
    #[arg(long, value_name = "TEXT|-", default_value = "", allow_hyphen_values = true)]
    pub(crate) prompt: String,
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max_new_tokens: usize,
    /// 0 always takes the most probable token; higher is more varied
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) temperature: f32,
}

#[derive(Debug, Args)]
pub(crate) struct Answer {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    #[command(flatten)]
    pub(crate) encoder: Encoder,
    /// Folder of the language model
    #[arg(long, value_name = "DIR")]
    pub(crate) llm: PathBuf,
    /// The question
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) query: String,
    /// Number of passages that the language model gets to read
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) docs: usize,
    #[command(flatten)]
    pub(crate) method: SearchMethod,
    #[command(flatten)]
    pub(crate) template: Template,
    /// Most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max_new_tokens: usize,
}

/// How the questions' passages are called in the corpus.
#[derive(Debug, Args)]
pub(crate) struct Ids {
    /// The corpus names the passages of these questions PREFIX/ID
    #[arg(long, value_name = "PREFIX")]
    pub(crate) id_prefix: Option<String>,
    /// Duplicates that the corpus left out: lines of duplicate id, tab, kept id; that of the index is used anyway
    #[arg(long, value_name = "FILE")]
    pub(crate) aliases: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: PathBuf,
    #[command(flatten)]
    pub(crate) encoder: Encoder,
    /// Folder of the language model; without it only the search is measured
    #[arg(long, value_name = "DIR")]
    pub(crate) llm: Option<PathBuf>,
    /// Questions with answers: a BEIR folder with qa.jsonl, such a file, or DPR's json
    #[arg(long, value_name = "PATH")]
    pub(crate) questions: PathBuf,
    #[command(flatten)]
    pub(crate) ids: Ids,
    /// Which of the questions
    #[arg(long, value_enum, default_value = "test")]
    pub(crate) split: SplitName,
    /// Only so many of them, the first ones
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Numbers of passages that the language model gets to read
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 10])]
    pub(crate) docs: Vec<usize>,
    #[command(flatten)]
    pub(crate) method: SearchMethod,
    #[command(flatten)]
    pub(crate) template: Template,
    /// Also list every question
    #[arg(long)]
    pub(crate) details: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SplitName {
    /// What tuning learns from
    Train,
    /// What tuning chooses its checkpoint on
    Dev,
    /// What is only reported on
    Test,
    /// All questions
    All,
}

#[derive(Debug, Args)]
pub(crate) struct Tune {
    /// Files or folders to index first, in the formats of `index build`
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "index")]
    pub(crate) corpus: Vec<PathBuf>,
    /// Folder of an index
    #[arg(long, value_name = "DIR")]
    pub(crate) index: Option<PathBuf>,
    /// Questions with answers: a BEIR folder with qa.jsonl, such a file, or DPR's json
    #[arg(long, value_name = "PATH", required_unless_present = "resume")]
    pub(crate) questions: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) ids: Ids,
    /// Folder of the encoder to start from
    #[arg(long, value_name = "DIR", required_unless_present = "resume")]
    pub(crate) encoder: Option<PathBuf>,
    /// How the encoder's output becomes a vector; without it as its folder says, else sidr
    #[arg(long, value_enum)]
    pub(crate) head: Option<Head>,
    /// Folder of the language model
    #[arg(long, value_name = "DIR")]
    pub(crate) llm: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) template: Template,
    /// What tells good passages from bad ones: rag (the language model's answers) or gold (the questions' own lists)
    #[arg(long, value_enum)]
    pub(crate) supervision: Option<SupervisionName>,
    /// offline (passages found by the start), online (passages found while tuning), or both
    #[arg(long, value_enum, value_name = "STAGE,STAGE", value_delimiter = ',')]
    pub(crate) stages: Vec<StageName>,
    /// TOML file with every other setting
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) config: Option<PathBuf>,
    /// Folder of the run: settings, figures, checkpoints
    #[arg(long, value_name = "RUN", required_unless_present_any = ["resume", "estimate"])]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the run in this folder
    #[arg(long, value_name = "RUN", conflicts_with = "out")]
    pub(crate) resume: Option<PathBuf>,
    /// Only say what the tuning would take, measured on a small part of it; nothing is written
    #[arg(long)]
    pub(crate) estimate: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SupervisionName {
    /// The questions' own lists of right passages
    Gold,
    /// The language model's answers
    Rag,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StageName {
    /// With passages that the start finds
    Offline,
    /// With passages that the encoder finds while it is tuned
    Online,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsSub {
    /// List the models in a folder
    List {
        /// A folder of model folders
        #[arg(default_value = "models")]
        folder: PathBuf,
    },
    /// Show what a model is
    Info {
        /// Folder of the model
        model: PathBuf,
    },
    /// Read all of a model and let it compute once
    Verify {
        /// Folder of the model
        model: PathBuf,
    },
}

/// Reads a number of bytes: `2000000`, `512MB`, `2GiB`, `1.5g`.
fn size(text: &str) -> Result<u64, String> {
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

impl From<Head> for HeadKind {
    fn from(head: Head) -> Self {
        match head {
            Head::Sidr => Self::Sidr,
            Head::Splade => Self::Splade,
            Head::Dense => Self::Dense,
        }
    }
}

impl From<Mode> for SearchMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Bot => Self::Bot,
            Mode::Own => Self::Own,
            Mode::Full => Self::Full,
            Mode::Alpha => Self::Alpha,
            Mode::Late => Self::Late,
        }
    }
}

impl From<First> for FirstStage {
    fn from(stage: First) -> Self {
        match stage {
            First::Bot => Self::Bot,
            First::Own => Self::Own,
        }
    }
}

impl From<TextKind> for command::TextRole {
    fn from(kind: TextKind) -> Self {
        match kind {
            TextKind::Query => Self::Query,
            TextKind::Passage => Self::Passage,
        }
    }
}

impl From<VectorForm> for command::Form {
    fn from(form: VectorForm) -> Self {
        match form {
            VectorForm::S => Self::S,
            VectorForm::SPlus => Self::SPlus,
            VectorForm::Dense => Self::Dense,
            VectorForm::Bot => Self::Bot,
        }
    }
}

impl From<SupervisionName> for command::Supervision {
    fn from(name: SupervisionName) -> Self {
        match name {
            SupervisionName::Gold => Self::Gold,
            SupervisionName::Rag => Self::Rag,
        }
    }
}

impl From<StageName> for command::Stage {
    fn from(name: StageName) -> Self {
        match name {
            StageName::Offline => Self::Offline,
            StageName::Online => Self::Online,
        }
    }
}

impl SplitName {
    /// The split; none stands for all.
    pub(crate) fn split(self) -> Option<command::Split> {
        match self {
            Self::Train => Some(command::Split::Train),
            Self::Dev => Some(command::Split::Dev),
            Self::Test => Some(command::Split::Test),
            Self::All => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

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
