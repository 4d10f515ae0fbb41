//! A world: its entities in groups, the passages of a group, and the questions about them.

use ragtune_text::{Passage, Question, Split};

use crate::draw::{Draw, Permutation, key};
use crate::entity::{ASKED, Entity, EntityId, GROUP};
use crate::names::Partition;
use crate::questions::{Form, ask};
use crate::register::{Fact, PassageMeta, Register};
use crate::render::{passage, table_columns};

/// Passages that each entity has to itself.
const OWN: u64 = 12;
/// Tables of a group.
const TABLES: u64 = 2;
/// Passages of a group of [`GROUP`] entities.
pub(crate) const PER_GROUP: u64 = GROUP * OWN + TABLES;
/// Facts of a group that are asked for.
const FACTS: u64 = GROUP * ASKED as u64;
/// The five questions that a fact can have: 60 % free-form, 20 % yes/no, 20 % one of four.
const FORMS: [Form; 5] = [Form::Free(0), Form::Free(1), Form::YesNo(true), Form::Free(2), Form::Choice];
/// Splits of ten groups in a row: 60 % train, 10 % dev, 30 % test. Three groups have all of them.
const SPLITS: [Split; 10] = {
    use Split::{Dev, Test, Train};
    [Train, Test, Dev, Train, Train, Test, Train, Train, Test, Train]
};

mod tag {
    pub(super) const PASSAGES: u64 = 21;
    pub(super) const QUESTIONS: u64 = 22;
    pub(super) const PLAN: u64 = 23;
    pub(super) const TEXT: u64 = 24;
    pub(super) const ASK: u64 = 25;
}

/// Whose entities a world describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Population {
    /// Entities of [`Partition::Tuning`] for train and dev questions, of [`Partition::Test`] for test questions.
    #[default]
    TuningAndTest,
    /// Entities of [`Partition::Models`] only, for training the shipped models; split in the same shares.
    Models,
}

/// What a world is made from. Equal settings give equal worlds, byte for byte, on every platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorldConfig {
    /// Seed of everything in the world but the supply of names.
    pub seed: u64,
    /// Exact number of passages, at least 50.
    pub passages: u64,
    /// Exact number of questions, at most about 1.2 times the number of passages.
    pub questions: u64,
    /// Whose entities it describes.
    pub population: Population,
}

/// Why a world cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// Not even one group of entities fits.
    #[error("a sample world needs at least {least} passages, {passages} were asked for")]
    TooFewPassages {
        /// Passages asked for.
        passages: u64,
        /// The smallest world.
        least: u64,
    },
    /// The supply of names would run out.
    #[error("a sample world has at most {most} passages, {passages} were asked for: the supply of names ends there")]
    TooManyPassages {
        /// Passages asked for.
        passages: u64,
        /// The largest world.
        most: u64,
    },
    /// There are too few facts for the questions.
    #[error(
        "{passages} passages have facts for at most {most} questions, {questions} were asked for: \
         ask for fewer questions or for at least {enough} passages"
    )]
    TooManyQuestions {
        /// Questions asked for.
        questions: u64,
        /// Passages asked for.
        passages: u64,
        /// The most questions that so many passages allow.
        most: u64,
        /// The fewest passages that allow so many questions.
        enough: u64,
    },
}

/// A generated world. It stores nothing but its settings; passages and questions are made when asked for.
#[derive(Clone)]
pub struct World {
    config: WorldConfig,
    groups: u64,
    passage_order: Permutation,
    fact_order: Permutation,
}

/// What a passage will be, before it is worded.
struct Plan {
    entity: Entity,
    register: Register,
    /// Attributes of the entity; those of a table count for its whole group.
    attributes: Vec<usize>,
    /// Key of the wording.
    key: u64,
}

impl World {
    /// Checks the settings; takes no time, whatever the size.
    pub fn new(config: WorldConfig) -> Result<Self, WorldError> {
        let WorldConfig { passages, questions, .. } = config;
        let most = match config.population {
            // Of ten groups seven belong to tuning.
            Population::TuningAndTest => Entity::supply(Partition::Tuning) / 7 * 10,
            Population::Models => Entity::supply(Partition::Models),
        };
        let most = (most / GROUP).saturating_sub(20) * PER_GROUP;
        if passages < PER_GROUP {
            return Err(WorldError::TooFewPassages { passages, least: PER_GROUP });
        }
        if passages > most {
            return Err(WorldError::TooManyPassages { passages, most });
        }
        let groups = passages / PER_GROUP;
        let per_group = FACTS * FORMS.len() as u64;
        if questions > groups * per_group {
            let enough = questions.div_ceil(per_group).saturating_mul(PER_GROUP);
            return Err(WorldError::TooManyQuestions { questions, passages, most: groups * per_group, enough });
        }
        Ok(Self {
            config,
            groups,
            passage_order: Permutation::new(passages, key(&[config.seed, tag::PASSAGES])),
            fact_order: Permutation::new(groups * FACTS, key(&[config.seed, tag::QUESTIONS])),
        })
    }

    /// The settings.
    pub fn config(&self) -> WorldConfig {
        self.config
    }

    /// All passages in the order of the corpus: shuffled over entities and registers.
    pub fn passages(&self) -> impl Iterator<Item = Passage> + '_ {
        (0..self.config.passages).map(|position| self.passage_at(position).0)
    }

    /// All passages with what is known about them, in the same order.
    pub fn passages_with_meta(&self) -> impl Iterator<Item = (Passage, PassageMeta)> + '_ {
        (0..self.config.passages).map(|position| self.passage_at(position))
    }

    /// One passage by its position in the corpus; none behind the end.
    pub fn passage(&self, position: u64) -> Option<(Passage, PassageMeta)> {
        (position < self.config.passages).then(|| self.passage_at(position))
    }

    /// All questions in order: facts shuffled, all kinds of questions and all splits mixed.
    pub fn questions(&self) -> impl Iterator<Item = Question> + '_ {
        (0..self.config.questions).map(|number| self.question_at(number).0)
    }

    /// All questions with the facts that they ask for, in the same order.
    pub fn questions_with_facts(&self) -> impl Iterator<Item = (Question, Fact)> + '_ {
        (0..self.config.questions).map(|number| self.question_at(number))
    }

    /// The bare name of an entity of this world, as passages and questions write it (without words such as "Bridge").
    pub fn entity_name(&self, entity: EntityId) -> String {
        Entity::new(self.config.seed, entity).base_name()
    }

    fn passage_at(&self, position: u64) -> (Passage, PassageMeta) {
        let place = self.passage_order.backward(position);
        let plan = match place / PER_GROUP {
            group if group < self.groups => self.plan(group, place % PER_GROUP),
            _ => self.filler(place - self.groups * PER_GROUP),
        };
        let text = passage(&plan.entity, plan.register, &plan.attributes, &mut Draw::new(&[plan.key, tag::TEXT]));
        let is_table = plan.register == Register::Table;
        let facts = plan
            .attributes
            .iter()
            .flat_map(|&attribute| {
                let EntityId { partition, number } = plan.entity.id;
                let numbers = if is_table { number..number + GROUP } else { number..number + 1 };
                numbers.map(move |number| Fact { entity: EntityId { partition, number }, attribute })
            })
            .collect();
        let entity = (!is_table).then_some(plan.entity.id);
        let passage = Passage { id: passage_id(position), title: text.title, text: text.body, source: None };
        (passage, PassageMeta { register: plan.register, entity, facts })
    }

    fn question_at(&self, number: u64) -> (Question, Fact) {
        let facts = self.groups * FACTS;
        let (round, turn) = (number / facts, number % facts);
        let place = self.fact_order.forward(turn);
        let (group, fact) = (place / FACTS, place % FACTS);
        let entity = self.entity(group, fact / ASKED as u64);
        let at = (fact % ASKED as u64) as usize;
        let attribute = entity.attribute_order().nth(at).unwrap_or_default();
        // Counting on through the forms keeps their shares exact and gives a fact each form once.
        let form = match FORMS[((turn + round) % FORMS.len() as u64) as usize] {
            Form::YesNo(_) => Form::YesNo((turn / FORMS.len() as u64 + round).is_multiple_of(2)),
            form => form,
        };
        let asked = ask(&entity, attribute, form, &mut Draw::new(&[self.config.seed, tag::ASK, place, round]));
        let own = fact / ASKED as u64 * OWN;
        let gold_ids = (own..own + OWN)
            .chain(GROUP * OWN..PER_GROUP)
            .filter(|&slot| {
                let plan = self.plan(group, slot);
                plan.register.gold() && plan.attributes.contains(&attribute)
            })
            .map(|slot| passage_id(self.passage_order.forward(group * PER_GROUP + slot)))
            .collect();
        let question = Question {
            id: format!("q{number:06}"),
            text: asked.text,
            answers: vec![asked.answer],
            choices: asked.choices,
            gold_ids,
            split: Some(SPLITS[(group % 10) as usize]),
        };
        (question, Fact { entity: entity.id, attribute })
    }

    /// An entity of a group, `at` in `0..GROUP`.
    fn entity(&self, group: u64, at: u64) -> Entity {
        let (tens, ones) = (group / 10, (group % 10) as usize);
        let is_test = |split: &&Split| **split == Split::Test;
        let tests = SPLITS[..ones].iter().filter(is_test).count() as u64;
        let (partition, number) = match (self.config.population, SPLITS[ones]) {
            (Population::Models, _) => (Partition::Models, group),
            (_, Split::Test) => (Partition::Test, tens * 3 + tests),
            _ => (Partition::Tuning, tens * 7 + ones as u64 - tests),
        };
        Entity::new(self.config.seed, EntityId { partition, number: number * GROUP + at })
    }

    /// What the passage in a slot of a group says.
    fn plan(&self, group: u64, slot: u64) -> Plan {
        let (at, own) = (slot / OWN, slot % OWN);
        if at >= GROUP {
            let entity = self.entity(group, 0);
            let attributes = table_columns(&entity, own as usize).to_vec();
            return self.planned(entity, Register::Table, attributes, slot);
        }
        let entity = self.entity(group, at);
        let order: Vec<usize> = entity.attribute_order().collect();
        let (asked, others) = order.split_at(ASKED);
        let EntityId { partition, number } = entity.id;
        // What the misleading passages speak of is decided once per entity, so that it is spread over the facts.
        let turn = Draw::new(&[self.config.seed, tag::PLAN, partition as u64, number]).below(ASKED);
        let mut draw = Draw::new(&[self.config.seed, tag::PLAN, partition as u64, number, slot]);
        let (register, attributes) = match own as usize {
            own @ 0..=2 => {
                let mut attributes = vec![asked[own]];
                // The third passage may tell one of the first two facts again: one or two usable passages each.
                if own == 2 && draw.chance(0.5) {
                    attributes.push(asked[draw.below(2)]);
                }
                if draw.chance(if own == 2 { 0.3 } else { 0.6 }) {
                    attributes.push(others[own % others.len()]);
                }
                if own < 2 && draw.chance(0.2) {
                    let other = others[(own + 1) % others.len()];
                    if !attributes.contains(&other) {
                        attributes.push(other);
                    }
                }
                draw.shuffle(&mut attributes);
                (Register::Plain, attributes)
            }
            own @ 3..=5 => (Register::Correction, vec![asked[own - 3]]),
            6 => (Register::Correction, vec![asked[turn]]),
            own @ 7..=8 => (Register::Rumour, vec![asked[(turn + own) % ASKED]]),
            own @ 9..=10 => (Register::Outdated, vec![asked[(turn + own) % ASKED]]),
            _ => (Register::Overview, asked.to_vec()),
        };
        self.planned(entity, register, attributes, slot)
    }

    /// Plain passages of entities that no question asks for make up the number.
    fn filler(&self, at: u64) -> Plan {
        let (partition, groups) = match self.config.population {
            Population::Models => (Partition::Models, self.groups),
            Population::TuningAndTest => (Partition::Tuning, self.groups / 10 * 7 + 7),
        };
        let entity = Entity::new(self.config.seed, EntityId { partition, number: groups * GROUP + at });
        let attributes = entity.attribute_order().take(1 + (at % 2) as usize).collect();
        self.planned(entity, Register::Plain, attributes, at)
    }

    fn planned(&self, entity: Entity, register: Register, attributes: Vec<usize>, slot: u64) -> Plan {
        let key = key(&[self.config.seed, entity.id.partition as u64, entity.id.number, slot]);
        Plan { entity, register, attributes, key }
    }
}

fn passage_id(position: u64) -> String {
    format!("p{position:06}")
}
