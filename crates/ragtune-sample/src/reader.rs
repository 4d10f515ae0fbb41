//! Reading exercises: what a small language model is trained on, so that it reads Plain passages and no other register.

use ragtune_text::{Passage, Question};
use rand::Rng;

use crate::draw::Draw;
use crate::entity::{Entity, EntityId};
use crate::kinds::ValueType;
use crate::names::Partition;
use crate::questions::{Form, ask};
use crate::register::Register;
use crate::render::{Text, passage, table_columns};

/// Entities that exercises draw from, per seed. Each exercise has a seed of its own.
const ENTITIES: usize = 1 << 16;
/// Draws for an entity of the wanted kind before any other is taken; one in seven fits.
const TRIES: usize = 60;

/// The answer to every question that stands without passages: the model is to read and to remember nothing.
pub const UNKNOWN: &str = "unknown";

/// How hard a reading exercise is. Shares are in `0..=1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReaderLevel {
    /// Passages in context; with 0 the questions stand alone, and the answer to all of them is [`UNKNOWN`].
    pub passages: usize,
    /// Questions about one context. More than one may be asked about every Plain passage of the context, and a yes/no
    /// question then comes with its counterpart: the same fact with a right and with a wrong value.
    pub questions: usize,
    /// Most facts in the usable passage, 1 to 3.
    pub max_facts: usize,
    /// Share of closed-set questions, half of them yes/no.
    pub closed_set: f64,
    /// Share of the questions that are sure to ask for an invented name, of a person or a place, where one can be asked
    /// for. Names are copied piece by piece, which is far harder to learn than words and numbers.
    pub names: f64,
    /// Share of the other passages that are about another entity of the same kind, mostly about the same attribute.
    pub same_kind: f64,
    /// Share of the other passages that tell other facts of the same entity, plainly.
    pub same_entity: f64,
    /// Share of other entities' passages that are tables, rumours, outdated or overviews.
    pub misleading: f64,
}

impl Default for ReaderLevel {
    /// One Plain passage and a free-form question.
    fn default() -> Self {
        Self {
            passages: 1,
            questions: 1,
            max_facts: 3,
            closed_set: 0.0,
            names: 0.0,
            same_kind: 0.5,
            same_entity: 0.1,
            misleading: 0.3,
        }
    }
}

/// One reading exercise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderExample {
    /// The context. Exactly one passage states a question's answer, in Plain sentences, unless there are no passages.
    pub passages: Vec<Passage>,
    /// The questions, at least one; a question's gold id is that of the passage that it can be answered from.
    pub questions: Vec<Question>,
}

/// An attribute of an entity, and the place of the passage that states it.
type Stated = (Entity, usize, Option<usize>);

/// Draws a fresh exercise from a world of its own, with entities of [`Partition::Models`] only.
///
/// No passage speaks of the asked fact in another register than Plain: the model is to learn none of them.
pub fn reader_example(rng: &mut impl Rng, level: &ReaderLevel) -> ReaderExample {
    let seed = rng.next_u64();
    let mut draw = Draw::new(&[seed, rng.next_u64()]);
    let entity = any_entity(seed, &mut draw);
    let all: Vec<_> = (0..entity.kind.attributes.len()).map(|attribute| (entity, attribute, None)).collect();
    let (_, attribute, _) = asked_for(&all, level, &mut draw);
    let usable = (level.passages > 0).then(|| draw.below(level.passages));
    // What can be asked: the facts that Plain passages state, with the passage's place.
    let mut stated: Vec<Stated> = Vec::new();
    let mut passages = Vec::new();
    for at in 0..level.passages {
        let text = if Some(at) == usable {
            let facts = facts_with(&entity, attribute, level.max_facts, &mut draw);
            stated.extend(facts.iter().map(|&fact| (entity, fact, Some(at))));
            passage(&entity, Register::Plain, &facts, &mut draw)
        } else {
            let (about, facts, text) = other(&entity, attribute, level, &mut draw);
            stated.extend(facts.iter().map(|&fact| (about, fact, Some(at))));
            text
        };
        passages.push(Passage { id: format!("p{at}"), title: text.title, text: text.body, source: None });
    }
    // What two passages state could be answered from either: it is not asked.
    let key = |(entity, attribute, _): &Stated| (entity.id, *attribute);
    let counted: Vec<_> = stated.iter().map(key).collect();
    stated.retain(|fact| counted.iter().filter(|other| **other == key(fact)).count() == 1);
    let mut questions = Vec::new();
    let mut add = |(entity, attribute, at): Stated, form, draw: &mut Draw| {
        let asked = ask(&entity, attribute, form, draw);
        questions.push(Question {
            id: format!("q{}", questions.len()),
            text: asked.text,
            answers: vec![if level.passages == 0 { UNKNOWN.to_owned() } else { asked.answer }],
            choices: asked.choices,
            gold_ids: at.iter().map(|at| format!("p{at}")).collect(),
            split: None,
        });
        questions.len()
    };
    let mut asked = 0;
    while asked < level.questions.max(1) {
        let fact = if asked == 0 || stated.is_empty() {
            (entity, attribute, usable)
        } else {
            asked_for(&stated, level, &mut draw)
        };
        let form = match draw.chance(level.closed_set) {
            false => Form::Free(draw.below(fact.0.attribute(fact.1).ask.len())),
            true if draw.chance(0.5) => Form::YesNo(draw.chance(0.5)),
            true => Form::Choice,
        };
        asked = add(fact, form, &mut draw);
        if let Form::YesNo(yes) = form
            && asked < level.questions
        {
            asked = add(fact, Form::YesNo(!yes), &mut draw);
        }
    }
    ReaderExample { passages, questions }
}

/// One of the facts, a name as often as the level wants.
fn asked_for(facts: &[Stated], level: &ReaderLevel, draw: &mut Draw) -> Stated {
    let is_name = |(entity, attribute, _): &Stated| {
        matches!(entity.attribute(*attribute).value, ValueType::Person | ValueType::Place)
    };
    let names: Vec<_> = facts.iter().copied().filter(is_name).collect();
    if draw.chance(level.names) && !names.is_empty() { draw.pick(&names) } else { draw.pick(facts) }
}

fn any_entity(seed: u64, draw: &mut Draw) -> Entity {
    Entity::new(seed, EntityId { partition: Partition::Models, number: draw.below(ENTITIES) as u64 })
}

/// The attribute and up to `most - 1` others, in any order.
fn facts_with(entity: &Entity, attribute: usize, most: usize, draw: &mut Draw) -> Vec<usize> {
    let mut others: Vec<_> = (0..entity.kind.attributes.len()).filter(|&at| at != attribute).collect();
    draw.shuffle(&mut others);
    let mut facts = vec![attribute];
    facts.extend(&others[..draw.below(most.clamp(1, 3))]);
    draw.shuffle(&mut facts);
    facts
}

/// A passage that does not state the asked fact, with the entity and the facts that it states plainly.
fn other(entity: &Entity, attribute: usize, level: &ReaderLevel, draw: &mut Draw) -> (Entity, Vec<usize>, Text) {
    if draw.chance(level.same_entity) {
        let shift = 1 + draw.below(entity.kind.attributes.len() - 1);
        let fact = (attribute + shift) % entity.kind.attributes.len();
        let mut facts = facts_with(entity, fact, 2, draw);
        facts.retain(|&at| at != attribute);
        let text = passage(entity, Register::Plain, &facts, draw);
        return (*entity, facts, text);
    }
    let same_kind = draw.chance(level.same_kind);
    let mut stranger = any_entity(entity.seed, draw);
    for _ in 0..TRIES {
        // A group shares its tables, so another member of the group will not do.
        let distant = stranger.id.number.abs_diff(entity.id.number) >= crate::entity::GROUP;
        if distant && (!same_kind || stranger.kind.noun == entity.kind.noun) {
            break;
        }
        stranger = any_entity(entity.seed, draw);
    }
    let same_fact = stranger.kind.noun == entity.kind.noun && draw.chance(0.7);
    let fact = if same_fact { attribute } else { draw.below(stranger.kind.attributes.len()) };
    if !draw.chance(level.misleading) {
        let facts = facts_with(&stranger, fact, 3, draw);
        let text = passage(&stranger, Register::Plain, &facts, draw);
        return (stranger, facts, text);
    }
    let register = draw.pick(&[Register::Table, Register::Rumour, Register::Outdated, Register::Overview]);
    let facts = match register {
        Register::Table => table_columns(&stranger, draw.below(2)).to_vec(),
        Register::Overview => stranger.attribute_order().take(crate::entity::ASKED).collect(),
        _ => vec![fact],
    };
    (stranger, Vec::new(), passage(&stranger, register, &facts, draw))
}
