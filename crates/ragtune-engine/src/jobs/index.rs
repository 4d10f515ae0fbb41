//! Building indexes and looking into them.

use std::collections::BTreeMap;
use std::path::Path;

use ragtune_index::{
    BuildConfig, DEFAULT_BLOCK, DEFAULT_PARAMETRIC_BLOCK, Index, IndexBuilder, IndexError, IndexMeta,
    ParametricBuilder, verify,
};
use ragtune_model::{BertConfig, Encoder, Kind};
use ragtune_rag::{encoder_fingerprint, retriever};
use ragtune_text::formats::ChunkConfig;
use ragtune_text::storage::Directory;
use ragtune_text::{LexicalVocab, Passage, Tokenizer};
use rayon::prelude::*;

use crate::command::{BuildIndex, EncoderSource, IndexPath};
use crate::corpus::{ALIASES, Corpus};
use crate::directory::Folder;
use crate::event::{BuildReport, IndexReport, Report};
use crate::fs;
use crate::jobs::update::staging;
use crate::models::{open_encoder, open_tokenizer};
use crate::session::JobContext;
use crate::{EngineError, Result, hub};

/// Passages that are tokenised at once, on all cores.
pub(super) const BATCH: usize = 1024;
/// Passages that are encoded between two looks at the cancel flag, sorted by length among themselves.
const ENCODE_BATCH: usize = 256;
/// Tokens of one pass through the encoder, padding included.
const BATCH_TOKENS: usize = 4096;
/// Tokens of a passage that its bag covers, unless the encoder reads fewer.
pub(super) const PASSAGE_TOKENS: usize = 256;
/// Largest dimensions in S+.
pub(super) const TOP_K: usize = 768;

/// `index build`
pub(super) fn build(build: &BuildIndex, context: &mut JobContext<'_>) -> Result<()> {
    let encoder = match (&build.encoder, build.parametric) {
        (Some(source), true) => {
            let device = super::device(&build.device, context)?;
            Some(open_encoder(source, &device)?)
        }
        (None, true) => {
            return Err(EngineError::input("--parametric encodes every passage: name an encoder with --encoder DIR"));
        }
        _ => None,
    };
    let start = context.seconds();
    let meta = if build.corpus.is_empty() {
        refresh(build, encoder.as_ref(), context)?
    } else {
        whole(build, encoder.as_ref(), context)?
    };
    let seconds = context.seconds() - start;
    context.report(Report::Built(BuildReport::of(&meta, seconds, &build.out)));
    Ok(())
}

/// Only the parametric part, of an index that stands.
fn refresh(build: &BuildIndex, encoder: Option<&Encoder>, context: &mut JobContext<'_>) -> Result<IndexMeta> {
    let Some(encoder) = encoder else { return Err(EngineError::input("no corpus: name one with --corpus PATH")) };
    let folder = open_folder(&build.out)?;
    context.on_cancel("the index is as it was; run the same command again");
    add_parametric(&folder, encoder, build.memory, context)
}

fn whole(build: &BuildIndex, encoder: Option<&Encoder>, context: &mut JobContext<'_>) -> Result<IndexMeta> {
    let tokenizer = match (&build.tokenizer, encoder) {
        (None, Some(encoder)) => encoder.tokenizer.clone(),
        _ => tokenizer_of(build.tokenizer.as_deref(), build.encoder.as_ref())?,
    };
    if let Some(encoder) = encoder
        && tokenizer.fingerprint() != encoder.tokenizer.fingerprint()
    {
        return Err(EngineError::input(format!(
            "{}: another tokenizer than the encoder's; leave --tokenizer out, then the encoder's is used",
            tokenizer.name()
        )));
    }
    let max_tokens = encoder.map_or_else(
        || passage_tokens(build.encoder.as_ref().map(|source| source.folder.as_path())),
        |encoder| encoder.meta.passage_tokens,
    );
    let corpus = Corpus::open(&build.corpus)?;
    let fresh = !fs::exists(&build.out);
    let folder = Folder::create(&build.out).map_err(|source| EngineError::io(&build.out, source))?;
    let result = build_index(&folder, &corpus, &tokenizer, max_tokens, build.memory, context);
    if result.is_err() && fresh {
        // Fails when something is in it, and then it shall stay.
        let _ = crate::fs::remove_dir(&build.out);
    }
    let meta = result?;
    match encoder {
        Some(encoder) => {
            let again = build.out.display();
            context.on_cancel(format!(
                "the bag-of-tokens index in {again} is whole; add the parametric part with `ragtune index build --parametric --encoder DIR --out {again}`"
            ));
            add_parametric(&folder, encoder, build.memory, context)
        }
        None => Ok(meta),
    }
}

/// The tokenizer that was named, else the encoder's.
pub(super) fn tokenizer_of(tokenizer: Option<&Path>, encoder: Option<&EncoderSource>) -> Result<Tokenizer> {
    match tokenizer.or(encoder.map(|source| source.folder.as_path())) {
        Some(path) => open_tokenizer(path),
        None => Err(EngineError::input(
            "no tokenizer: name one with --tokenizer DIR|FILE, or an encoder with --encoder DIR",
        )),
    }
}

/// How documents are cut for passages of so many tokens.
pub(super) fn chunk_config(max_tokens: usize) -> ChunkConfig {
    let overlap = ChunkConfig::default().overlap_tokens;
    ChunkConfig { max_tokens: max_tokens.max(16), overlap_tokens: overlap.min(max_tokens / 2) }
}

/// With what an index of this tokenizer is built.
pub(super) fn build_config(
    tokenizer: &Tokenizer,
    vocab: &LexicalVocab,
    max_tokens: usize,
    memory: Option<u64>,
) -> BuildConfig {
    BuildConfig {
        max_tokens: max_tokens as u32,
        block: block(memory, BYTES_PER_PASSAGE, DEFAULT_BLOCK),
        ..BuildConfig::new(vocab.ids().to_vec(), tokenizer.fingerprint(), vocab.fingerprint())
    }
}

/// Tokens that an encoder reads of a passage, from its `ragtune.json` or `config.json`, without loading it.
pub(super) fn passage_tokens(folder: Option<&Path>) -> usize {
    let folder = folder.and_then(|folder| hub::resolve(folder).ok());
    let folder = folder.as_deref();
    let number = |file: &str, field: &str| {
        let text = fs::read(folder?.join(file)).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
        usize::try_from(value.get(field)?.as_u64()?).ok()
    };
    let own = number("ragtune.json", "passage_tokens").unwrap_or(PASSAGE_TOKENS);
    let config = folder.and_then(|folder| BertConfig::from_dir(&Folder::open(folder).ok()?).ok());
    config.map_or(own, |config| own.min(config.longest()))
}

/// Indexes a corpus: streams its passages, tokenises them on all cores and writes their bags of tokens.
///
/// An error or a cancellation leaves the folder as it was.
pub fn build_index(
    folder: &Folder,
    corpus: &Corpus,
    tokenizer: &Tokenizer,
    max_tokens: usize,
    memory: Option<u64>,
    context: &mut JobContext<'_>,
) -> Result<IndexMeta> {
    let vocab = LexicalVocab::from_tokenizer(tokenizer);
    let mut builder = IndexBuilder::new(folder, build_config(tokenizer, &vocab, max_tokens, memory))?;
    add_corpus(&mut builder, corpus, tokenizer, &vocab, max_tokens, context)?;
    if builder.is_empty() {
        return Err(corpus.empty());
    }
    context.check()?;
    let meta = builder.finish()?;
    write_aliases(folder, corpus)?;
    Ok(meta)
}

/// Adds all passages of a corpus.
pub(super) fn add_corpus(
    builder: &mut IndexBuilder<'_>,
    corpus: &Corpus,
    tokenizer: &Tokenizer,
    vocab: &LexicalVocab,
    max_tokens: usize,
    context: &mut JobContext<'_>,
) -> Result<()> {
    context.begin("indexing", "bytes", Some(corpus.bytes()));
    let mut passages = corpus.passages(tokenizer, chunk_config(max_tokens));
    loop {
        context.check()?;
        let mut batch: Vec<(Passage, String)> = Vec::with_capacity(BATCH);
        while batch.len() < BATCH {
            let Some(passage) = passages.next() else { break };
            batch.push((passage?, passages.place()));
        }
        if batch.is_empty() {
            return Ok(());
        }
        let bags: Vec<Vec<u32>> = batch
            .par_iter()
            .map(|(passage, _)| Ok(vocab.bag(&tokenizer.passage(&passage.title, &passage.text, max_tokens)?)))
            .collect::<Result<_>>()?;
        for ((passage, place), bag) in batch.iter().zip(&bags) {
            builder.add(passage, bag).map_err(|error| match error {
                IndexError::DuplicateId { id, .. } => EngineError::input(format!(
                    "{place}: the passage id {id:?} occurs a second time. Give every passage its own id"
                )),
                other => other.into(),
            })?;
        }
        context.relabel(format!("indexing, {} passages", builder.len()));
        context.advance(passages.bytes_read());
    }
}

/// Duplicates that the corpus left out are remembered beside the index, so that questions about them find the others.
fn write_aliases(folder: &Folder, corpus: &Corpus) -> Result<()> {
    let fail = |source| EngineError::io(&folder.path().join(ALIASES), source);
    match aliases_text(corpus.aliases()) {
        Some(text) => folder.write(ALIASES, text.as_bytes()).map_err(fail),
        None => folder.remove(ALIASES).map_err(fail),
    }
}

/// The list of duplicates as a file; `None` when there are none.
pub(super) fn aliases_text(aliases: &BTreeMap<String, String>) -> Option<String> {
    let lines = aliases.iter().map(|(duplicate, kept)| format!("{duplicate}\t{kept}\n"));
    (!aliases.is_empty()).then(|| std::iter::once("duplicate-id\tkept-id\n".to_owned()).chain(lines).collect())
}

/// Memory that postings of one passage take while their block is built, generously.
const BYTES_PER_PASSAGE: u64 = 2_000;
const BYTES_PER_VECTOR: u64 = 20_000;

/// Passages per block that fit into a memory limit.
fn block(memory: Option<u64>, each: u64, most: u32) -> u32 {
    memory.map_or(most, |bytes| u32::try_from(bytes / each).unwrap_or(most).clamp(64, most))
}

/// Encodes every passage of an index and writes the parametric part.
fn add_parametric(
    folder: &Folder,
    encoder: &Encoder,
    memory: Option<u64>,
    context: &mut JobContext<'_>,
) -> Result<IndexMeta> {
    let index = Index::open(folder)?;
    index.check_vocab(&encoder.vocab.fingerprint())?;
    let mut builder = ParametricBuilder::with_block(folder, block(memory, BYTES_PER_VECTOR, DEFAULT_PARAMETRIC_BLOCK))?;
    context.begin("encoding passages", "passages", Some(u64::from(index.len())));
    let mut next = 0;
    while next < index.len() {
        let end = index.len().min(next + ENCODE_BATCH as u32);
        let mut ids = Vec::with_capacity(ENCODE_BATCH);
        for ordinal in next..end {
            context.check()?;
            let passage = index.passage(ordinal)?;
            ids.push(encoder.passage_ids(&passage.title, &passage.text)?);
        }
        for vector in retriever::encode(encoder, Kind::Passage, &ids, BATCH_TOKENS, &|forms| forms.s_plus(TOP_K)) {
            builder.add(&vector)?;
        }
        next = end;
        context.advance(u64::from(next));
    }
    context.check()?;
    Ok(builder.finish(&encoder_fingerprint(encoder))?)
}

/// `index info` and `index verify`
pub(super) fn info(path: &IndexPath, verified: bool, context: &mut JobContext<'_>) -> Result<()> {
    let folder = open_folder(&path.index)?;
    let meta = if verified { verify(&folder)? } else { Index::open(&folder)?.meta().clone() };
    context.report(Report::Index(IndexReport {
        index: path.index.display().to_string(),
        passages: u64::from(meta.passages),
        dims: meta.dims,
        postings: meta.postings,
        parametric_weights: meta.parametric.as_ref().map(|part| part.postings),
        bytes: meta.bytes(),
        bits_per_posting: meta.bits_per_posting(),
        verified,
        meta,
    }));
    Ok(())
}

/// The folder of an index that should exist.
pub(super) fn open_folder(path: &Path) -> Result<Folder> {
    // An update that was killed while it put the new index in its place is brought to its end.
    staging::recover(path);
    Folder::open(path).map_err(|source| EngineError::io(path, source))
}

/// Opens an index.
pub fn open_index(path: &Path) -> Result<Index> {
    Ok(Index::open(&open_folder(path)?)?)
}
