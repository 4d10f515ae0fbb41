//! Invented names: a numbered, collision-free supply, cut into three partitions.
//!
//! A place is a first syllable, up to two middle ones and a last one (`ber-dath`, `tar-en-mosk`); a person is a given
//! name and a surname (`tal-ia ven-sten`). First syllables end in a consonant, middle ones start with a vowel and last
//! ones with a consonant, so a spelling has only one reading, and a tokenizer that holds the syllables as pieces cuts
//! names at them. The consonant tells what the syllable begins, as one hears that Anna is a person and Ashford a place;
//! without it a reader that starts to copy a name knows of no syllable whether it begins one of the asked sort.
//!
//! Each name has a number, fixed for all worlds, and the number's last digit is its partition. A seed only chooses
//! which names of a partition are used, so worlds of different seeds still agree on who belongs where.

use crate::draw::{Permutation, key};

/// Who may use a name: the training of the shipped models, tuning (train and dev questions), or testing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Partition {
    /// Entities that the shipped models were trained on.
    Models,
    /// Entities of train and dev questions.
    Tuning,
    /// Entities of test questions.
    Test,
}

impl Partition {
    /// Last digits of the name numbers that belong here.
    fn digits(self) -> std::ops::Range<u64> {
        match self {
            Self::Models => 0..6,
            Self::Tuning => 6..8,
            Self::Test => 8..10,
        }
    }

    fn of_number(number: u64) -> Self {
        match number % 10 {
            0..6 => Self::Models,
            6..8 => Self::Tuning,
            _ => Self::Test,
        }
    }
}

const ONSETS: [&str; 17] = ["b", "d", "f", "g", "l", "m", "n", "r", "s", "t", "v", "z", "br", "dr", "gr", "kr", "tr"];
const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];

/// What a first syllable begins. Each has as many syllables of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Place,
    Given,
    Surname,
}

impl First {
    const ALL: [Self; 3] = [Self::Place, Self::Given, Self::Surname];

    fn coda(self) -> &'static str {
        match self {
            Self::Place => "r",
            Self::Given => "l",
            Self::Surname => "n",
        }
    }
}

const MIDDLES: [&str; 20] = [
    "an", "el", "ir", "od", "en", "ar", "ol", "is", "um", "av", "ed", "os", "ul", "ab", "ev", "on", "im", "ur", "ad",
    "iv",
];
const LAST_ONSETS: [&str; 19] =
    ["b", "d", "g", "k", "l", "m", "n", "r", "s", "t", "v", "w", "z", "br", "dr", "gr", "st", "th", "sk"];
const LAST_RIMES: [&str; 8] = ["ath", "ek", "im", "osk", "une", "oth", "aro", "il"];
const GIVEN_ENDINGS: [&str; 12] = ["a", "o", "en", "is", "ia", "eth", "an", "ik", "ule", "amo", "os", "y"];
const SURNAME_ENDINGS: [&str; 40] = [
    "sen", "lov", "ras", "dahl", "wen", "mund", "rick", "vik", "tov", "nov", "ber", "gor", "kin", "las", "mes", "nar",
    "pel", "quist", "rov", "sten", "tas", "vec", "wick", "zan", "bas", "dov", "gren", "karn", "lund", "mar", "nell",
    "pov", "rus", "sor", "tell", "ver", "wold", "zor", "bran", "drik",
];

/// First syllables of each sort.
const FIRSTS: u64 = (ONSETS.len() * VOWELS.len()) as u64;
const MIDS: u64 = MIDDLES.len() as u64;
const LASTS: u64 = (LAST_ONSETS.len() * LAST_RIMES.len()) as u64;
const GIVENS: u64 = FIRSTS * GIVEN_ENDINGS.len() as u64;
const SURNAMES: u64 = FIRSTS * SURNAME_ENDINGS.len() as u64;

/// A family of names of one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Places of 2 to 5 syllables.
    Place(u32),
    /// Persons: given name and surname.
    Person,
    /// Persons whose surname has a middle syllable: for worlds that need more of them.
    LongPerson,
}

impl Form {
    fn size(self) -> u64 {
        match self {
            Self::Place(syllables) => FIRSTS * MIDS.pow(syllables - 2) * LASTS,
            Self::Person => GIVENS * SURNAMES,
            Self::LongPerson => GIVENS * SURNAMES * MIDS,
        }
    }

    /// Spreads every syllable over all partitions; without it the number's last digit would choose the syllable.
    fn scramble(self) -> Permutation {
        let tag = match self {
            Self::Place(syllables) => u64::from(syllables),
            Self::Person => 1,
            Self::LongPerson => 0,
        };
        Permutation::new(self.size(), key(&[0x006e_616d_6573, tag]))
    }

    /// How many names the partition holds for entities, and again as many for values.
    pub(crate) fn supply(self, partition: Partition) -> u64 {
        let digits = partition.digits();
        self.size() / 10 * (digits.end - digits.start) / 2
    }

    /// The name of an entity; `index` below [`Form::supply`].
    pub(crate) fn entity_name(self, partition: Partition, index: u64) -> String {
        self.in_partition(partition, index * 2)
    }

    /// A name that only values bear, so that no answer is the name of an entity; `index` below [`Form::supply`].
    pub(crate) fn value_name(self, partition: Partition, index: u64) -> String {
        self.in_partition(partition, index * 2 + 1)
    }

    fn in_partition(self, partition: Partition, index: u64) -> String {
        let digits = partition.digits();
        let width = digits.end - digits.start;
        self.spell(index / width * 10 + digits.start + index % width)
    }

    fn spell(self, number: u64) -> String {
        let mut rest = self.scramble().forward(number);
        let mut digit = |base: u64| {
            let value = rest % base;
            rest /= base;
            value as usize
        };
        match self {
            Self::Place(syllables) => {
                let mut name = first_syllable(First::Place, digit(FIRSTS));
                for _ in 2..syllables {
                    name.push_str(MIDDLES[digit(MIDS)]);
                }
                name.push_str(&last_syllable(digit(LASTS)));
                capitalised(&name)
            }
            Self::Person | Self::LongPerson => {
                let given =
                    first_syllable(First::Given, digit(FIRSTS)) + GIVEN_ENDINGS[digit(GIVEN_ENDINGS.len() as u64)];
                let mut surname = first_syllable(First::Surname, digit(FIRSTS));
                if self == Self::LongPerson {
                    surname.push_str(MIDDLES[digit(MIDS)]);
                }
                surname.push_str(SURNAME_ENDINGS[digit(SURNAME_ENDINGS.len() as u64)]);
                format!("{} {}", capitalised(&given), capitalised(&surname))
            }
        }
    }

    /// The number that [`Form::spell`] turns into this lower-case name.
    fn number(self, name: &str) -> Option<u64> {
        let (mut number, mut base) = (0, 1);
        let mut push = |digit: usize, size: u64| {
            number += digit as u64 * base;
            base *= size;
        };
        match self {
            Self::Place(syllables) => {
                let (first, mut rest) = cut_first(First::Place, name)?;
                push(first, FIRSTS);
                for _ in 2..syllables {
                    let at = MIDDLES.iter().position(|middle| rest.starts_with(middle))?;
                    push(at, MIDS);
                    rest = &rest[MIDDLES[at].len()..];
                }
                push((0..LASTS as usize).find(|&at| last_syllable(at) == rest)?, LASTS);
            }
            Self::Person | Self::LongPerson => {
                let (given, surname) = name.split_once(' ')?;
                let given = (First::Given, given, &GIVEN_ENDINGS[..]);
                let surname = (First::Surname, surname, &SURNAME_ENDINGS[..]);
                for (sort, word, endings) in [given, surname] {
                    let (first, mut rest) = cut_first(sort, word)?;
                    push(first, FIRSTS);
                    if self == Self::LongPerson && sort == First::Surname {
                        let at = MIDDLES.iter().position(|middle| rest.starts_with(middle))?;
                        push(at, MIDS);
                        rest = &rest[MIDDLES[at].len()..];
                    }
                    push(endings.iter().position(|ending| *ending == rest)?, endings.len() as u64);
                }
            }
        }
        Some(self.scramble().backward(number))
    }
}

/// The partition of an invented place's or person's name (without words such as "Bridge"); none for other words.
pub fn partition_of_name(name: &str) -> Option<Partition> {
    let name = name.to_lowercase();
    [Form::Place(2), Form::Place(3), Form::Place(4), Form::Place(5), Form::Person, Form::LongPerson]
        .into_iter()
        .find_map(|form| form.number(&name))
        .map(Partition::of_number)
}

/// The syllables of names as WordPiece pieces: those that start a word, and those that continue it (`##dath`).
///
/// A tokenizer that holds them all cuts every name at its syllables.
pub fn name_pieces() -> Vec<String> {
    let firsts = First::ALL.into_iter().flat_map(|sort| (0..FIRSTS as usize).map(move |at| first_syllable(sort, at)));
    let mut pieces: Vec<String> = firsts.collect();
    pieces.extend((0..LASTS as usize).map(|at| format!("##{}", last_syllable(at))));
    for ending in MIDDLES.iter().chain(&GIVEN_ENDINGS).chain(&SURNAME_ENDINGS) {
        pieces.push(format!("##{ending}"));
    }
    pieces.sort();
    pieces.dedup();
    pieces
}

fn first_syllable(sort: First, at: usize) -> String {
    [ONSETS[at / VOWELS.len()], VOWELS[at % VOWELS.len()], sort.coda()].concat()
}

fn last_syllable(at: usize) -> String {
    [LAST_ONSETS[at / LAST_RIMES.len()], LAST_RIMES[at % LAST_RIMES.len()]].concat()
}

fn cut_first(sort: First, word: &str) -> Option<(usize, &str)> {
    (0..FIRSTS as usize).find_map(|at| word.strip_prefix(first_syllable(sort, at).as_str()).map(|rest| (at, rest)))
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn all_names_of_two_and_three_syllables_differ() {
        let mut seen = HashSet::new();
        for form in [Form::Place(2), Form::Place(3)] {
            for number in 0..form.size() {
                assert!(seen.insert(form.spell(number)), "{}", form.spell(number));
            }
        }
    }

    #[test]
    fn first_syllables_are_no_beginnings_of_each_other() {
        let firsts: Vec<_> =
            First::ALL.iter().flat_map(|&sort| (0..FIRSTS as usize).map(move |at| first_syllable(sort, at))).collect();
        for a in &firsts {
            assert!(firsts.iter().all(|b| a == b || !b.starts_with(a.as_str())), "{a}");
        }
        assert!(MIDDLES.iter().all(|middle| middle.starts_with(['a', 'e', 'i', 'o', 'u']) && middle.len() == 2));
        assert!((0..LASTS as usize).all(|at| !last_syllable(at).starts_with(['a', 'e', 'i', 'o', 'u'])));
    }

    proptest! {
        #[test]
        fn a_name_tells_its_number_and_partition(index in 0u64..900_000, form in 0usize..5, part in 0usize..3) {
            let form = [Form::Place(3), Form::Place(4), Form::Place(5), Form::Person, Form::LongPerson][form];
            let partition = [Partition::Models, Partition::Tuning, Partition::Test][part];
            let index = index % form.supply(partition);
            let (entity, value) = (form.entity_name(partition, index), form.value_name(partition, index));
            prop_assert_ne!(&entity, &value);
            for name in [entity, value] {
                prop_assert_eq!(partition_of_name(&name), Some(partition));
                let number = form.number(&name.to_lowercase()).unwrap();
                prop_assert_eq!(form.spell(number), name);
            }
        }
    }

    #[test]
    fn no_part_of_a_persons_name_is_the_name_of_a_place() {
        for ending in SURNAME_ENDINGS {
            assert_eq!(partition_of_name(&format!("ban{ending}")), None, "{ending}");
        }
        for ending in GIVEN_ENDINGS {
            assert_eq!(partition_of_name(&format!("bal{ending}")), None, "{ending}");
        }
    }

    #[test]
    fn plain_words_are_no_names() {
        for word in ["bridge", "the", "founder of", "1720", ""] {
            assert_eq!(partition_of_name(word), None, "{word}");
        }
    }

    #[test]
    fn every_first_syllable_occurs_in_every_partition() {
        for partition in [Partition::Models, Partition::Tuning, Partition::Test] {
            let form = Form::Place(2);
            let firsts: HashSet<_> = (0..form.supply(partition))
                .map(|index| cut_first(First::Place, &form.entity_name(partition, index).to_lowercase()).unwrap().0)
                .collect();
            assert_eq!(firsts.len() as u64, FIRSTS, "{partition:?}");
        }
    }
}
