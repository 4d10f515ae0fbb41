//! Writing a sample world.

use ragtune_sample::{BeirWriters, Population, World, WorldConfig};
use ragtune_text::storage::{Directory, FileWriter};
use std::io::{self, Write};

use crate::command::GenerateSample;
use crate::directory::Folder;
use crate::event::{Report, SampleReport};
use crate::session::JobContext;
use crate::{CancelFlag, EngineError, Result};

/// `sample generate`
pub(super) fn generate(sample: &GenerateSample, context: &mut JobContext<'_>) -> Result<()> {
    let config = WorldConfig {
        seed: sample.seed,
        passages: sample.passages,
        questions: sample.questions,
        population: Population::default(),
    };
    let world = World::new(config)?;
    let folder = Folder::create(&sample.out).map_err(|source| EngineError::io(&sample.out, source))?;
    let counts = write_world(&world, &folder, context)?;
    context.report(Report::Sample(SampleReport {
        passages: counts.passages,
        questions: counts.questions,
        bytes: counts.bytes,
        out: sample.out.display().to_string(),
    }));
    Ok(())
}

/// Writes the files of a BEIR folder; all of them appear at the end, or none.
pub(super) fn write_world(
    world: &World,
    folder: &Folder,
    context: &mut JobContext<'_>,
) -> Result<ragtune_sample::SampleCounts> {
    const NAMES: [&str; 6] =
        ["corpus.jsonl", "queries.jsonl", "qrels/train.tsv", "qrels/dev.tsv", "qrels/test.tsv", "qa.jsonl"];
    let fail = |source| EngineError::io(folder.path(), source);
    let total = world.config().passages;
    context.begin("writing the sample world", "passages", Some(total));
    let cancel = context.cancel_flag();
    let mut files = Vec::new();
    for name in NAMES {
        files.push(folder.create(name).map_err(fail)?);
    }
    let written = {
        let mut writers = files.iter_mut().map(|file| Stoppable { file: &mut **file, cancel: &cancel, lines: 0, told: &mut |_| {} });
        let mut next = || writers.next();
        match (next(), next(), next(), next(), next(), next()) {
            (Some(corpus), Some(mut queries), Some(mut train), Some(mut dev), Some(mut test), Some(mut qa)) => {
                let mut tell = |lines| context.advance(lines);
                let mut corpus = Stoppable { told: &mut tell, ..corpus };
                world.write_beir(BeirWriters {
                    corpus: &mut corpus,
                    queries: &mut queries,
                    train: &mut train,
                    dev: &mut dev,
                    test: &mut test,
                    qa: &mut qa,
                })
            }
            _ => Err(io::Error::other("a file is missing")),
        }
    };
    context.check()?;
    let counts = written.map_err(fail)?;
    for file in files {
        file.finish().map_err(fail)?;
    }
    Ok(counts)
}

/// A writer that ends the work when the user asks to stop, and counts its lines.
struct Stoppable<'a> {
    file: &'a mut dyn FileWriter,
    cancel: &'a CancelFlag,
    lines: u64,
    told: &'a mut dyn FnMut(u64),
}
