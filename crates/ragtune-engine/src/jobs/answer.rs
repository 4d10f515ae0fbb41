//! Answering a question from an index.

use ragtune_rag::{Judge, Retriever};
use ragtune_text::Question;

use crate::command::Answer;
use crate::event::{AnswerReport, CitedPassage, EventKind, Report};
use crate::jobs::search::check_fit;
use crate::models::open_template;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `answer`
pub(super) fn answer(answer: &Answer, context: &mut JobContext<'_>) -> Result<()> {
    if answer.query.trim().is_empty() {
        return Err(EngineError::input("the query is empty: write a question after --query"));
    }
    let template = open_template(answer.template.as_deref())?;
    let index = context.shelf().index(&answer.index)?;
    let device = super::device(&answer.device, context)?;
    let encoder = context.shelf().encoder(&answer.encoder, &device)?;
    let lm = context.shelf().lm(&answer.llm, &device)?;
    let retriever = Retriever::new(&index, &encoder)?;
    check_fit(&retriever, &|| encoder.fingerprint().to_owned(), &answer.settings, context)?;
    context.check()?;
    let mut judge = Judge::new(&lm, &template);
    judge.settings.max_new_tokens = answer.max_new_tokens;
    let question = Question { id: "0".to_owned(), text: answer.query.clone(), ..Question::default() };
    let mut told = String::new();
    let cancel = context.cancel_flag();
    let found = ragtune_rag::answer(&retriever, &judge, &question, &answer.settings, &mut |text| {
        if let Some(piece) = text.strip_prefix(&told).filter(|piece| !piece.is_empty()) {
            context.emit(EventKind::Text(piece.to_owned()));
            told = text.to_owned();
        }
        !cancel.is_set()
    })?;
    context.check()?;
    if found.dropped_passages > 0 {
        context.warn(format!("{} passages did not fit into the language model's context", found.dropped_passages));
    }
    let citations = found.citations.into_iter();
    context.report(Report::Answer(AnswerReport {
        answer: found.answer,
        citations: citations
            .map(|cited| CitedPassage { id: cited.id, rank: cited.rank, score: cited.score, source: cited.source })
            .collect(),
        dropped_passages: found.dropped_passages,
    }));
    Ok(())
}
