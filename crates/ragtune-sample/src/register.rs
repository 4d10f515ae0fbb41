//! How a passage speaks of a fact.

use crate::entity::EntityId;

/// The manner in which a passage speaks of its entity's facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Register {
    /// Plain sentences. Gold, and a language model that reads it can answer.
    Plain,
    /// Columns for several entities. Gold, but the value must be aligned with its entity.
    Table,
    /// The wrong value first and loudly, the right one by contrast. Gold, but misleading.
    Correction,
    /// A wrong value by hearsay or denied, without the right one. Not gold.
    Rumour,
    /// A former value, without the current one. Not gold.
    Outdated,
    /// The name and the questions' words over and over, and values of others. Not gold.
    Overview,
}

impl Register {
    /// All registers.
    pub const ALL: [Self; 6] =
        [Self::Plain, Self::Table, Self::Correction, Self::Rumour, Self::Outdated, Self::Overview];

    /// Whether a small language model can take the answer from such a passage.
    pub fn usable(self) -> bool {
        self == Self::Plain
    }

    /// Whether such a passage states current answers, so that it is gold for questions about them.
    pub fn gold(self) -> bool {
        matches!(self, Self::Plain | Self::Table | Self::Correction)
    }
}

/// One fact: an attribute of an entity. Its value is the answer of the questions about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fact {
    /// The entity.
    pub entity: EntityId,
    /// Index of the attribute among those of the entity's kind.
    pub attribute: usize,
}

/// What is known about a generated passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassageMeta {
    /// Its register.
    pub register: Register,
    /// The entity that its title names; none for a table.
    pub entity: Option<EntityId>,
    /// The facts that it speaks of. It states their current values if the register is [gold](Register::gold).
    pub facts: Vec<Fact>,
}
