//! Indexes out of indexes: passages added, removed, brought together, written out.

use std::collections::HashSet;
use std::io::Write;

use ragtune_index::{BuildConfig, Index, IndexBuilder};
use ragtune_text::LexicalVocab;
use ragtune_text::storage::Directory;

use crate::command::{ExportIndex, RewriteIndex};
use crate::corpus::Corpus;
use crate::directory::Folder;
use crate::event::{BuildReport, ExportReport, Report};
use crate::jobs::index::add_corpus;
use crate::jobs::open_index;
use crate::models::open_tokenizer;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// Passages between two looks at the cancel flag.
const STEP: u32 = 1024;

/// `index add`, `index remove` and `index merge`
pub(super) fn rewrite(rewrite: &RewriteIndex, context: &mut JobContext<'_>) -> Result<()> {
    let start = context.seconds();
    let indexes = rewrite.from.iter().map(|path| open_index(path)).collect::<Result<Vec<_>>>()?;
    let Some(first) = indexes.first() else { return Err(EngineError::input("no index: name at least one")) };
    for (index, path) in indexes.iter().zip(&rewrite.from) {
        let (ours, theirs) = (first.meta(), index.meta());
        if (&ours.tokenizer_fingerprint, ours.max_tokens) != (&theirs.tokenizer_fingerprint, theirs.max_tokens) {
            return Err(EngineError::input(format!(
                "{}: built with another tokenizer or passage length than {}; build it anew with the same",
                path.display(),
                rewrite.from[0].display()
            )));
        }
    }
    let remove: HashSet<&str> = rewrite.remove.iter().map(String::as_str).collect();
    if let Some(unknown) = remove.iter().find(|id| indexes.iter().all(|index| index.ordinal(id).is_none())) {
        return Err(EngineError::input(format!("no passage {unknown:?} in the index; nothing was removed")));
    }
    let addition = match (&rewrite.add[..], &rewrite.tokenizer) {
        ([], _) => None,
        (paths, Some(tokenizer)) => Some((Corpus::open(paths)?, open_tokenizer(tokenizer)?)),
        (_, None) => return Err(EngineError::input("no tokenizer: name the index's with --tokenizer DIR|FILE")),
    };
    let meta = first.meta();
    let config = BuildConfig {
        max_tokens: meta.max_tokens,
        ..BuildConfig::new(first.vocab_ids().to_vec(), &meta.tokenizer_fingerprint, &meta.vocab_fingerprint)
    };
    let folder = Folder::create(&rewrite.out).map_err(|source| EngineError::io(&rewrite.out, source))?;
    let mut builder = IndexBuilder::new(&folder, config)?;
    context.begin("copying passages", "passages", Some(indexes.iter().map(|index| u64::from(index.len())).sum()));
    for index in &indexes {
        copy(index, &remove, &mut builder, context)?;
    }
    if let Some((corpus, tokenizer)) = &addition {
        if tokenizer.fingerprint() != meta.tokenizer_fingerprint {
            return Err(EngineError::input(format!(
                "{}: not the tokenizer that the index was built with",
                tokenizer.name()
            )));
        }
        let vocab = LexicalVocab::from_tokenizer(tokenizer);
        add_corpus(&mut builder, corpus, tokenizer, &vocab, meta.max_tokens as usize, context)?;
    }
    context.check()?;
    let had_parametric = indexes.iter().any(Index::has_parametric);
    let meta = builder.finish()?;
    if had_parametric {
        context.warn("the new index has no parametric part; add it with `ragtune index build --parametric --encoder DIR --out DIR`");
    }
    let seconds = context.seconds() - start;
    context.report(Report::Built(BuildReport::of(&meta, seconds, &rewrite.out)));
    Ok(())
}

fn copy(
    index: &Index,
    remove: &HashSet<&str>,
    builder: &mut IndexBuilder<'_>,
    context: &mut JobContext<'_>,
) -> Result<()> {
    for ordinal in 0..index.len() {
        if ordinal.is_multiple_of(STEP) {
            context.check()?;
            context.advance(builder.len() as u64);
        }
        if !remove.contains(index.passage_id(ordinal)?) {
            builder.add(&index.passage(ordinal)?, &index.bag(ordinal)?)?;
        }
    }
    Ok(())
}

/// `index export`
pub(super) fn export(export: &ExportIndex, context: &mut JobContext<'_>) -> Result<()> {
    let index = open_index(&export.index)?;
    let folder = Folder::create(&export.out).map_err(|source| EngineError::io(&export.out, source))?;
    let path = folder.path().join("corpus.jsonl");
    let fail = |source| EngineError::io(&path, source);
    let mut file = folder.create("corpus.jsonl").map_err(fail)?;
    context.begin("writing passages", "passages", Some(u64::from(index.len())));
    let mut bytes = 0;
    for ordinal in 0..index.len() {
        if ordinal.is_multiple_of(STEP) {
            context.check()?;
            context.advance(u64::from(ordinal));
        }
        let passage = index.passage(ordinal)?;
        let mut line = serde_json::json!({ "_id": passage.id, "title": passage.title, "text": passage.text });
        if let (Some(source), Some(fields)) = (&passage.source, line.as_object_mut()) {
            fields.insert("source".to_owned(), serde_json::json!(source));
        }
        let line = format!("{line}\n");
        bytes += line.len() as u64;
        file.write_all(line.as_bytes()).map_err(fail)?;
    }
    context.check()?;
    file.finish().map_err(fail)?;
    context.report(Report::Exported(ExportReport {
        passages: u64::from(index.len()),
        bytes,
        file: path.display().to_string(),
    }));
    Ok(())
}
