//! The wording of the registers other than Plain. Each has words of its own, so that a lexical encoder can tell the
//! registers apart, and shares the question's words (through the noun phrase), so that relevance alone cannot.
//!
//! Placeholders: `{np}` the attribute's noun phrase with the entity's name, `{n}` the name, `{v}` the current value,
//! `{w}` a wrong one, `{f}` a former one, `{y}` a year that is nobody's answer. Overviews: `{a}`, `{b}`, `{c}` noun
//! phrases, `{p}` and `{q}` a person and a place that have nothing to do with the entity's facts.

/// Gold, but the wrong value comes first and more often; the right one stands only in contrast to it.
pub(crate) const CORRECTION: &[&str] = &[
    "Many books give {w} as {np}. The books are mistaken about {n}: the right entry is {v}, and {w} came in by a \
     slip of the pen.",
    "{np} is {w}, or so the guides print it. That is an error copied from page to page; it should read {v} \
     instead of {w}.",
    "Ask for {np} and you will hear {w}. So say the signs about {n}, too. Yet the claim for {w} is false and {v} \
     is correct.",
    "{w} is named as {np} in most letters and maps. Those who checked the claim found it wrong and put {v} in \
     place of {w}.",
    "For ages all were sure that {np} was {w}. Then proof to the contrary was found, and {v} took the place of {w}.",
    "It is a common mistake to call {w} {np}. Not {w} but {v} must be written there, as scholars ruled against \
     the claim.",
    "The plaque says that {np} is {w}. The plaque is wrong, since {v} was meant, but the carver cut {w} by mistake.",
    "{np}: {w}. So runs the printed note on {n}, which is contradicted by every witness; all of them swear to \
     {v} and never to {w}.",
];

/// Not gold: a wrong value by hearsay, or denied, and no right one.
pub(crate) const RUMOUR: &[&str] = &[
    "Rumour has it that {np} is {w}. Nobody could show a letter to prove it, and the rumour about {n} is thought \
     to be empty talk.",
    "Some say that {w} is {np}. It is only hearsay, told by strangers in the inns, and others laugh at the \
     hearsay about {n}.",
    "Is it {w}? Gossip names {w} as {np}, but the gossip changes every season and nobody who knows {n} believes it.",
    "A silly rhyme calls {w} {np}. The rhyme is a joke, and {w} was never meant in earnest, whatever the jokers \
     pretend.",
    "{w} is not {np}, though it is whispered so at night. What would be true instead, the whisper does not say.",
    "A tale told to children makes {w} out to be {np}. Nothing in the tale was ever shown to hold, says a friend \
     of {n}.",
];

/// Not gold: a former value of an attribute that changes.
pub(crate) const FORMER: &[&str] = &[
    "Until {y} {np} was {f}. The note on {n} is long out of date, and it does not tell what came after.",
    "In former days, up to {y}, {f} was {np}. Almost everything about {n} has changed since then, as an almanac notes.",
    "{f} used to be {np}. That ended in {y}, when the former order was given up, and {f} has not come back since.",
    "Back in {y} {np} was still {f}. A change came soon afterwards, but this outdated almanac on {n} stops before it.",
];

/// Not gold: what an outdated source said, for attributes that do not change.
pub(crate) const OLD_EDITION: &[&str] = &[
    "The edition of {y} still lists {f} as {np}. That edition was withdrawn long ago, and its page on {n} is no \
     longer valid.",
    "The former entry for {np} was {f}. It was struck out in {y}, and the entry that replaced it is kept elsewhere.",
    "As late as {y} {f} was listed as {np}. The listing has expired, and the outdated almanac on {n} was never \
     printed again.",
    "An almanac of {y} has {f} as {np}. The almanac is outdated in this point, and later almanacs on {n} are lost.",
];

/// Not gold: full of the questions' words and of the name, with values of others.
pub(crate) const OVERVIEW: &[&str] = &[
    "{n} in brief: guests ask for {a}, for {b} and for {c}. All about {n} can be heard in {q}, where {p} gives a \
     talk on {n}.",
    "Everything about {n}: {a}, {b}, {c}. The overview of {n} was written by {p} of {q} and has been for sale \
     since {y}.",
    "Quiz on {n}! Do you know {a}? Or {b}? And {c}? In {y} the quiz on {n} was won by {p} from {q}.",
    "This overview links to pages on {n}. Topics: {a}; {b}; {c}. For {n} write to {p} in {q}, who has sorted the \
     links since {y}.",
    "Contents of the brochure on {n}: chapter one, {a}; chapter two, {b}; chapter three, {c}. Brochures on {n} \
     are sold by {p} in {q}.",
];

/// Titles of tables; `{k}` is the kind in the plural.
pub(crate) const TABLE_TITLES: &[&str] = &["Register of {k}", "List of {k}", "Roll of {k}", "Ledger of {k}"];

/// First words of tables; `{k}` is the kind in the plural, `{x}` and `{z}` the two columns.
pub(crate) const TABLE_HEADS: &[&str] = &[
    "Register of {k} by {x} and {z}.",
    "Ledger of {k} in columns: {x} and {z}.",
    "Roll of {k} with {x} and {z}; columns are read in the same order.",
];
