//! Vectors as ranked tokens.

use ragtune_model::{Forms, HeadKind, Kind};
use ragtune_rag::retriever;

use crate::command::{Inspect, InspectText};
use crate::event::{InspectedText, Report, WeightedToken};
use crate::jobs::index::TOP_K;
use crate::session::JobContext;
use crate::{EngineError, Result};

const BATCH_TOKENS: usize = 4096;

/// `inspect`
pub(super) fn inspect(inspect: &Inspect, context: &mut JobContext<'_>) -> Result<()> {
    let device = super::device(&inspect.device, context)?;
    let encoder = context.shelf().encoder(&inspect.encoder, &device)?;
    if encoder.meta.head == HeadKind::Dense {
        return Err(EngineError::input(
            "a dense head has no tokens to show; load the encoder with the sidr or splade head",
        ));
    }
    let index = inspect.index.as_deref().map(|path| context.shelf().index(path)).transpose()?;
    let mut inspected = Vec::with_capacity(inspect.texts.len());
    for text in &inspect.texts {
        context.check()?;
        let (id, shown, kind, ids) = match text {
            InspectText::Question(question) => {
                (String::new(), question.clone(), Kind::Question, encoder.question_ids(question)?)
            }
            InspectText::Passage { title, text } => {
                (String::new(), titled(title, text), Kind::Passage, encoder.passage_ids(title, text)?)
            }
            InspectText::Stored(id) => {
                let Some(index) = &index else {
                    return Err(EngineError::input("no index: name the one that holds the passage with --index"));
                };
                let Some(ordinal) = index.ordinal(id) else {
                    return Err(EngineError::input(format!("no passage {id:?} in the index")));
                };
                let passage = index.passage(ordinal)?;
                let ids = encoder.passage_ids(&passage.title, &passage.text)?;
                (id.clone(), titled(&passage.title, &passage.text), Kind::Passage, ids)
            }
        };
        let stored = |forms: &Forms| match kind {
            Kind::Question => (forms.s(TOP_K), forms.own.clone()),
            Kind::Passage => (forms.s_plus(TOP_K), forms.own.clone()),
        };
        let Some((vector, own)) = retriever::encode(&encoder, kind, &[ids], BATCH_TOKENS, &stored).pop() else {
            continue;
        };
        let mut tokens: Vec<WeightedToken> = vector
            .iter()
            .map(|(dim, weight)| {
                let id = encoder.vocab.id(dim);
                let token = encoder.tokenizer.token(id).unwrap_or_default();
                WeightedToken { token, id, weight, own: own.binary_search(&dim).is_ok() }
            })
            .collect();
        tokens.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id)));
        tokens.truncate(inspect.top);
        inspected.push(InspectedText { id, text: shown, tokens, dims: vector.len() });
    }
    context.report(Report::Inspected(inspected));
    Ok(())
}

fn titled(title: &str, text: &str) -> String {
    if title.trim().is_empty() { text.to_owned() } else { format!("{title}\n{text}") }
}
