//! Entities and their values, by random access.

use crate::draw::{Permutation, key};
use crate::kinds::{Attribute, KINDS, Kind, ValueType};
use crate::names::{Form, Partition};

/// Entities that share a kind, their questioned attributes and their tables.
pub(crate) const GROUP: u64 = 4;
/// Attributes of an entity that questions ask for.
pub(crate) const ASKED: usize = 3;

const FIRST_YEAR: u64 = 1100;
const YEARS: u64 = 800;
const FIRST_COUNT: u64 = 2;
const COUNTS: u64 = 38;
/// Values that an entity may need per attribute, and how many attributes have room; the rest of the slots is for
/// values that belong to no attribute.
const ROLES: u64 = 8;
const SLOTS: u64 = 64;
const FREE_SLOTS: u64 = 48;

mod tag {
    pub(super) const KIND: u64 = 11;
    pub(super) const ASKED: u64 = 12;
    pub(super) const ENTITY_NAME: u64 = 13;
    pub(super) const VALUE_NAME: u64 = 14;
    pub(super) const VALUE: u64 = 15;
}

/// Which entity of a world: its partition and its number in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityId {
    /// The partition of its name.
    pub partition: Partition,
    /// Its number in the partition, from 0.
    pub number: u64,
}

/// What a value of an attribute is to the entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The answer.
    Current,
    /// True once.
    Former,
    /// One of three that were never true.
    Wrong(usize),
}

impl Role {
    fn number(self) -> u64 {
        match self {
            Self::Current => 0,
            Self::Former => 1,
            Self::Wrong(which) => 2 + which as u64,
        }
    }
}

/// An entity of the world of a seed. All its values of one type differ from each other, whatever their role.
#[derive(Clone, Copy)]
pub(crate) struct Entity {
    pub(crate) seed: u64,
    pub(crate) id: EntityId,
    pub(crate) kind: &'static Kind,
}

impl Entity {
    pub(crate) fn new(seed: u64, id: EntityId) -> Self {
        let kind = KINDS[(group_key(seed, id, tag::KIND) % KINDS.len() as u64) as usize];
        Self { seed, id, kind }
    }

    /// How many entities a partition can name.
    pub(crate) fn supply(partition: Partition) -> u64 {
        Form::Place(5).supply(partition).min(Form::LongPerson.supply(partition))
    }

    /// The indices of all attributes, those that questions ask for first ([`ASKED`] of them).
    pub(crate) fn attribute_order(&self) -> impl Iterator<Item = usize> + use<> {
        let count = self.kind.attributes.len() as u64;
        let order = Permutation::new(count, group_key(self.seed, self.id, tag::ASKED));
        (0..count).map(move |at| order.forward(at) as usize)
    }

    pub(crate) fn attribute(&self, attribute: usize) -> &'static Attribute {
        &self.kind.attributes[attribute]
    }

    /// The bare name, which is unique among the entities of all kinds.
    pub(crate) fn base_name(&self) -> String {
        let EntityId { partition, number } = self.id;
        // A quarter of the names has two syllables, the rest three; four and five when those run out.
        let (wanted, index) = match number % 4 {
            0 => (2, number / 4),
            at => (3, number / 4 * 3 + at - 1),
        };
        let (form, index) = if self.kind.is_person() {
            let short = number < Form::Person.supply(partition);
            (if short { Form::Person } else { Form::LongPerson }, number)
        } else if index < Form::Place(wanted).supply(partition) {
            (Form::Place(wanted), index)
        } else {
            let short = number < Form::Place(4).supply(partition);
            (Form::Place(if short { 4 } else { 5 }), number)
        };
        let supply = form.supply(partition);
        let order = Permutation::new(supply, key(&[self.seed, tag::ENTITY_NAME, partition as u64]));
        form.entity_name(partition, order.forward(index % supply))
    }

    /// Title of its passages: "Beldath", "Beldath Bridge".
    pub(crate) fn title(&self) -> String {
        self.base_name() + self.kind.suffix
    }

    /// Name in running text: "Beldath Bridge", "the Beldath".
    pub(crate) fn full_name(&self) -> String {
        [self.kind.article, &self.base_name(), self.kind.suffix].concat()
    }

    /// How a sentence calls it when the passage has named it already.
    pub(crate) fn short_name(&self) -> String {
        if self.kind.is_person() {
            let name = self.base_name();
            name.rsplit(' ').next().unwrap_or(&name).to_owned()
        } else {
            format!("the {}", self.kind.noun)
        }
    }

    /// The value of an attribute.
    pub(crate) fn value(&self, attribute: usize, role: Role) -> String {
        let slot = attribute as u64 * ROLES + role.number();
        match self.attribute(attribute).value {
            ValueType::Word(list) | ValueType::Noun(_, list) => {
                let order = Permutation::new(list.len() as u64, self.value_key(1 + attribute as u64));
                list[order.forward(role.number()) as usize].to_owned()
            }
            ValueType::Count => {
                let order = Permutation::new(COUNTS, self.value_key(1 + attribute as u64));
                (FIRST_COUNT + order.forward(role.number())).to_string()
            }
            ValueType::Year => self.year(slot),
            ValueType::Place => self.invented(Form::Place(2), slot),
            ValueType::Person => self.invented(Form::Person, slot),
        }
    }

    /// The `which`-th (0..16) year that is the value of none of the entity's attributes.
    pub(crate) fn unrelated_year(&self, which: u64) -> String {
        self.year(FREE_SLOTS + which)
    }

    /// A person that is the value of none of the entity's attributes.
    pub(crate) fn unrelated_person(&self) -> String {
        self.invented(Form::Person, FREE_SLOTS)
    }

    /// A place that is the value of none of the entity's attributes.
    pub(crate) fn unrelated_place(&self) -> String {
        self.invented(Form::Place(2), FREE_SLOTS)
    }

    fn year(&self, slot: u64) -> String {
        (FIRST_YEAR + Permutation::new(YEARS, self.value_key(0)).forward(slot)).to_string()
    }

    fn invented(&self, form: Form, slot: u64) -> String {
        let partition = self.id.partition;
        let supply = form.supply(partition);
        // Consecutive slots of one entity stay different when the supply wraps around.
        let order = Permutation::new(supply, key(&[self.seed, tag::VALUE_NAME, partition as u64]));
        form.value_name(partition, order.forward((self.id.number * SLOTS + slot) % supply))
    }

    fn value_key(&self, which: u64) -> u64 {
        key(&[self.seed, tag::VALUE, self.id.partition as u64, self.id.number, which])
    }
}

/// The key of what all entities of a group share.
fn group_key(seed: u64, id: EntityId, tag: u64) -> u64 {
    key(&[seed, tag, id.partition as u64, id.number / GROUP])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn values_of_an_entity_never_coincide(seed: u64, number in 0u64..1_000_000, part in 0usize..3) {
            let partition = [Partition::Models, Partition::Tuning, Partition::Test][part];
            let entity = Entity::new(seed, EntityId { partition, number });
            let mut seen = HashSet::from([entity.base_name()]);
            for attribute in 0..entity.kind.attributes.len() {
                for role in [Role::Current, Role::Former, Role::Wrong(0), Role::Wrong(1), Role::Wrong(2)] {
                    let value = entity.value(attribute, role);
                    prop_assert!(seen.insert(value.clone()), "{value} twice");
                }
            }
            prop_assert!(seen.insert(entity.unrelated_person()) && seen.insert(entity.unrelated_place()));
            for which in 0..16 {
                prop_assert!(seen.insert(entity.unrelated_year(which)));
            }
        }
    }

    #[test]
    fn entity_names_never_collide_within_a_partition() {
        for partition in [Partition::Models, Partition::Tuning, Partition::Test] {
            let mut seen = HashSet::new();
            for number in 0..400_000 {
                let name = Entity::new(9, EntityId { partition, number }).base_name();
                assert!(seen.insert(name.clone()), "{name} names two entities of {partition:?}");
            }
        }
    }
}
