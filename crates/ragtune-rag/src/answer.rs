//! Answering a question from the corpus, with the passages that were in context as citations.

use std::cell::RefCell;

use ragtune_text::{Passage, Question, Source};
use serde::Serialize;

use crate::batch::{first_line, line_ends};
use crate::prompt::fit;
use crate::{Judge, Result, Retriever, SearchSettings};

/// An answer with what it stands on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// First line of the greedy generation.
    pub answer: String,
    /// The passages in context, best first.
    pub citations: Vec<Citation>,
    /// Retrieved passages that did not fit into the context.
    pub dropped_passages: usize,
    /// Whether the last passage in context lost the end of its text.
    pub cut: bool,
}

/// A passage that stood in context.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Citation {
    /// The passage's identifier.
    pub id: String,
    /// Its place, from 1: the number that it had in the prompt.
    pub rank: usize,
    /// Its retrieval score.
    pub score: f32,
    /// The file that it was cut from, when it was.
    pub source: Option<Source>,
}

/// Retrieves `settings.k` passages and lets the judge's language model answer with them in context.
///
/// `on_text` sees the text so far after every token and may end it by returning false.
pub fn answer(
    retriever: &Retriever<'_>,
    judge: &Judge<'_>,
    question: &Question,
    settings: &SearchSettings,
    on_text: &mut dyn FnMut(&str) -> bool,
) -> Result<Answer> {
    let hits = retriever.search(&[&question.text], settings)?.pop().unwrap_or_default();
    let mut passages: Vec<Passage> = Vec::with_capacity(hits.len());
    for hit in &hits {
        passages.push(retriever.index().passage(hit.ordinal)?);
    }
    let limit = judge.settings.new_tokens(question.kind());
    let borrowed: Vec<&Passage> = passages.iter().collect();
    let prompt = fit(judge.lm, judge.template, question, &borrowed, &[], limit)?;
    let on_text = RefCell::new(on_text);
    let done = |_: usize, ids: &[u32]| {
        let text = judge.lm.tokenizer.decode(ids).unwrap_or_default();
        line_ends(judge.lm, ids) || !(on_text.borrow_mut())(first_line(&text))
    };
    let (_, generated) = judge.lm.judge(&[&prompt.ids], &[&[]], limit, &done)?;
    let answer = generated.first().map_or("", |generated| first_line(&generated.text)).to_owned();
    let kept = passages.len() - prompt.dropped_passages;
    let citations = passages
        .into_iter()
        .zip(&hits)
        .take(kept)
        .enumerate()
        .map(|(i, (passage, hit))| Citation { id: passage.id, rank: i + 1, score: hit.score, source: passage.source })
        .collect();
    Ok(Answer { answer, citations, dropped_passages: prompt.dropped_passages, cut: prompt.cut })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JudgeSettings, PromptTemplate, testing};

    #[test]
    fn an_answer_cites_the_passages_that_stood_in_context() {
        let encoder = testing::encoder(3);
        let (_, index) = testing::index(&encoder, false);
        let retriever = Retriever::new(&index, &encoder).unwrap();
        let template = PromptTemplate::default();
        let settings = SearchSettings { k: 4, m: 6, ..SearchSettings::default() };
        let question = testing::free_form("why oil ?", &[]);
        let ask = |context: usize| {
            let lm = testing::lm(context);
            let settings_of_judge = JudgeSettings { max_new_tokens: 5, ..JudgeSettings::default() };
            let judge = Judge { settings: settings_of_judge, ..Judge::new(&lm, &template) };
            let mut seen = Vec::new();
            let mut on_text = |text: &str| {
                seen.push(text.to_owned());
                true
            };
            let answer = answer(&retriever, &judge, &question, &settings, &mut on_text).unwrap();
            assert_eq!(seen.last(), Some(&answer.answer));
            assert_eq!(seen.len(), 5);
            answer
        };
        let hits = retriever.search(&[&question.text], &settings).unwrap().remove(0);
        let (whole, small) = (ask(256), ask(48));
        assert_eq!((whole.citations.len(), whole.dropped_passages, whole.cut), (4, 0, false));
        for (i, (citation, hit)) in whole.citations.iter().zip(&hits).enumerate() {
            assert_eq!((citation.rank, &citation.id[..]), (i + 1, index.passage_id(hit.ordinal).unwrap()));
            assert!((citation.score - hit.score).abs() <= 1e-4);
        }
        assert!((1..4).contains(&small.citations.len()));
        assert_eq!(small.citations.len() + small.dropped_passages, 4);
        assert_eq!(small.citations[0].id, whole.citations[0].id);
    }
}
