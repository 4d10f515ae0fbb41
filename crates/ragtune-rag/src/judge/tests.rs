//! RAG scores and labels of a tiny random language model, against their definitions.

use super::*;
use crate::testing;

fn judge<'a>(lm: &'a CausalLm, template: &'a PromptTemplate, batch_tokens: usize) -> Judge<'a> {
    let settings =
        JudgeSettings { max_new_tokens: 6, max_new_tokens_closed_set: 3, batch_tokens, ..Default::default() };
    Judge { settings, ..Judge::new(lm, template) }
}

/// Items of both kinds, of different lengths, with and without passages and with several answers.
fn items<T>(act: impl FnOnce(&[JudgeItem<'_>]) -> T) -> T {
    let passages = [
        testing::passage("a", "oil crisis", "the price of oil rose . "),
        testing::passage("b", "", "green tea leaf"),
        testing::passage("c", "tea", "the cup of tea . yes ."),
    ];
    let questions = [
        testing::free_form("why oil ?", &["crisis of 1973", "price", "green leaf of tea", " "]),
        testing::closed_set("the price rose ?", "Yes", &["no", "yes", "maybe tea"]),
        testing::free_form("the green leaf of the cup ?", &["tea"]),
    ];
    let all: Vec<&Passage> = passages.iter().collect();
    let mut items = Vec::new();
    for question in &questions {
        items
            .extend([&all[..1], &all[1..2], &all[2..], &all[..], &[]].map(|passages| JudgeItem { question, passages }));
    }
    act(&items)
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-4
}

#[test]
fn a_batch_judges_each_item_as_it_would_alone() {
    let (lm, template) = (testing::lm(256), PromptTemplate::default());
    items(|items| {
        let mut counts = Vec::new();
        let together = judge(&lm, &template, 300)
            .batch(items, &mut |done| {
                counts.push(done);
                true
            })
            .unwrap();
        assert!(counts.len() > 1 && counts.is_sorted() && counts.last() == Some(&items.len()));
        let scores = judge(&lm, &template, 300).score_only(items, &mut |_| true).unwrap();
        for ((item, judgement), score) in items.iter().zip(&together).zip(&scores) {
            let alone = judge(&lm, &template, 1).batch(&[*item], &mut |_| true).unwrap().remove(0);
            assert!(near(alone.score, judgement.score) && near(score.score, judgement.score));
            assert_eq!(alone.generated, judgement.generated);
            assert_eq!((alone.label, alone.chosen), (judgement.label, judgement.chosen));
            assert_eq!(judgement.options.len(), item.question.choices.len());
            for (one, other) in alone.options.iter().zip(&judgement.options) {
                assert!(near(*one, *other));
            }
        }
    });
}

#[test]
fn a_score_is_that_of_the_rendered_prompt_and_the_best_answer() {
    let (lm, template) = (testing::lm(256), PromptTemplate::question_first());
    items(|items| {
        let judgements = judge(&lm, &template, 300).batch(items, &mut |_| true).unwrap();
        for (item, judgement) in items.iter().zip(&judgements) {
            let text = template.render(item.question, item.passages);
            let prompt = lm.prompt(&text).unwrap();
            let log_prob = |answer: &str| {
                let continuation = lm.continuation(&prompt, &format!(" {answer}")).unwrap();
                lm.score(&[&continuation])[0].log_prob
            };
            let expected = match item.question.kind() {
                TaskKind::FreeForm => judgement.answers.iter().map(|a| log_prob(&a.text)).fold(f32::MIN, f32::max),
                TaskKind::ClosedSet => log_prob("yes"),
            };
            assert!(near(judgement.score, expected), "{} {expected}", judgement.score);
            let first: f32 = judgement.answers[0].tokens.iter().map(|t| t.log_prob).sum();
            assert!(near(first, log_prob(&judgement.answers[0].text)));
        }
        assert_eq!(judgements[0].answers.len(), 3, "the blank answer is left out");
    });
}

#[test]
fn a_label_says_whether_the_generation_holds_the_answer() {
    let (lm, template) = (testing::lm(256), PromptTemplate::default());
    let passage = testing::passage("a", "", "the price of oil rose");
    let ask = |answers: &[&str]| {
        let question = testing::free_form("why oil ?", answers);
        let item = JudgeItem { question: &question, passages: &[&passage] };
        judge(&lm, &template, 300).batch(&[item], &mut |_| true).unwrap().remove(0)
    };
    let generated = ask(&["tea"]).generated;
    let words: Vec<&str> = generated.split_whitespace().collect();
    assert_eq!(words.len(), 6, "{generated}");
    let absent = testing::WORDS.iter().find(|w| w.len() > 3 && !generated.contains(**w)).unwrap();
    let present = words.iter().find(|w| w.len() > 1).unwrap();
    assert!(!ask(&[absent]).label);
    assert!(ask(&[absent, &present.to_uppercase()]).label);
    let closed = |answer: &str| {
        let question = testing::closed_set("why oil ?", answer, &[absent, present]);
        let item = JudgeItem { question: &question, passages: &[&passage] };
        Judge {
            settings: JudgeSettings { max_new_tokens_closed_set: 6, ..Default::default() },
            ..Judge::new(&lm, &template)
        }
        .batch(&[item], &mut |_| true)
        .unwrap()
        .remove(0)
    };
    let (right, wrong) = (closed(present), closed(absent));
    // The closed-set prompt names the options, so that its generation is another.
    assert_eq!(right.label, right.chosen == Some(1));
    assert_eq!(wrong.label, wrong.chosen == Some(0));
    assert!(!(right.label && wrong.label));
}

#[test]
fn the_correct_option_must_beat_every_other() {
    let score = |options: &[f32]| RagScore {
        score: options[0],
        answers: Vec::new(),
        options: options.to_vec(),
        correct: Some(0),
        dropped_passages: 0,
        cut: false,
    };
    assert_eq!(score(&[-1.0, -2.0, -1.5]).closed_set_positive(), Some(true));
    assert_eq!(score(&[-1.0, -2.0, -0.5]).closed_set_positive(), Some(false));
    assert_eq!(score(&[-1.0, -1.0]).closed_set_positive(), Some(false));
    assert_eq!(RagScore { correct: None, ..score(&[-1.0]) }.closed_set_positive(), None);
    let shares = score(&[0.5f32.ln() - 200.0, 0.25f32.ln() - 200.0]).option_probabilities();
    assert!(near(shares[0], 2.0 / 3.0) && near(shares[1], 1.0 / 3.0));
}

#[test]
fn questions_that_cannot_be_scored_are_named() {
    let (lm, template) = (testing::lm(64), PromptTemplate::default());
    for (question, part) in [
        (testing::free_form("why ?", &[" "]), "no gold answer"),
        (testing::closed_set("why ?", "tea", &["yes", "no"]), "none of its answers (\"tea\")"),
    ] {
        let item = JudgeItem { question: &question, passages: &[] };
        let error = judge(&lm, &template, 300).batch(&[item], &mut |_| true).unwrap_err().to_string();
        assert!(error.contains("\"q\"") && error.contains(part), "{error}");
    }
}

#[test]
fn judging_can_be_cancelled() {
    let (lm, template) = (testing::lm(256), PromptTemplate::default());
    items(|items| {
        let result = judge(&lm, &template, 100).batch(items, &mut |done| done < 2);
        assert!(matches!(result, Err(RagError::Cancelled { done, total: 15 }) if done < 15));
    });
}

#[test]
fn a_full_context_is_reported() {
    let (lm, template) = (testing::lm(40), PromptTemplate::default());
    let long = testing::passage("a", "", &"the price of oil rose . ".repeat(5));
    let question = testing::free_form("why oil ?", &["crisis"]);
    let ask = |passages: &[&Passage]| {
        let judgements =
            judge(&lm, &template, 300).batch(&[JudgeItem { question: &question, passages }], &mut |_| true);
        judgements.unwrap().remove(0)
    };
    let judgement = ask(&[&long, &long]);
    assert_eq!((judgement.dropped_passages, judgement.cut), (1, true));
    assert!(judgement.score.is_finite());
    let short = testing::passage("b", "", "tea");
    let judgement = ask(&[&short, &long]);
    assert_eq!((judgement.dropped_passages, judgement.cut), (1, false));
}

#[test]
fn plain_prompts_keep_their_order_and_their_duplicates() {
    let lm = testing::lm(64);
    let item = |prompt: &str, answers: &[&str]| PromptItem {
        prompt: prompt.to_owned(),
        answers: answers.iter().map(|&a| a.to_owned()).collect(),
    };
    let items = [
        item("why", &[" tea", " oil", " tea"]),
        item("the price of", &[" oil"]),
        item("", &["green tea"]),
        item("tea", &[]),
    ];
    let scores = score_prompts(&lm, &items, 16, &mut |_| true).unwrap();
    assert_eq!(scores.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1, 1, 0]);
    assert!(near(scores[0][0].log_prob, scores[0][2].log_prob));
    let prompt = lm.prompt("").unwrap();
    let alone = lm.score(&[&lm.continuation(&prompt, "green tea").unwrap()]).remove(0);
    assert!(near(scores[2][0].log_prob, alone.log_prob));
    assert_eq!(scores[2][0].tokens.len(), 2);
}
