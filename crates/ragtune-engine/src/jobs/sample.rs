//! Writing a sample world.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ragtune_sample::models::{write_encoder, write_reader};
use ragtune_sample::{BeirWriters, Population, SampleCounts, World, WorldConfig};
use ragtune_text::storage::{Directory, FileWriter};

use crate::command::{GenerateSample, ListModels, WriteSampleModels};
use crate::directory::Folder;
use crate::event::{Report, SampleReport};
use crate::jobs::models;
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

/// `sample models`
pub(super) fn models(wanted: &WriteSampleModels, context: &mut JobContext<'_>) -> Result<()> {
    write_models(&wanted.out)?;
    models::list(&ListModels { folder: wanted.out.clone() }, context)
}

/// Writes the models that ship with the sample world, each in a folder of its own; the encoder's and the reader's folder.
pub fn write_models(out: &Path) -> Result<(PathBuf, PathBuf)> {
    let [encoder, reader] = ["encoder", "reader"].map(|name| out.join(name));
    for (path, write) in [(&encoder, write_encoder as fn(&dyn Directory) -> _), (&reader, write_reader)] {
        let fail = |source| EngineError::io(path, source);
        write(&Folder::create(path).map_err(fail)?).map_err(fail)?;
    }
    Ok((encoder, reader))
}

/// Writes the files of a BEIR folder with `qa.jsonl`. Every file appears at the end, when all are complete.
pub fn write_world(world: &World, folder: &Folder, context: &mut JobContext<'_>) -> Result<SampleCounts> {
    let fail = |source| EngineError::io(folder.path(), source);
    let create = |name: &str| folder.create(name).map_err(fail);
    let (mut corpus, mut queries, mut qa) = (create("corpus.jsonl")?, create("queries.jsonl")?, create("qa.jsonl")?);
    let (mut train, mut dev) = (create("qrels/train.tsv")?, create("qrels/dev.tsv")?);
    let mut test = create("qrels/test.tsv")?;
    context.begin("writing the sample world", "passages", Some(world.config().passages));
    let cancel = context.cancel_flag();
    let written = world.write_beir(BeirWriters {
        corpus: &mut Watched { file: &mut *corpus, lines: 0, cancel: &cancel, on_line: &mut |n| context.advance(n) },
        queries: &mut queries,
        train: &mut train,
        dev: &mut dev,
        test: &mut test,
        qa: &mut Watched { file: &mut *qa, lines: 0, cancel: &cancel, on_line: &mut |_| () },
    });
    context.check()?;
    let counts = written.map_err(fail)?;
    for file in [corpus, queries, train, dev, test, qa] {
        file.finish().map_err(fail)?;
    }
    Ok(counts)
}

/// A writer that counts its lines and ends the work when the user asks to stop.
struct Watched<'a> {
    file: &'a mut dyn FileWriter,
    lines: u64,
    cancel: &'a CancelFlag,
    on_line: &'a mut dyn FnMut(u64),
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.is_set() {
            return Err(io::Error::other("interrupted"));
        }
        if bytes.ends_with(b"\n") {
            self.lines += 1;
            (self.on_line)(self.lines);
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
