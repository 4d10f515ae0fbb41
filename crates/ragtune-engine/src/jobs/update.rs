//! Bringing an index up to date with its files: only what is new or changed is read.
//!
//! | module | what it does |
//! |---|---|
//! | [`manifest`] | remembers beside the index which file gave which passages |
//! | [`pass`] | goes through the files in order, keeps or reads each, and writes the new index beside the old one |
//! | [`staging`] | puts the new index in the old one's place |

mod manifest;
mod pass;
pub(super) mod staging;

use crate::fs;
use std::collections::{BTreeMap, HashSet};

use ragtune_index::{Index, IndexError, IndexMeta};
use ragtune_text::LexicalVocab;
use ragtune_text::storage::Directory;

use self::manifest::Manifest;
use self::pass::{Pass, Work};
use self::staging::Staging;
use crate::command::UpdateIndex;
use crate::corpus::{ALIASES, Found, survey};
use crate::directory::Folder;
use crate::event::{BuildReport, FileOutcome, FileState, Report, UpdateReport};
use crate::jobs::index::{aliases_text, build_config, chunk_config, passage_tokens, tokenizer_of};
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `index update`
pub(super) fn update(update: &UpdateIndex, context: &mut JobContext<'_>) -> Result<()> {
    if update.sources.is_empty() {
        return Err(EngineError::input("no corpus: name files or folders with --corpus PATH"));
    }
    let start = context.seconds();
    let tokenizer = tokenizer_of(update.tokenizer.as_deref(), update.encoder.as_ref())?;
    let max_tokens = passage_tokens(update.encoder.as_ref().map(|source| source.folder.as_path()));
    let vocab = LexicalVocab::from_tokenizer(&tokenizer);
    let config = build_config(&tokenizer, &vocab, max_tokens, update.memory);
    context.on_cancel("the index is as it was; run the same command again");
    context.begin("looking for files", "files", None);
    let found = unlike(survey(&update.sources));

    let fresh = !fs::exists(&update.index);
    let folder = Folder::create(&update.index).map_err(|source| EngineError::io(&update.index, source))?;
    let result = Staging::begin(&update.index).and_then(|staging| {
        let old = old_index(&folder, context)?;
        let manifest = old
            .as_ref()
            .filter(|old| {
                let meta = old.meta();
                (&meta.tokenizer_fingerprint, &meta.vocab_fingerprint, meta.max_tokens)
                    == (&config.tokenizer_fingerprint, &config.vocab_fingerprint, config.max_tokens)
            })
            .and_then(|old| Manifest::read(&folder, old.meta()))
            .unwrap_or_default();
        let work = Work { tokenizer: &tokenizer, vocab: &vocab, config: &config, chunks: chunk_config(max_tokens) };
        let folders = staging.folders()?;
        let pass = Pass::new(work, &folders, old.as_ref(), &manifest, context);
        let mut done = pass.run(&found)?;
        let stopped = done.left > 0;
        let changed = done.built.is_some();
        let aliases = aliases(&found, context);
        if stopped {
            // Without a new file there is nothing to keep: the index is as it was.
            if !changed || done.count(|state| matches!(state, FileState::Indexed { .. })) == 0 {
                return Err(EngineError::Cancelled);
            }
            let kept = done.count(|state| matches!(state, FileState::Indexed { .. } | FileState::Unchanged { .. }));
            let failed = done.count(|state| matches!(state, FileState::Failed { .. }));
            context.on_cancel(format!(
                "{kept} of {} files are in the index; run the same command again to go on with the others",
                kept + failed + done.left
            ));
        }
        let meta = match (done.built.take(), &old) {
            (Some(built), old) => {
                let had_parametric = old.as_ref().is_some_and(Index::has_parametric);
                let entries = std::mem::take(&mut done.entries);
                let meta = place(&staging, &folders[built.at], built.meta, entries, &aliases)?;
                if had_parametric {
                    context.warn(format!(
                        "the new index has no parametric part; add it with `ragtune index build --parametric --encoder DIR --out {}`",
                        update.index.display()
                    ));
                }
                meta
            }
            (None, Some(old)) => {
                touch(&folder, &manifest, &done.entries, old.meta(), &aliases)?;
                old.meta().clone()
            }
            (None, None) => return Err(nothing(&done.outcomes)),
        };
        Ok((meta, done.outcomes, stopped))
    });
    if fresh && result.is_err() {
        // Fails when something is in it, and then it shall stay.
        let _ = fs::remove_dir(&update.index);
    }
    let (meta, files, stopped) = result?;
    if stopped {
        return Err(EngineError::Cancelled);
    }
    let report = report(BuildReport::of(&meta, context.seconds() - start, &update.index), files);
    if report.failed > 0 {
        let files = if report.failed == 1 { "file" } else { "files" };
        context.warn(format!("{} {files} could not be read; the reasons stand in the result", report.failed));
    }
    context.report(Report::Updated(report));
    Ok(())
}

/// The index that stands in the folder. One that is damaged is as good as none; one of a newer ragtune is not touched.
fn old_index(folder: &Folder, context: &mut JobContext<'_>) -> Result<Option<Index>> {
    match Index::open(folder) {
        Ok(index) => Ok(Some(index)),
        Err(IndexError::Missing { .. }) => Ok(None),
        Err(error @ (IndexError::Format { .. } | IndexError::Io { .. })) => Err(error.into()),
        Err(error) => {
            context.warn(format!("{error}; every file is read again"));
            Ok(None)
        }
    }
}

/// Every file once, under the name by which it was found first.
fn unlike(found: Vec<Found>) -> Vec<Found> {
    let (mut names, mut places) = (HashSet::new(), HashSet::new());
    let mut kept = Vec::with_capacity(found.len());
    for found in found {
        let name = match &found {
            Found::File { file, .. } => &file.name,
            Found::Skipped { name, .. } | Found::Failed { name, .. } => name,
        };
        if !names.insert(name.clone()) {
            continue;
        }
        let place = match &found {
            Found::File { file, .. } => fs::canonicalize(&file.path).ok(),
            _ => None,
        };
        kept.push(match (place.map(|place| places.insert(place)), found) {
            (Some(false), Found::File { file, .. }) => {
                Found::Skipped { name: file.name, reason: "the same file as another one that was named" }
            }
            (_, found) => found,
        });
    }
    kept
}

/// Duplicates that the corpora left out. A list that cannot be read costs its own duplicates alone.
fn aliases(found: &[Found], context: &mut JobContext<'_>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for found in found {
        if let Found::File { file, .. } = found {
            match file.aliases() {
                Ok(aliases) => all.extend(aliases),
                Err(error) => context.warn(error.to_string()),
            }
        }
    }
    all
}

/// Puts the new index in its place, with the list of its files.
fn place(
    staging: &Staging,
    built: &Folder,
    meta: IndexMeta,
    entries: Vec<manifest::Entry>,
    aliases: &BTreeMap<String, String>,
) -> Result<IndexMeta> {
    let fail = |source| EngineError::io(built.path(), source);
    match aliases_text(aliases) {
        Some(text) => built.write(ALIASES, text.as_bytes()).map_err(fail)?,
        None => built.remove(ALIASES).map_err(fail)?,
    }
    Manifest::new(&meta, entries).write(built)?;
    staging.finish(built)?;
    Ok(meta)
}

/// Of an index that stays as it is, only what is known of its files may have changed.
fn touch(
    folder: &Folder,
    old: &Manifest,
    entries: &[manifest::Entry],
    meta: &IndexMeta,
    aliases: &BTreeMap<String, String>,
) -> Result<()> {
    let fail = |source| EngineError::io(folder.path(), source);
    let text = aliases_text(aliases).unwrap_or_default();
    let before = if folder.exists(ALIASES) { folder.read(ALIASES).map_err(fail)?.to_vec() } else { Vec::new() };
    if before != text.as_bytes() {
        match text.as_str() {
            "" => folder.remove(ALIASES).map_err(fail)?,
            text => folder.write(ALIASES, text.as_bytes()).map_err(fail)?,
        }
    }
    if old.files != entries {
        Manifest::new(meta, entries.to_vec()).write(folder)?;
    }
    Ok(())
}

/// The error when no file gave a passage.
fn nothing(outcomes: &[FileOutcome]) -> EngineError {
    let failed = outcomes.iter().filter_map(|outcome| match &outcome.state {
        FileState::Failed { reason } => Some(format!("{}: {reason}", outcome.file)),
        _ => None,
    });
    let failed: Vec<String> = failed.collect();
    let others = match failed.len() {
        0 => "no file with text is among the sources".to_owned(),
        1 => failed[0].clone(),
        n => format!("none of {n} files could be read. The first: {}", failed[0]),
    };
    EngineError::input(format!("nothing to index, the index was left as it was: {others}"))
}

fn report(built: BuildReport, files: Vec<FileOutcome>) -> UpdateReport {
    let count = |wanted: fn(&FileState) -> bool| files.iter().filter(|outcome| wanted(&outcome.state)).count();
    UpdateReport {
        built,
        indexed: count(|state| matches!(state, FileState::Indexed { .. })),
        unchanged: count(|state| matches!(state, FileState::Unchanged { .. })),
        skipped: count(|state| matches!(state, FileState::Skipped { .. })),
        failed: count(|state| matches!(state, FileState::Failed { .. })),
        removed: count(|state| matches!(state, FileState::Removed)),
        files,
    }
}
