//! The probability of an answer with each passage in context.

use ragtune_rag::{Judge, JudgeItem};
use ragtune_text::Question;

use crate::command::Weigh;
use crate::event::{EventKind, Report, WeighedPassage};
use crate::models::open_template;
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `weigh`
pub(super) fn weigh(weigh: &Weigh, context: &mut JobContext<'_>) -> Result<()> {
    if weigh.question.trim().is_empty() {
        return Err(EngineError::input("the question is empty: write one after --question"));
    }
    let answer = weigh.answer.as_deref().map(str::trim).filter(|answer| !answer.is_empty());
    let template = open_template(weigh.template.as_deref())?;
    let index = context.shelf().index(&weigh.index)?;
    let device = super::device(&weigh.device, context)?;
    let lm = context.shelf().lm(&weigh.llm, &device)?;
    let mut judge = Judge::new(&lm, &template);
    judge.settings.max_new_tokens = weigh.max_new_tokens;
    let question = Question {
        id: "0".to_owned(),
        text: weigh.question.clone(),
        answers: answer.map(str::to_owned).into_iter().collect(),
        ..Question::default()
    };
    let mut all = Vec::with_capacity(weigh.passages.len());
    context.begin("weighing", "passages", Some(weigh.passages.len() as u64));
    let cancel = context.cancel_flag();
    // One after another: the first figures stand on the screen while the others are computed.
    for id in &weigh.passages {
        context.check()?;
        let ordinal = index.ordinal(id).ok_or_else(|| EngineError::input(format!("no passage {id:?} in the index")))?;
        let passage = index.passage(ordinal)?;
        let weighed = match answer {
            Some(answer) => {
                let item = JudgeItem { question: &question, passages: &[&passage] };
                let scored = judge.score_only(&[item], &mut |_| true)?;
                let log_prob = scored.first().map(|score| score.score);
                WeighedPassage { id: id.clone(), answer: answer.to_owned(), generated: false, log_prob }
            }
            None => {
                let written = judge.write(&question, &[&passage], &mut || !cancel.is_set())?;
                context.check()?;
                WeighedPassage { id: id.clone(), answer: written.text, generated: true, log_prob: written.log_prob }
            }
        };
        context.emit(EventKind::Weighed(weighed.clone()));
        all.push(weighed);
        context.advance(all.len() as u64);
    }
    context.report(Report::Weighed(all));
    Ok(())
}
