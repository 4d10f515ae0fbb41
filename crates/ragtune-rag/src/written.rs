//! The answer that a language model writes, with the probability that it gives to it.

use ragtune_text::{Passage, Question};
use serde::Serialize;

use crate::batch::{first_line, line_ends};
use crate::prompt::fit;
use crate::{Judge, PromptItem, Result, score_prompts};

/// A written answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WrittenAnswer {
    /// First line of the greedy generation, without space around it.
    pub text: String,
    /// Natural logarithm of its probability after the prompt, as a gold answer's is computed; none when nothing was
    /// written.
    pub log_prob: Option<f32>,
}

impl Judge<'_> {
    /// Lets the language model answer with some passages in context, and says how probable it finds its own answer.
    ///
    /// `go_on` is asked after every token and ends the answer by returning false.
    pub fn write(
        &self,
        question: &Question,
        passages: &[&Passage],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<WrittenAnswer> {
        let limit = self.settings.new_tokens(question.kind());
        let prompt = fit(self.lm, self.template, question, passages, &[], limit)?;
        let go_on = std::cell::RefCell::new(go_on);
        let done = |_: usize, ids: &[u32]| line_ends(self.lm, ids) || !(go_on.borrow_mut())();
        let (_, generated) = self.lm.judge(&[&prompt.ids], &[&[]], limit, &done)?;
        let text = generated.first().map_or("", |generated| first_line(&generated.text)).trim().to_owned();
        if text.is_empty() {
            return Ok(WrittenAnswer { text, log_prob: None });
        }
        let item = PromptItem { prompt: prompt.text, answers: vec![format!("{}{text}", self.template.answer_prefix)] };
        let scored = score_prompts(self.lm, &[item], self.settings.batch_tokens, &mut |_| true)?;
        let log_prob = scored.first().and_then(|answers| answers.first()).map(|answer| answer.log_prob);
        Ok(WrittenAnswer { text, log_prob })
    }
}

#[cfg(test)]
mod tests {
    use crate::{Judge, JudgeItem, PromptTemplate, testing};

    #[test]
    fn a_written_answer_has_the_probability_that_it_would_have_as_gold() {
        let (lm, template) = (testing::lm(256), PromptTemplate::default());
        let mut judge = Judge::new(&lm, &template);
        judge.settings.max_new_tokens = 3;
        let encoder = testing::encoder(3);
        let (_, index) = testing::index(&encoder, false);
        let passage = index.passage(0).unwrap();
        let question = testing::free_form("why oil ?", &[]);
        let written = judge.write(&question, &[&passage], &mut || true).unwrap();
        let asked = testing::free_form("why oil ?", &[&written.text]);
        let item = JudgeItem { question: &asked, passages: &[&passage] };
        let scored = judge.score_only(&[item], &mut |_| true).unwrap();
        assert!(!written.text.is_empty());
        assert!((written.log_prob.unwrap() - scored[0].score).abs() < 1e-4, "{written:?} {scored:?}");
    }
}
