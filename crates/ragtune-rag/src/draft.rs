//! Questions that a language model words about a passage: drafts, for people to read before they are used.

use std::cell::RefCell;
use std::fmt;

use ragtune_text::answers::{MatchMode, contains_answer, normalise};
use ragtune_text::{Passage, Question};

use crate::batch::{first_line, line_ends};
use crate::prompt::fit;
use crate::{Judge, PromptTemplate, RagError, Result};

/// Most tokens of a question.
const QUESTION_TOKENS: usize = 48;
/// Most tokens of its answer.
const ANSWER_TOKENS: usize = 32;
/// Fewer words make no question.
const FEWEST_WORDS: usize = 3;
/// More words make an answer that no reader will ever write the same.
const MOST_ANSWER_WORDS: usize = 12;

/// A question with its answer, as the language model worded them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The question.
    pub question: String,
    /// Its answer.
    pub answer: String,
    /// What speaks against it.
    pub doubt: Option<Doubt>,
}

/// What speaks against a draft; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The language model wrote no question.
    NoQuestion,
    /// It wrote something that ends without a question mark or is too short.
    NotAQuestion,
    /// It wrote no answer.
    NoAnswer,
    /// The answer stands in the question.
    AnswerInQuestion,
    /// The answer does not stand in the passage.
    AnswerNotInPassage,
    /// The answer is too long to be met again word by word.
    LongAnswer,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoQuestion => "the language model wrote no question",
            Self::NotAQuestion => "this is hardly a question",
            Self::NoAnswer => "the language model gave no answer",
            Self::AnswerInQuestion => "the answer stands in the question",
            Self::AnswerNotInPassage => "the answer does not stand in the passage",
            Self::LongAnswer => "the answer is too long to be met again word by word",
        })
    }
}

/// Lets the judge's language model word a question about a passage, greedily up to a question mark or a line's end, and
/// answer it with the passage in context.
///
/// `go_on` is asked after every token and cancels by returning false.
///
/// # Errors
/// [`RagError::Cancelled`], or when not even the frame of the prompt fits into the context.
pub fn draft(judge: &Judge<'_>, passage: &Passage, go_on: &mut dyn FnMut() -> bool) -> Result<Draft> {
    let go_on = RefCell::new(go_on);
    let asking = PromptTemplate { free_form: "{passages}\n\nQuestion:".to_owned(), ..judge.template.clone() };
    let mut asked = Question { id: passage.id.clone(), ..Question::default() };
    let written = generate(judge, &asking, &asked, passage, QUESTION_TOKENS, '?', &go_on)?;
    let question = match written.find('?') {
        Some(end) => written[..=end].to_owned(),
        None => written,
    };
    if question.is_empty() {
        return Ok(Draft { doubt: Some(Doubt::NoQuestion), ..Draft::default() });
    }
    asked.text = question.clone();
    let answer = generate(judge, judge.template, &asked, passage, ANSWER_TOKENS, '\n', &go_on)?;
    let doubt = doubt(&question, &answer, passage);
    Ok(Draft { question, answer, doubt })
}

/// The first line of the greedy generation, which ends early after `last`.
fn generate(
    judge: &Judge<'_>,
    template: &PromptTemplate,
    question: &Question,
    passage: &Passage,
    tokens: usize,
    last: char,
    go_on: &RefCell<&mut dyn FnMut() -> bool>,
) -> Result<String> {
    let lm = judge.lm;
    // A small context keeps its room for the passage.
    let tokens = tokens.min(lm.context() / 4).max(1);
    let prompt = fit(lm, template, question, &[passage], &[], tokens)?;
    let stopped = RefCell::new(false);
    let done = |_: usize, ids: &[u32]| {
        let stop = !(go_on.borrow_mut())();
        *stopped.borrow_mut() |= stop;
        stop || line_ends(lm, ids) || lm.tokenizer.decode(ids).is_ok_and(|text| text.contains(last))
    };
    let (_, generated) = lm.judge(&[&prompt.ids], &[&[]], tokens, &done)?;
    if stopped.into_inner() {
        return Err(RagError::Cancelled { done: 0, total: 1 });
    }
    Ok(generated.first().map_or("", |generated| first_line(&generated.text)).trim().to_owned())
}

fn doubt(question: &str, answer: &str, passage: &Passage) -> Option<Doubt> {
    let answers = [answer.to_owned()];
    let holds = |text: &str| contains_answer(text, &answers, MatchMode::Normalised);
    if question.is_empty() {
        Some(Doubt::NoQuestion)
    } else if !question.ends_with('?') || question.split_whitespace().count() < FEWEST_WORDS {
        Some(Doubt::NotAQuestion)
    } else if normalise(answer).is_empty() {
        Some(Doubt::NoAnswer)
    } else if holds(question) {
        Some(Doubt::AnswerInQuestion)
    } else if !holds(&passage.text) && !holds(&passage.title) {
        Some(Doubt::AnswerNotInPassage)
    } else if answer.split_whitespace().count() > MOST_ANSWER_WORDS {
        Some(Doubt::LongAnswer)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_draft_is_doubted_for_what_is_wrong_with_it() {
        let passage = testing::passage("p", "The oil crisis", "In 1973 the price of oil rose by a factor of four.");
        let long = "In 1973 the price of oil rose by a factor of four. In 1973 the";
        for (question, answer, expected) in [
            ("When did the price rise?", "1973", None),
            ("What rose?", "the price of oil", Some(Doubt::NotAQuestion)),
            ("Which crisis was it then?", "The Oil Crisis", None),
            ("", "1973", Some(Doubt::NoQuestion)),
            ("The price rose", "1973", Some(Doubt::NotAQuestion)),
            ("When did the price rise?", " the ", Some(Doubt::NoAnswer)),
            ("Did the price rise in 1973?", "1973", Some(Doubt::AnswerInQuestion)),
            ("When did the price rise?", "1974", Some(Doubt::AnswerNotInPassage)),
            ("When did the price rise?", long, Some(Doubt::AnswerNotInPassage)),
        ] {
            assert_eq!(doubt(question, answer, &passage), expected, "{question} {answer}");
        }
        let passage = testing::passage("p", "", &format!("{long} end."));
        assert_eq!(doubt("When did it happen?", long, &passage), Some(Doubt::LongAnswer));
    }

    #[test]
    fn any_language_model_and_any_passage_give_a_draft_or_a_doubt() {
        let template = PromptTemplate::default();
        for context in [24, 256] {
            let lm = testing::lm(context);
            let judge = Judge::new(&lm, &template);
            for passage in testing::corpus() {
                let draft = draft(&judge, &passage, &mut || true).unwrap();
                assert!(draft.doubt.is_some() || draft.question.ends_with('?'), "{draft:?}");
                assert!(!draft.question.contains('\n') && draft.question.matches('?').count() <= 1, "{draft:?}");
            }
        }
    }

    #[test]
    fn a_draft_can_be_cancelled() {
        let lm = testing::lm(256);
        let template = PromptTemplate::default();
        let result = draft(&Judge::new(&lm, &template), &testing::corpus()[0], &mut || false);
        assert!(matches!(result, Err(RagError::Cancelled { .. })), "{result:?}");
    }
}
