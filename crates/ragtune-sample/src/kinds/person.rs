//! Persons.

use super::ValueType::{Noun, Person, Place, Word, Year};
use super::{Attribute, Kind};
use crate::words::{INSTRUMENTS, PROFESSIONS};

pub(super) const PERSON: Kind = Kind {
    noun: "person",
    plural: "persons",
    article: "",
    suffix: "",
    openers: &[
        "{s} came from a large family and was a cheerful child.",
        "{s} grew up in a small house with many books.",
        "{s} loved long walks and wrote letters to many friends.",
        "{s} is remembered as a kind person with a loud laugh.",
    ],
    closers: &[
        "Friends came to the house on most evenings in winter.",
        "A small garden and two dogs gave joy in later life.",
        "Letters to friends fill three boxes in the library.",
        "Early mornings and long walks were a lifelong habit.",
    ],
    attributes: &[
        Attribute {
            column: "birthplace",
            value: Place,
            mutable: false,
            phrases: &["the birthplace of {n}", "the town in which {n} was born"],
            plain: &[
                "{s} was born in the town {v}.",
                "The birthplace of {s} is {v}.",
                "{v} is the town in which {s} was born.",
                "{s} came into the world in the town {v}.",
            ],
            ask: &[
                "Where was {n} born?",
                "What is the birthplace of {n}?",
                "In which town was {n} born?",
                "In which town did {n} come into the world?",
            ],
            check: &["Was {n} born in {v}?", "Is {v} the birthplace of {n}?"],
        },
        Attribute {
            column: "born",
            value: Year,
            mutable: false,
            phrases: &["the year in which {n} was born", "the birth year of {n}"],
            plain: &[
                "{s} was born in the year {v}.",
                "The birth year of {s} is {v}.",
                "{s} came into the world in {v}.",
                "The year {v} saw the birth of {s}.",
            ],
            ask: &[
                "When was {n} born?",
                "In which year was {n} born?",
                "What is the birth year of {n}?",
                "In what year did {n} come into the world?",
            ],
            check: &["Was {n} born in {v}?", "Is {v} the birth year of {n}?"],
        },
        Attribute {
            column: "work",
            value: Word(PROFESSIONS),
            mutable: true,
            phrases: &["the profession of {n}", "the work of {n}"],
            plain: &[
                "{s} worked as a {v}.",
                "By profession {s} was a {v}.",
                "{s} earned a living as a {v}.",
                "The profession of {s} was that of a {v}.",
            ],
            ask: &[
                "What was the profession of {n}?",
                "As what did {n} work?",
                "What was {n} by profession?",
                "How did {n} earn a living?",
            ],
            check: &["Did {n} work as a {v}?", "Was {n} a {v} by profession?"],
        },
        Attribute {
            column: "teacher",
            value: Person,
            mutable: false,
            phrases: &["the teacher of {n}", "the person who taught {n}"],
            plain: &[
                "{s} was taught by {v}.",
                "The teacher of {s} was {v}.",
                "{s} was a pupil of {v}.",
                "{v} taught {s} for three years.",
            ],
            ask: &["Who taught {n}?", "Who was the teacher of {n}?", "By whom was {n} taught?", "Whose pupil was {n}?"],
            check: &["Was {n} taught by {v}?", "Was {v} the teacher of {n}?"],
        },
        Attribute {
            column: "instrument",
            value: Noun("the ", INSTRUMENTS),
            mutable: true,
            phrases: &["the instrument of {n}", "the instrument that {n} played"],
            plain: &[
                "{s} played the {v}.",
                "The instrument of {s} was the {v}.",
                "In the evenings {s} played the {v} at home.",
                "As an instrument {s} chose the {v}.",
            ],
            ask: &[
                "Which instrument did {n} play?",
                "What was the instrument of {n}?",
                "What did {n} play in the evenings?",
                "Which instrument did {n} choose?",
            ],
            check: &["Did {n} play the {v}?", "Did {n} choose the {v}?"],
        },
    ],
};
