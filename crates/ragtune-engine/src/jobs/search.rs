//! Finding passages.

use std::collections::HashMap;

use ragtune_eval::run::{Retrieved, Run};
use ragtune_rag::{ExplainedHits, ExplainedToken, PassageVectors, Retriever, SearchMode, SearchSettings};
use ragtune_text::{Hit, Question};

use crate::command::{Queries, Search};
use crate::directory::write_file;
use crate::event::{EventKind, Explained, FoundPassage, Mark, QueryHits, Report, SearchReport};
use crate::questions::read_queries;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// Queries that are searched between two looks at the cancel flag.
const QUERIES: usize = 32;
/// Passages that are re-ranked between two streamed orders.
const PART: usize = 10;
/// Passages' vectors that `late` keeps from query to query: about 220 MB.
const KEPT_VECTORS: usize = 1 << 15;
/// Name of the system in run files.
const TAG: &str = "ragtune";

/// `search`
pub(super) fn search(search: &Search, context: &mut JobContext<'_>) -> Result<()> {
    let queries = match &search.queries {
        Queries::Text(text) if text.trim().is_empty() => {
            return Err(EngineError::input("the query is empty: write a question after --query"));
        }
        Queries::Text(text) => vec![Question { id: "0".to_owned(), text: text.clone(), ..Question::default() }],
        Queries::File(path) => read_queries(path)?,
    };
    let index = context.shelf().index(&search.index)?;
    let device = super::device(&search.device, context)?;
    let encoder = context.shelf().encoder(&search.encoder, &device)?;
    let retriever = Retriever::new(&index, &encoder)?;
    check_fit(&retriever, &|| encoder.fingerprint().to_owned(), &search.settings, context)?;
    let start = context.seconds();
    let found = match (&queries[..], search.settings.mode) {
        ([query], SearchMode::Late) if search.stream => vec![stream(&retriever, query, &search.settings, context)?],
        _ if search.explain => explain_all(&retriever, &queries, &search.settings, context)?,
        _ => {
            let found = search_all(&retriever, &queries, &search.settings, context)?;
            found.into_iter().map(|hits| ExplainedHits { hits, ..ExplainedHits::default() }).collect()
        }
    };
    let mut all = Vec::with_capacity(queries.len());
    let mut run = Run::default();
    for (query, found) in queries.iter().zip(found) {
        let explained = if search.explain { found.tokens } else { Vec::new() };
        let passages = found_passages(&retriever, &found.hits, explained)?;
        let retrieved = passages.iter().map(|hit| Retrieved { id: hit.id.clone(), score: hit.score }).collect();
        run.queries.insert(query.id.clone(), retrieved);
        all.push(QueryHits { id: query.id.clone(), hits: passages, reranked: None });
    }
    let seconds = context.seconds() - start;
    if let Some(path) = &search.run_file {
        let mut bytes = Vec::new();
        run.write(&mut bytes, &path.display().to_string(), TAG)?;
        write_file(path, &mut |file| file.write_all(&bytes)).map_err(|source| EngineError::io(path, source))?;
    }
    context.emit(EventKind::Hits(all.clone()));
    context.report(Report::Search(SearchReport { queries: all, seconds }));
    Ok(())
}

/// Warns when index and encoder are not made for each other; a parametric index of another encoder is refused, because
/// its scores would be meaningless. `fingerprint` is the encoder's; it is asked for only when it matters.
pub fn check_fit(
    retriever: &Retriever<'_>,
    fingerprint: &dyn Fn() -> String,
    settings: &SearchSettings,
    context: &mut JobContext<'_>,
) -> Result<()> {
    let parametric =
        matches!(settings.mode, SearchMode::Full | SearchMode::Alpha) && retriever.index().has_parametric();
    if parametric {
        retriever.index().check_encoder(&fingerprint())?;
    } else {
        retriever.warnings(settings.mode, "").into_iter().for_each(|warning| context.warn(warning));
    }
    Ok(())
}

/// The hits of every query, in their order, with progress.
pub fn search_all(
    retriever: &Retriever<'_>,
    queries: &[Question],
    settings: &SearchSettings,
    context: &mut JobContext<'_>,
) -> Result<Vec<Vec<Hit>>> {
    in_parts(queries, context, |texts, vectors| retriever.search_keeping(texts, settings, vectors))
}

/// [`search_all`] with what makes the scores.
fn explain_all(
    retriever: &Retriever<'_>,
    queries: &[Question],
    settings: &SearchSettings,
    context: &mut JobContext<'_>,
) -> Result<Vec<ExplainedHits>> {
    in_parts(queries, context, |texts, vectors| retriever.search_explained(texts, settings, vectors))
}

/// Searches for some queries at a time, with vectors that one search leaves to the next.
fn in_parts<T>(
    queries: &[Question],
    context: &mut JobContext<'_>,
    mut search: impl FnMut(&[&str], &mut PassageVectors) -> ragtune_rag::Result<Vec<T>>,
) -> Result<Vec<T>> {
    context.begin("searching", "queries", Some(queries.len() as u64));
    let mut found = Vec::with_capacity(queries.len());
    let mut vectors = PassageVectors::new(KEPT_VECTORS);
    for part in queries.chunks(QUERIES) {
        context.check()?;
        let texts: Vec<&str> = part.iter().map(|query| query.text.as_str()).collect();
        found.extend(search(&texts, &mut vectors)?);
        context.advance(found.len() as u64);
    }
    Ok(found)
}

/// `late` for one query, telling the order after the first stage and whenever some more passages were re-ranked.
fn stream(
    retriever: &Retriever<'_>,
    query: &Question,
    settings: &SearchSettings,
    context: &mut JobContext<'_>,
) -> Result<ExplainedHits> {
    let mut failed = None;
    let mut tell = |hits: &[Hit], done: usize, total: usize| {
        match found_passages(retriever, hits, Vec::new()) {
            Ok(hits) => {
                let reranked = (done < total).then_some((done, total));
                context.emit(EventKind::Hits(vec![QueryHits { id: query.id.clone(), hits, reranked }]));
            }
            Err(error) => failed = Some(error),
        }
        failed.is_none() && !context.cancelled()
    };
    let found = retriever.late_in_parts(&query.text, settings, PART, &mut tell)?;
    match failed {
        Some(error) => Err(error),
        None => found.ok_or(EngineError::Cancelled),
    }
}

fn found_passages(
    retriever: &Retriever<'_>,
    hits: &[Hit],
    explained: Vec<Vec<ExplainedToken>>,
) -> Result<Vec<FoundPassage>> {
    let mut explained = explained.into_iter();
    let mut found = Vec::with_capacity(hits.len());
    for (at, hit) in hits.iter().enumerate() {
        let passage = retriever.index().passage(hit.ordinal)?;
        let tokens = explained.next();
        let marks = match &tokens {
            Some(tokens) => marks(retriever, &passage.text, tokens)?,
            None => Vec::new(),
        };
        found.push(FoundPassage {
            id: passage.id,
            rank: at + 1,
            score: hit.score,
            title: passage.title,
            text: passage.text,
            source: passage.source,
            explain: tokens.map(|tokens| tokens.into_iter().map(Explained::from).collect()),
            marks,
        });
    }
    Ok(found)
}

/// Where the tokens of an explanation stand in a text.
fn marks(retriever: &Retriever<'_>, text: &str, tokens: &[ExplainedToken]) -> Result<Vec<Mark>> {
    let products: HashMap<u32, f32> = tokens.iter().map(|token| (token.id, token.product)).collect();
    let spans = retriever.encoder().tokenizer.spans(text)?;
    let mark = |(id, span): (u32, std::ops::Range<usize>)| {
        let product = *products.get(&id)?;
        Some(Mark { start: span.start, end: span.end, product })
    };
    Ok(spans.into_iter().filter_map(mark).collect())
}

impl From<ExplainedToken> for Explained {
    fn from(token: ExplainedToken) -> Self {
        let ExplainedToken { token, id, query_weight, passage_weight, product } = token;
        Self { token, id, query_weight, passage_weight, product }
    }
}
