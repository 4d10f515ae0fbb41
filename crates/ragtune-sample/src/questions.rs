//! Questions about one fact.

use crate::draw::{Draw, key};
use crate::entity::{Entity, Role};
use crate::render::{capitalise_sentences, fill};

/// How a fact is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Free-form, in the n-th of the fact's wordings.
    Free(usize),
    /// Closed-set, `no` or `yes`; the right answer is given.
    YesNo(bool),
    /// Closed-set, one of four values.
    Choice,
}

/// A question before it gets an id, gold passages and a split.
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) answer: String,
    pub(crate) choices: Vec<String>,
}

pub(crate) fn ask(entity: &Entity, attribute: usize, form: Form, draw: &mut Draw) -> Asked {
    let about = entity.attribute(attribute);
    let name = entity.full_name();
    let right = entity.value(attribute, Role::Current);
    // Where the wordings start is the fact's own, so that its questions differ and all wordings are used alike.
    let start = key(&[entity.seed, entity.id.partition as u64, entity.id.number, attribute as u64]) as usize;
    let wording = |at: usize| fill(about.ask[(start % about.ask.len() + at) % about.ask.len()], &[("n", &name)]);
    let phrase = |at: usize| fill(about.phrases[at % about.phrases.len()], &[("n", &name)]);
    let mut wrong = [Role::Wrong(0), Role::Wrong(1), Role::Wrong(2), Role::Former];
    draw.shuffle(&mut wrong);
    match form {
        Form::Free(at) => Asked { text: wording(at), answer: right, choices: Vec::new() },
        Form::YesNo(yes) => {
            let shown = if yes { right } else { entity.value(attribute, wrong[0]) };
            let text = match draw.below(about.check.len() + 1) {
                0 => fill(
                    "Is it true that {np} is {v}?",
                    &[("np", &phrase(draw.below(2))), ("v", &(about.value.article().to_owned() + &shown))],
                ),
                at => fill(about.check[at - 1], &[("n", &name), ("v", &shown)]),
            };
            let choices = ["no", "yes"].map(str::to_owned);
            Asked {
                text: capitalise_sentences(&text),
                answer: choices[usize::from(yes)].clone(),
                choices: choices.into(),
            }
        }
        Form::Choice => {
            let text = if draw.chance(0.5) {
                fill("Which of these is {np}?", &[("np", &phrase(draw.below(2)))])
            } else {
                wording(draw.below(about.ask.len()))
            };
            let mut choices: Vec<_> = wrong[..3].iter().map(|&role| entity.value(attribute, role)).collect();
            choices.push(right.clone());
            draw.shuffle(&mut choices);
            Asked { text, answer: right, choices }
        }
    }
}
