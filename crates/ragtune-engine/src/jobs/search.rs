//! Finding passages.

use ragtune_eval::run::{Retrieved, Run};
use ragtune_model::Encoder;
use ragtune_rag::{ExplainedToken, Retriever, SearchMode, SearchSettings, encoder_fingerprint};
use ragtune_text::{Hit, Question};

use crate::command::{Queries, Search};
use crate::directory::write_file;
use crate::event::{EventKind, Explained, FoundPassage, QueryHits, Report, SearchReport};
use crate::jobs::open_index;
use crate::models::open_encoder;
use crate::questions::read_queries;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// Queries that are searched between two looks at the cancel flag.
const QUERIES: usize = 32;
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
    let index = open_index(&search.index)?;
    let device = super::device(search.device, context)?;
    let encoder = open_encoder(&search.encoder, &device)?;
    let retriever = Retriever::new(&index, &encoder)?;
    check_fit(&retriever, &encoder, &search.settings, context)?;
    let start = context.seconds();
    let found = search_all(&retriever, &queries, &search.settings, context)?;
    let mut all = Vec::with_capacity(queries.len());
    let mut run = Run::default();
    for (query, hits) in queries.iter().zip(&found) {
        let explained =
            if search.explain { explain(&retriever, &query.text, hits, &search.settings)? } else { Vec::new() };
        let passages = found_passages(&retriever, hits, explained)?;
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
/// its scores would be meaningless.
pub fn check_fit(
    retriever: &Retriever<'_>,
    encoder: &Encoder,
    settings: &SearchSettings,
    context: &mut JobContext<'_>,
) -> Result<()> {
    let parametric =
        matches!(settings.mode, SearchMode::Full | SearchMode::Alpha) && retriever.index().has_parametric();
    if parametric {
        retriever.index().check_encoder(&encoder_fingerprint(encoder))?;
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
    context.begin("searching", "queries", Some(queries.len() as u64));
    let mut found = Vec::with_capacity(queries.len());
    for part in queries.chunks(QUERIES) {
        context.check()?;
        let texts: Vec<&str> = part.iter().map(|query| query.text.as_str()).collect();
        found.extend(retriever.search(&texts, settings)?);
        context.advance(found.len() as u64);
    }
    Ok(found)
}

fn explain(
    retriever: &Retriever<'_>,
    query: &str,
    hits: &[Hit],
    settings: &SearchSettings,
) -> Result<Vec<Vec<ExplainedToken>>> {
    let ordinals: Vec<u32> = hits.iter().map(|hit| hit.ordinal).collect();
    Ok(retriever.explain(query, &ordinals, settings)?)
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
        found.push(FoundPassage {
            id: passage.id,
            rank: at + 1,
            score: hit.score,
            title: passage.title,
            text: passage.text,
            source: passage.source,
            explain: explained.next().map(|tokens| tokens.into_iter().map(Explained::from).collect()),
        });
    }
    Ok(found)
}

impl From<ExplainedToken> for Explained {
    fn from(token: ExplainedToken) -> Self {
        let ExplainedToken { token, id, query_weight, passage_weight, product } = token;
        Self { token, id, query_weight, passage_weight, product }
    }
}
