//! The recipe of the models that ship with the sample world: tokenizer, reader, initial encoder, and the figures that
//! they reach. Everything is made from seeds; entities come from the models' own partition of the name space.

mod encoder;
mod figures;
mod reader;
mod tokenizer;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// Seed of everything that the recipe draws.
const SEED: u64 = 20_250_801;

pub(crate) struct Options {
    /// Where the models go.
    pub(crate) out: PathBuf,
    /// Training steps, when not the recipe's own number.
    pub(crate) steps: Option<usize>,
    /// A reader to go on with, and the share of the training that it has behind it.
    pub(crate) start: Option<PathBuf>,
    pub(crate) progress: f32,
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut options = Options {
        out: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../ragtune-sample/models")),
        steps: None,
        start: None,
        progress: 0.0,
    };
    let mut parts: Vec<&str> = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--steps" => options.steps = Some(args.next().context("--steps needs a number")?.parse()?),
            "--start" => options.start = Some(PathBuf::from(args.next().context("--start needs a folder")?)),
            "--progress" => options.progress = args.next().context("--progress needs a share")?.parse()?,
            "--out" => options.out = PathBuf::from(args.next().context("--out needs a folder")?),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        parts = vec!["tokenizer", "reader", "encoder"];
    }
    std::fs::create_dir_all(&options.out)?;
    for part in parts {
        match part {
            "tokenizer" => tokenizer::run(&options)?,
            "reader" => reader::run(&options)?,
            "encoder" => encoder::run(&options)?,
            "figures" => figures::run(&options)?,
            other => bail!("there is no part `{other}`"),
        }
    }
    Ok(())
}
