//! A prompt that fits into the language model's context (method, section 4).

use ragtune_model::{CausalLm, Continuation, ModelError, Prompt};
use ragtune_text::{Passage, Question};

use crate::{PromptTemplate, RagError, Result};

/// A prompt, tokenised, with the answers that are scored after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FittedPrompt {
    /// The prompt.
    pub text: String,
    /// Its tokens, with the special ones that the tokenizer puts before a text; at least one.
    pub ids: Vec<u32>,
    /// Prompt and answer together, one per answer, in their order.
    pub continuations: Vec<Continuation>,
    /// Passages that were left out at the end because the context was full.
    pub dropped_passages: usize,
    /// Whether the last passage in the prompt lost the end of its text.
    pub cut: bool,
}

/// The prompt of a question with passages in context, as a text or as a message of a chat.
///
/// # Errors
/// When the template addresses a chat and the model knows none.
pub fn put(
    lm: &CausalLm,
    template: &PromptTemplate,
    question: &Question,
    passages: &[&Passage],
) -> std::result::Result<Prompt, ModelError> {
    let text = template.render(question, passages);
    if template.chat { lm.chat_prompt(&template.system, &text) } else { lm.prompt(&text) }
}

/// Renders a prompt that leaves room for its answers and for `max_new_tokens`.
///
/// Whole passages are dropped from the end; when not even the best one fits, the end of its text is cut off, at a word
/// border where there is one.
///
/// # Errors
/// [`RagError::Context`] when the question does not even fit alone.
pub fn fit(
    lm: &CausalLm,
    template: &PromptTemplate,
    question: &Question,
    passages: &[&Passage],
    answers: &[&str],
    max_new_tokens: usize,
) -> Result<FittedPrompt> {
    let attempt = |passages: &[&Passage]| attempt(lm, template, question, passages, answers, max_new_tokens);
    for kept in (1..=passages.len()).rev() {
        if let Some(prompt) = attempt(&passages[..kept])? {
            return Ok(FittedPrompt { dropped_passages: passages.len() - kept, ..prompt });
        }
    }
    if let Some(best) = passages.first()
        && let Some(prompt) = cut(best, &|shorter| attempt(&[shorter]))?
    {
        return Ok(FittedPrompt { dropped_passages: passages.len() - 1, cut: true, ..prompt });
    }
    if let Some(prompt) = attempt(&[])? {
        return Ok(FittedPrompt { dropped_passages: passages.len(), ..prompt });
    }
    let mut reserved = max_new_tokens;
    for answer in answers {
        reserved = reserved.max(lm.tokenizer.ids(answer)?.len());
    }
    let tokens = put(lm, template, question, &[])?.ids.len();
    Err(RagError::Context { id: question.id.clone(), tokens, reserved, limit: lm.context() })
}

/// The prompt with exactly these passages; `None` when it does not fit.
fn attempt(
    lm: &CausalLm,
    template: &PromptTemplate,
    question: &Question,
    passages: &[&Passage],
    answers: &[&str],
    max_new_tokens: usize,
) -> Result<Option<FittedPrompt>> {
    let prompt = put(lm, template, question, passages)?;
    if prompt.ids.is_empty() {
        let reason = "its prompt has no token; check the prompt template".to_owned();
        return Err(RagError::Question { id: question.id.clone(), reason });
    }
    if prompt.ids.len() + max_new_tokens > lm.context() {
        return Ok(None);
    }
    let mut continuations = Vec::with_capacity(answers.len());
    for answer in answers {
        match lm.continuation(&prompt, &format!("{}{answer}", template.answer_prefix)) {
            Ok(continuation) => continuations.push(continuation),
            Err(ModelError::TooLong { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    let Prompt { text, ids, .. } = prompt;
    Ok(Some(FittedPrompt { text, ids, continuations, dropped_passages: 0, cut: false }))
}

/// The longest beginning of a passage's text that fits, found by halving; `None` when no part of it does.
fn cut(passage: &Passage, attempt: &dyn Fn(&Passage) -> Result<Option<FittedPrompt>>) -> Result<Option<FittedPrompt>> {
    let text = passage.text.trim();
    let with = |end: usize| attempt(&Passage { text: text[..end].to_owned(), ..passage.clone() });
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let (mut fits, mut fails) = (0, ends.len() - 1);
    let mut best = None;
    while fits + 1 < fails {
        let middle = fits.midpoint(fails);
        match with(ends[middle])? {
            Some(prompt) => (fits, best) = (middle, Some(prompt)),
            None => fails = middle,
        }
    }
    // Half a word would be read as another word.
    let (kept, rest) = text.split_at(ends[fits]);
    if !rest.starts_with(char::is_whitespace)
        && let Some(border) = kept.rfind(char::is_whitespace)
        && !kept[..border].trim().is_empty()
        && let Some(whole) = with(border)?
    {
        return Ok(Some(whole));
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn passages() -> Vec<Passage> {
        (0..3).map(|i| testing::passage(&format!("p{i}"), "", &"oil price rose ".repeat(8))).collect()
    }

    fn fitted(context: usize, template: &PromptTemplate, n: usize) -> Result<FittedPrompt> {
        let (lm, passages) = (testing::lm(context), passages());
        let passages: Vec<&Passage> = passages.iter().take(n).collect();
        let prompt = fit(&lm, template, &testing::free_form("why oil ?", &["crisis"]), &passages, &["crisis"], 10)?;
        assert!(prompt.ids.len() + 10 <= context);
        assert_eq!(prompt.ids, lm.prompt(&prompt.text)?.ids);
        Ok(prompt)
    }

    #[test]
    fn passages_are_dropped_from_the_end_and_then_the_first_is_cut_at_a_word() {
        let template = PromptTemplate { numbered: "{passage}".to_owned(), ..PromptTemplate::default() };
        // 24 words per passage; `[CLS] Question : why oil ? Answer :` are 8 more, and 10 are reserved.
        for (context, dropped, cut, tokens) in [
            (90, 0, false, 80),
            (89, 1, false, 56),
            (66, 1, false, 56),
            (65, 2, false, 32),
            (41, 2, true, 31),
            (19, 2, true, 9),
        ] {
            let prompt = fitted(context, &template, 3).unwrap();
            assert_eq!((prompt.dropped_passages, prompt.cut, prompt.ids.len()), (dropped, cut, tokens), "{context}");
        }
        let prompt = fitted(41, &template, 3).unwrap();
        assert!(prompt.text.contains("oil price\n\nQuestion: why oil ?"), "{}", prompt.text);
        let prompt = fitted(18, &template, 3).unwrap();
        assert_eq!((prompt.dropped_passages, prompt.cut), (3, false));
        assert!(prompt.text.starts_with("Question"), "{}", prompt.text);
    }

    #[test]
    fn a_question_that_never_fits_is_an_error_with_numbers() {
        let error = fitted(17, &PromptTemplate::default(), 1).unwrap_err().to_string();
        for part in ["q", "takes 8 tokens", "10 are kept free", "holds 17", "max_new_tokens"] {
            assert!(error.contains(part), "{error} should hold {part}");
        }
    }

    #[test]
    fn room_is_kept_for_an_answer_that_is_longer_than_the_generation() {
        let lm = testing::lm(23);
        let question = testing::free_form("why oil ?", &[]);
        let answer = "the price of oil rose . the crisis";
        let passage = testing::passage("p", "", "oil price rose of the crisis 1973 why");
        let prompt = fit(&lm, &PromptTemplate::default(), &question, &[&passage], &[answer], 2).unwrap();
        assert!(prompt.cut);
        assert_eq!(prompt.continuations[0].ids.len(), 23);
        assert_eq!(prompt.continuations[0].start, prompt.ids.len());
    }
}
