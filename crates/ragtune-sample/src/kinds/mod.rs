//! The kinds of entities, their attributes and the wording of Plain passages and questions.
//!
//! Placeholders: `{s}` the entity as the sentence's subject or object ("it" or "the town" once it has been named),
//! `{n}` its full name, `{v}` a value.

mod makers;
mod person;
mod places;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
    /// An invented person.
    Person,
    /// An invented place or river.
    Place,
    /// A year from 1100 to 1899.
    Year,
    /// A number from 2 to 39.
    Count,
    /// A word of a closed list.
    Word(&'static [&'static str]),
    /// A word of a closed list that needs an article in a sentence, but not as an answer.
    Noun(&'static str, &'static [&'static str]),
}

impl ValueType {
    /// What comes before a value in a sentence that has not been written for its type.
    pub(crate) fn article(self) -> &'static str {
        match self {
            Self::Noun(article, _) => article,
            _ => "",
        }
    }
}

/// Something that can be said of an entity, and all ways to say and to ask it.
pub(crate) struct Attribute {
    /// Column header.
    pub(crate) column: &'static str,
    pub(crate) value: ValueType,
    /// Whether it changes with time, so that a former value is natural.
    pub(crate) mutable: bool,
    /// Noun phrases for "the value of this attribute of {n}".
    pub(crate) phrases: &'static [&'static str],
    /// Sentences of Plain passages.
    pub(crate) plain: &'static [&'static str],
    /// Free-form questions.
    pub(crate) ask: &'static [&'static str],
    /// Yes/no questions about a value `{v}`.
    pub(crate) check: &'static [&'static str],
}

/// A kind of entity.
pub(crate) struct Kind {
    pub(crate) noun: &'static str,
    pub(crate) plural: &'static str,
    /// Before the name in running text.
    pub(crate) article: &'static str,
    /// After the name.
    pub(crate) suffix: &'static str,
    /// First sentences of Plain passages, at least 9 words.
    pub(crate) openers: &'static [&'static str],
    /// Last sentences of Plain passages, at least 8 words.
    pub(crate) closers: &'static [&'static str],
    pub(crate) attributes: &'static [Attribute],
}

impl Kind {
    /// Persons have names of another form and are called by their surname when met again.
    pub(crate) fn is_person(&self) -> bool {
        self.noun == "person"
    }
}

/// All kinds.
pub(crate) const KINDS: [&Kind; 7] = [
    &places::TOWN,
    &places::BRIDGE,
    &places::FESTIVAL,
    &makers::WORKSHOP,
    &makers::SHIP,
    &makers::SCHOOL,
    &person::PERSON,
];
