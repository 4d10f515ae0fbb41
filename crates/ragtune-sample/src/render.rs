//! Turns facts into sentences.

use crate::draw::Draw;
use crate::entity::{ASKED, Entity, EntityId, GROUP, Role};
use crate::frames;
use crate::kinds::ValueType;
use crate::names::{Form, Partition};
use crate::register::Register;

/// Plain passages of one or two facts get both an opener and a closer when they would be shorter than this.
const SHORT: usize = 22;

/// Title and text of a passage.
pub(crate) struct Text {
    pub(crate) title: String,
    pub(crate) body: String,
}

/// Fills placeholders `{key}` of a template; an unknown one stays as it is.
pub(crate) fn fill(template: &str, fields: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let Some(length) = rest[start..].find('}') else { break };
        out.push_str(&rest[..start]);
        let field = &rest[start + 1..start + length];
        match fields.iter().find(|(name, _)| *name == field) {
            Some((_, value)) => out.push_str(value),
            None => out.push_str(&rest[start..=start + length]),
        }
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    out
}

/// Upper case for the first letter of every sentence.
pub(crate) fn capitalise_sentences(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut start, mut stop) = (true, false);
    for letter in text.chars() {
        if start && letter.is_alphanumeric() {
            out.extend(letter.to_uppercase());
            start = false;
        } else {
            start |= stop && letter == ' ';
            out.push(letter);
        }
        stop = matches!(letter, '.' | '?' | '!');
    }
    out
}

/// A passage of an entity in a register; `attributes` (at least one) are the facts that it speaks of. A table shows
/// the entity's whole group, with [`table_columns`] as the usual attributes.
pub(crate) fn passage(entity: &Entity, register: Register, attributes: &[usize], draw: &mut Draw) -> Text {
    let body = match register {
        Register::Table => return table(&group_of(entity), attributes, draw),
        Register::Plain => plain(entity, attributes, draw),
        Register::Overview => overview(entity, attributes, draw),
        Register::Correction | Register::Rumour | Register::Outdated => framed(entity, register, attributes[0], draw),
    };
    Text { title: entity.title(), body }
}

fn plain(entity: &Entity, attributes: &[usize], draw: &mut Draw) -> String {
    let (full, short) = (entity.full_name(), entity.short_name());
    let facts: Vec<_> =
        attributes.iter().map(|&at| (draw.pick(entity.attribute(at).plain), entity.value(at, Role::Current))).collect();
    let words: usize =
        facts.iter().map(|(template, value)| template.split(' ').count() + value.split(' ').count() - 1).sum();
    let (mut opener, mut closer) = (draw.chance(0.6), draw.chance(0.6));
    if facts.len() == 1 || words + 9 < SHORT {
        (opener, closer) = (true, true);
    } else if facts.len() > 2 && opener {
        closer = false;
    } else if !opener {
        closer = true;
    }
    let mut sentences = Vec::new();
    if opener {
        sentences.push(fill(draw.pick(entity.kind.openers), &[("s", &full)]));
    }
    for (template, value) in &facts {
        // The name again now and then: readers should depend neither on it nor on its absence.
        let subject = if sentences.is_empty() || draw.chance(0.35) {
            full.as_str()
        } else if template.starts_with("{s}") && !entity.kind.is_person() && draw.chance(0.5) {
            "it"
        } else {
            short.as_str()
        };
        sentences.push(fill(template, &[("s", subject), ("v", value)]));
    }
    if closer {
        sentences.push(draw.pick(entity.kind.closers).to_owned());
    }
    capitalise_sentences(&sentences.join(" "))
}

fn framed(entity: &Entity, register: Register, attribute: usize, draw: &mut Draw) -> String {
    let about = entity.attribute(attribute);
    let name = entity.full_name();
    let frame = draw.pick(match register {
        Register::Correction => frames::CORRECTION,
        Register::Rumour => frames::RUMOUR,
        _ if about.mutable => frames::FORMER,
        _ => frames::OLD_EDITION,
    });
    let phrase = fill(draw.pick(about.phrases), &[("n", &name)]);
    let value = |role| about.value.article().to_owned() + &entity.value(attribute, role);
    let wrong = value(Role::Wrong(draw.below(3)));
    let year = entity.unrelated_year(draw.below(16) as u64);
    let mut fields = vec![("np", phrase.as_str()), ("n", &name), ("w", &wrong), ("y", &year)];
    let (current, former) = (value(Role::Current), value(Role::Former));
    // The right value is not even at hand where it must not be told.
    match register {
        Register::Correction => fields.push(("v", &current)),
        Register::Outdated => fields.push(("f", &former)),
        _ => {}
    }
    capitalise_sentences(&fill(frame, &fields))
}

fn overview(entity: &Entity, attributes: &[usize], draw: &mut Draw) -> String {
    let name = entity.full_name();
    let mut topics: Vec<_> =
        attributes.iter().map(|&at| fill(entity.attribute(at).phrases[0], &[("n", &name)])).collect();
    draw.shuffle(&mut topics);
    let (person, place) = (entity.unrelated_person(), entity.unrelated_place());
    let year = entity.unrelated_year(draw.below(16) as u64);
    let mut fields = vec![("n", name.as_str()), ("p", &person), ("q", &place), ("y", &year)];
    for (key, at) in [("a", 0), ("b", 1), ("c", 2)] {
        fields.push((key, &topics[at % topics.len()]));
    }
    capitalise_sentences(&fill(draw.pick(frames::OVERVIEW), &fields))
}

/// A table of entities of one kind with two columns, filled up with invented rows to 4 to 6.
fn table(entities: &[Entity], attributes: &[usize], draw: &mut Draw) -> Text {
    let first = &entities[0];
    let columns = [attributes[0], attributes[attributes.len() - 1]];
    let kind = first.kind;
    let mut rows: Vec<[String; 3]> = entities
        .iter()
        .map(|entity| {
            [entity.base_name(), entity.value(columns[0], Role::Current), entity.value(columns[1], Role::Current)]
        })
        .collect();
    for _ in 0..draw.below(3) {
        let form = if kind.is_person() { Form::Person } else { Form::Place(2) };
        let partition = first.id.partition;
        let name = form.value_name(partition, draw.next() % form.supply(partition));
        let [x, z] = columns.map(|at| stray_value(kind.attributes[at].value, partition, draw));
        rows.push([name, x, z]);
    }
    draw.shuffle(&mut rows);
    let [x, z] = columns.map(|at| kind.attributes[at].column);
    let fields = [("k", kind.plural), ("x", x), ("z", z)];
    let column = |at: usize| rows.iter().map(|row| row[at].as_str()).collect::<Vec<_>>().join("; ");
    let head = fill(draw.pick(frames::TABLE_HEADS), &fields);
    // Column after column: the n-th name goes with the n-th value, and the names come first, in between or last.
    let mut columns = [("Names", 0), (x, 1), (z, 2)].map(|(title, at)| format!("{title}: {}.", column(at)));
    columns.swap(0, draw.below(3));
    let body = format!("{head} {}", columns.join(" "));
    Text { title: fill(draw.pick(frames::TABLE_TITLES), &fields), body: capitalise_sentences(&body) }
}

/// A value of a type that belongs to nobody.
fn stray_value(value: ValueType, partition: Partition, draw: &mut Draw) -> String {
    let mut invented = |form: Form| form.value_name(partition, draw.next() % form.supply(partition));
    match value {
        ValueType::Person => invented(Form::Person),
        ValueType::Place => invented(Form::Place(2)),
        ValueType::Year => (1100 + draw.below(800)).to_string(),
        ValueType::Count => (2 + draw.below(38)).to_string(),
        ValueType::Word(list) | ValueType::Noun(_, list) => draw.pick(list).to_owned(),
    }
}

/// All entities of an entity's group, in order.
fn group_of(entity: &Entity) -> Vec<Entity> {
    let start = entity.id.number / GROUP * GROUP;
    (start..start + GROUP).map(|number| Entity::new(entity.seed, EntityId { number, ..entity.id })).collect()
}

/// The columns of the two tables of a group: together they cover what is asked, the first attribute twice.
pub(crate) fn table_columns(entity: &Entity, which: usize) -> [usize; 2] {
    let order: Vec<_> = entity.attribute_order().take(ASKED).collect();
    if which == 0 { [order[0], order[1]] } else { [order[2], order[0]] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::KINDS;
    use crate::{names::partition_of_name, words};
    use std::collections::HashSet;

    #[test]
    fn templates_fill_and_sentences_start_with_capitals() {
        assert_eq!(fill("{s} has {v} of {s}, {other}", &[("s", "it"), ("v", "7")]), "it has 7 of it, {other}");
        assert_eq!(capitalise_sentences("wool. so? the X; y. 12 a"), "Wool. So? The X; y. 12 a");
    }

    /// Answers can only be told apart from wording if the wording holds none of the answers' words.
    #[test]
    fn no_wording_holds_a_closed_answer_or_reads_as_a_name() {
        let answers: Vec<String> = words::ALL.iter().flat_map(|list| list.iter().map(|w| w.to_lowercase())).collect();
        assert_eq!(answers.iter().collect::<HashSet<_>>().len(), answers.len(), "lists overlap");
        let mut texts: Vec<&str> = [
            frames::CORRECTION,
            frames::RUMOUR,
            frames::FORMER,
            frames::OLD_EDITION,
            frames::OVERVIEW,
            frames::TABLE_TITLES,
            frames::TABLE_HEADS,
        ]
        .concat();
        for kind in KINDS {
            texts.extend([kind.noun, kind.plural, kind.suffix]);
            texts.extend(kind.openers.iter().chain(kind.closers));
            for attribute in kind.attributes {
                texts.push(attribute.column);
                texts.extend(
                    attribute.phrases.iter().chain(attribute.plain).chain(attribute.ask).chain(attribute.check),
                );
            }
        }
        for text in texts {
            assert!(!text.contains(|c: char| c.is_ascii_digit()), "digits belong to answers: {text}");
            for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()) {
                assert!(!answers.iter().any(|answer| answer == word), "{word:?} is an answer: {text}");
                assert_eq!(partition_of_name(word), None, "{word:?} could be a name: {text}");
            }
        }
    }

    #[test]
    fn every_attribute_has_enough_wordings_with_their_placeholders() {
        for attribute in KINDS.iter().flat_map(|kind| kind.attributes) {
            assert!(attribute.plain.len() >= 4 && attribute.ask.len() >= 4, "{}", attribute.column);
            assert!(attribute.check.len() >= 2 && attribute.phrases.len() >= 2, "{}", attribute.column);
            assert!(attribute.plain.iter().all(|t| t.contains("{s}") && t.contains("{v}")), "{}", attribute.column);
            assert!(attribute.ask.iter().all(|t| t.contains("{n}") && !t.contains("{v}")), "{}", attribute.column);
            assert!(attribute.check.iter().all(|t| t.contains("{n}") && t.contains("{v}")), "{}", attribute.column);
            assert!(attribute.phrases.iter().all(|t| t.contains("{n}") && !t.contains("{v}")));
            assert_eq!(attribute.ask.iter().collect::<HashSet<_>>().len(), attribute.ask.len());
        }
    }
}
