//! What users of the sample world rely on.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use ragtune_sample::{
    BeirWriters, EntityId, Fact, Partition, PassageMeta, Population, ReaderLevel, Register, SampleCounts, UNKNOWN,
    World, WorldConfig, WorldError, partition_of_name, reader_example,
};
use ragtune_text::{Passage, Question, Split, TaskKind};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

fn world(seed: u64, passages: u64, questions: u64, population: Population) -> World {
    World::new(WorldConfig { seed, passages, questions, population }).unwrap()
}

/// Whether the words of `answer` stand in `text` in a row.
fn holds(text: &str, answer: &str) -> bool {
    let words = |s: &str| -> Vec<String> {
        s.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    let (text, answer) = (words(text), words(answer));
    text.windows(answer.len()).any(|window| window == answer)
}

fn beir(world: &World) -> ([Vec<u8>; 6], SampleCounts) {
    let mut files: [Vec<u8>; 6] = Default::default();
    let [corpus, queries, train, dev, test, qa] = &mut files;
    let counts = world.write_beir(BeirWriters { corpus, queries, train, dev, test, qa }).unwrap();
    (files, counts)
}

/// Passages by id, and questions with their facts.
type Everything = (HashMap<String, (Passage, PassageMeta)>, Vec<(Question, Fact)>);

fn everything(world: &World) -> Everything {
    let passages = world.passages_with_meta().map(|(passage, meta)| (passage.id.clone(), (passage, meta))).collect();
    (passages, world.questions_with_facts().collect())
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_gives_others() {
    let make = |seed| beir(&world(seed, 1000, 300, Population::TuningAndTest)).0;
    assert_eq!(make(1), make(1));
    for (a, b) in make(1).iter().zip(make(2)) {
        assert_ne!(*a, b);
    }
}

#[test]
fn answers_stand_in_gold_passages_and_in_no_other_passage_of_the_entity() {
    for (seed, population) in [(1, Population::TuningAndTest), (2, Population::TuningAndTest), (3, Population::Models)]
    {
        let (passages, questions) = everything(&world(seed, 3000, 3600, population));
        let mut of_entity: HashMap<EntityId, Vec<&(Passage, PassageMeta)>> = HashMap::new();
        for entry in passages.values() {
            if let Some(entity) = entry.1.entity {
                of_entity.entry(entity).or_default().push(entry);
            }
        }
        let mut free = 0;
        for (question, fact) in &questions {
            if question.kind() != TaskKind::FreeForm {
                continue;
            }
            free += 1;
            let answer = &question.answers[0];
            for id in &question.gold_ids {
                let (passage, meta) = &passages[id];
                assert!(holds(&passage.text, answer), "{question:?}\n{passage:?}");
                assert!(meta.register.gold() && meta.facts.contains(fact));
            }
            for (passage, meta) in &of_entity[&fact.entity] {
                let gold = question.gold_ids.contains(&passage.id);
                assert_eq!(gold, holds(&passage.text, answer), "{question:?}\n{passage:?}");
                assert_eq!(gold, meta.register.gold() && meta.facts.contains(fact));
            }
        }
        assert_eq!(free, 3600 * 3 / 5);
    }
}

#[test]
fn every_question_has_one_or_two_usable_passages_and_two_to_three_times_as_many_unusable_gold_ones() {
    let (passages, questions) = everything(&world(5, 3000, 700, Population::TuningAndTest));
    let (mut usable, mut unusable) = (0, 0);
    for (question, fact) in &questions {
        let registers: Vec<_> = question.gold_ids.iter().map(|id| passages[id].1.register).collect();
        let count = |register| registers.iter().filter(|&&r| r == register).count();
        for register in [Register::Plain, Register::Table, Register::Correction] {
            assert!((1..=2).contains(&count(register)), "{register:?}: {question:?}");
        }
        assert_eq!(registers.len(), question.gold_ids.iter().collect::<HashSet<_>>().len());
        usable += count(Register::Plain);
        unusable += registers.len() - count(Register::Plain);
        let misleading = passages
            .values()
            .filter(|(_, meta)| !meta.register.gold() && meta.entity == Some(fact.entity) && meta.facts.contains(fact));
        assert!(misleading.count() >= 2, "{question:?}");
    }
    let ratio = unusable as f64 / usable as f64;
    assert!((2.0..3.0).contains(&ratio), "{ratio}");
}

#[test]
fn partitions_share_no_entity_whatever_the_seeds() {
    let mut owners: HashMap<String, Partition> = HashMap::new();
    for seed in 0..4 {
        for population in [Population::TuningAndTest, Population::Models] {
            let world = world(seed, 5000, 5000, population);
            for (question, fact) in world.questions_with_facts() {
                let partition = fact.entity.partition;
                let expected = match (population, question.split) {
                    (Population::Models, _) => Partition::Models,
                    (_, Some(Split::Test)) => Partition::Test,
                    _ => Partition::Tuning,
                };
                assert_eq!(partition, expected);
                let name = world.entity_name(fact.entity);
                assert!(question.text.contains(&name), "{name}: {}", question.text);
                assert_eq!(partition_of_name(&name), Some(partition));
                assert_eq!(*owners.entry(name).or_insert(partition), partition);
            }
        }
    }
    assert!(owners.len() > 2000);
}

#[test]
fn no_passage_serves_two_splits_and_the_splits_have_their_shares() {
    let world = world(11, 10_000, 5000, Population::TuningAndTest);
    let mut splits: HashMap<String, Split> = HashMap::new();
    let mut counts: HashMap<Split, u64> = HashMap::new();
    for question in world.questions() {
        let split = question.split.unwrap();
        *counts.entry(split).or_default() += 1;
        for id in question.gold_ids {
            assert_eq!(*splits.entry(id).or_insert(split), split);
        }
    }
    for (split, share) in [(Split::Train, 0.6), (Split::Dev, 0.1), (Split::Test, 0.3)] {
        let found = counts[&split] as f64 / 5000.0;
        assert!((found - share).abs() < 0.03, "{split:?}: {found}");
    }
}

#[test]
fn closed_questions_are_balanced_and_hold_the_answer_once() {
    let world = world(21, 4000, 4000, Population::TuningAndTest);
    let (mut yes, mut no, mut four, mut free) = (0i64, 0i64, 0, 0);
    let mut places = [0; 4];
    let free_answers: HashMap<Fact, String> = world
        .questions_with_facts()
        .filter(|(question, _)| question.kind() == TaskKind::FreeForm)
        .map(|(question, fact)| (fact, question.answers[0].clone()))
        .collect();
    for (question, fact) in world.questions_with_facts() {
        let answer = &question.answers[0];
        assert_eq!(question.answers.len(), 1);
        if question.choices.is_empty() {
            free += 1;
            assert_eq!(&free_answers[&fact], answer);
            continue;
        }
        assert_eq!(question.choices.iter().filter(|choice| *choice == answer).count(), 1);
        assert_eq!(question.choices.iter().collect::<HashSet<_>>().len(), question.choices.len());
        if question.choices == ["no", "yes"] {
            let truth = free_answers.get(&fact).map(|right| holds(&question.text, right));
            assert_eq!(truth.unwrap_or(answer == "yes"), answer == "yes", "{question:?}");
            if answer == "yes" { yes += 1 } else { no += 1 }
        } else {
            assert_eq!(question.choices.len(), 4);
            assert_eq!(free_answers.get(&fact).unwrap_or(answer), answer);
            places[question.choices.iter().position(|choice| choice == answer).unwrap()] += 1;
            four += 1;
        }
    }
    assert!((yes - no).abs() <= 5, "{yes} yes, {no} no");
    assert!((2395..=2405).contains(&free) && (795..=805).contains(&four), "{free} {four}");
    assert!(places.iter().all(|&n| (150..250).contains(&n)), "the answer's place tells: {places:?}");
}

#[test]
fn no_question_is_asked_twice() {
    // As many questions as the passages allow, free-form: all wordings of all facts.
    let world = world(31, 1000, 1200, Population::TuningAndTest);
    let mut seen = HashSet::new();
    for question in world.questions().filter(|question| question.kind() == TaskKind::FreeForm) {
        assert!(seen.insert(question.text.clone()), "{}", question.text);
    }
}

#[test]
fn tables_hold_the_values_of_several_entities() {
    let world = world(41, 2000, 2400, Population::TuningAndTest);
    let answers: HashMap<Fact, String> = world
        .questions_with_facts()
        .filter(|(question, _)| question.kind() == TaskKind::FreeForm)
        .map(|(question, fact)| (fact, question.answers[0].clone()))
        .collect();
    let mut tables = 0;
    for (passage, meta) in world.passages_with_meta().filter(|(_, meta)| meta.register == Register::Table) {
        tables += 1;
        assert_eq!((meta.entity, meta.facts.len()), (None, 8));
        for fact in &meta.facts {
            assert!(holds(&passage.text, &world.entity_name(fact.entity)), "{passage:?}");
            assert!(holds(&passage.text, &answers[fact]), "{passage:?}");
        }
    }
    assert_eq!(tables, 80);
}

#[test]
fn passages_are_short_and_clean() {
    let mut titles = HashSet::new();
    let mut registers: HashMap<Register, u64> = HashMap::new();
    for (passage, meta) in world(51, 20_000, 0, Population::TuningAndTest).passages_with_meta() {
        let words = passage.text.split_whitespace().count();
        assert!((18..=60).contains(&words), "{words} words: {passage:?}");
        assert!(!passage.text.contains(['{', '}']) && !passage.text.contains("  "), "{passage:?}");
        assert!(passage.text.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit()), "{passage:?}");
        if meta.register != Register::Table {
            let name = passage.title.split(' ').next().unwrap();
            assert!(passage.text.contains(name), "{passage:?}");
        }
        *registers.entry(meta.register).or_default() += 1;
        titles.insert(passage.title);
    }
    assert_eq!(registers.len(), Register::ALL.len());
    assert!(titles.len() > 1600);
}

#[test]
fn corrections_name_the_wrong_value_before_the_right_one() {
    let world = world(61, 2000, 2400, Population::TuningAndTest);
    let (passages, questions) = everything(&world);
    for (question, _) in questions.iter().filter(|(question, _)| question.choices.len() == 4) {
        let right = question.answers[0].to_lowercase();
        for id in &question.gold_ids {
            let (passage, meta) = &passages[id];
            if meta.register == Register::Correction {
                let text = passage.text.to_lowercase();
                let padded = format!(" {} ", text.replace(['.', ',', ';', ':', '?'], " "));
                let place = padded.find(&format!(" {right} ")).unwrap();
                // Three of four wrong values are options, so most corrections show theirs.
                let wrong = question.choices.iter().filter(|choice| choice.to_lowercase() != right);
                for other in wrong {
                    if let Some(other) = padded.find(&format!(" {} ", other.to_lowercase())) {
                        assert!(other < place, "{passage:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn all_sizes_stream_with_unique_ids() {
    for (passages, questions) in [(50, 60), (100, 20), (1_000, 500), (50_000, 10_000)] {
        let world = world(71, passages, questions, Population::TuningAndTest);
        let ids: HashSet<String> = world.passages().map(|passage| passage.id).collect();
        assert_eq!(ids.len() as u64, passages);
        let mut found = HashSet::new();
        for question in world.questions() {
            assert!(!question.gold_ids.is_empty() && question.gold_ids.iter().all(|id| ids.contains(id)));
            found.insert(question.id);
        }
        assert_eq!(found.len() as u64, questions);
    }
}

#[test]
fn any_part_of_a_huge_world_can_be_made_by_itself() {
    let world = world(81, 21_000_000, 3_000_000, Population::TuningAndTest);
    let question = world.questions().next().unwrap();
    for id in &question.gold_ids {
        let (passage, meta) = world.passage(id[1..].parse().unwrap()).unwrap();
        assert_eq!(&passage.id, id);
        assert!(meta.register.gold());
    }
    assert!(world.passage(21_000_000).is_none());
}

#[test]
fn impossible_sizes_say_what_would_be_possible() {
    let make = |passages, questions| {
        World::new(WorldConfig { seed: 1, passages, questions, population: Population::TuningAndTest }).err()
    };
    assert_eq!(make(49, 1), Some(WorldError::TooFewPassages { passages: 49, least: 50 }));
    let Some(WorldError::TooManyQuestions { most, enough, .. }) = make(100, 121) else { panic!() };
    assert_eq!((make(100, most), make(enough, 121)), (None, None));
    let Some(WorldError::TooManyPassages { most, .. }) = make(u64::MAX, 1) else { panic!() };
    assert_eq!(make(most, 1), None);
    assert!(most > 20_000_000);
}

#[test]
fn beir_files_agree_with_the_world() {
    let world = world(91, 500, 200, Population::TuningAndTest);
    let (files, counts) = beir(&world);
    assert_eq!(counts.bytes, files.iter().map(|file| file.len() as u64).sum::<u64>());
    assert_eq!((counts.passages, counts.questions), (500, 200));
    let [corpus, queries, train, dev, test, qa] = files.map(|file| String::from_utf8(file).unwrap());
    let json = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    for (line, passage) in corpus.lines().zip(world.passages()) {
        let line = json(line);
        assert_eq!((line["_id"].as_str(), line["text"].as_str()), (Some(&*passage.id), Some(&*passage.text)));
    }
    let questions: Vec<Question> = qa.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(questions.iter().cloned().eq(world.questions()));
    assert!(queries.lines().zip(&questions).all(|(line, q)| json(line)["text"].as_str() == Some(&q.text)));
    for (split, file) in [(Split::Train, train), (Split::Dev, dev), (Split::Test, test)] {
        let mut lines = file.lines();
        assert_eq!(lines.next(), Some("query-id\tcorpus-id\tscore"));
        let expected = questions
            .iter()
            .filter(|question| question.split == Some(split))
            .flat_map(|question| question.gold_ids.iter().map(|gold| format!("{}\t{gold}\t1", question.id)));
        assert!(lines.eq(expected), "{split:?}");
    }
}

proptest! {
    #[test]
    fn reading_exercises_state_the_answer_once_and_plainly(seed: u64, passages in 0usize..=10) {
        let level = ReaderLevel { passages, questions: 6, misleading: 0.5, same_entity: 0.3, ..ReaderLevel::default() };
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        for _ in 0..20 {
            let example = reader_example(&mut rng, &level);
            prop_assert_eq!(example.passages.len(), passages);
            prop_assert_eq!(example.questions.len(), 6);
            for question in &example.questions {
                prop_assert_eq!(question.gold_ids.len(), usize::from(passages > 0));
                prop_assert!(question.choices.is_empty());
                prop_assert_eq!(question.answers[0] == UNKNOWN, passages == 0);
                for passage in &example.passages {
                    let usable = question.gold_ids.contains(&passage.id);
                    let stated = holds(&passage.text, &question.answers[0]);
                    if usable {
                        prop_assert!(stated, "{:?}", &example);
                    } else if holds(&question.text, &passage.title) {
                        prop_assert!(!stated, "{:?}", &example);
                    }
                }
            }
        }
    }
}

#[test]
fn reading_exercises_use_the_models_names_and_every_kind_of_question() {
    let level = ReaderLevel { passages: 5, closed_set: 0.5, ..ReaderLevel::default() };
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let (mut yes, mut closed, mut first, mut questions) = (0, 0, [0; 5], HashSet::new());
    for _ in 0..2000 {
        let example = reader_example(&mut rng, &level);
        let names: Vec<_> =
            example.passages.iter().filter_map(|p| partition_of_name(p.title.split(' ').next()?)).collect();
        assert!(names.iter().all(|&partition| partition == Partition::Models), "{example:?}");
        let question = &example.questions[0];
        if question.choices.len() == 2 {
            yes += i32::from(question.answers[0] == "yes");
        }
        closed += usize::from(!question.choices.is_empty());
        first[question.gold_ids[0][1..].parse::<usize>().unwrap()] += 1;
        questions.insert(question.text.clone());
    }
    assert!((900..1100).contains(&closed) && (200..300).contains(&yes), "{closed} closed, {yes} yes");
    assert!(first.iter().all(|&n| (320..480).contains(&n)), "the usable passage's place tells: {first:?}");
    assert!(questions.len() > 1950, "exercises repeat: {}", questions.len());
}

#[test]
fn several_questions_about_a_passage_ask_yes_no_both_ways() {
    let level = ReaderLevel { questions: 8, closed_set: 0.6, ..ReaderLevel::default() };
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    let (mut pairs, mut forms) = (0, HashSet::new());
    for _ in 0..300 {
        let example = reader_example(&mut rng, &level);
        assert_eq!(example.questions.len(), 8);
        forms.extend(example.questions.iter().map(|question| question.choices.len()));
        let mut questions = example.questions.iter().peekable();
        while let Some(question) = questions.next() {
            // Only the last question of a passage may lack its counterpart.
            if question.choices.len() == 2 && questions.peek().is_some() {
                let other = questions.next().unwrap();
                assert_ne!(question.answers, other.answers, "{question:?} {other:?}");
                pairs += 1;
            }
        }
    }
    assert!(pairs > 300 && forms == HashSet::from([0, 2, 4]), "{pairs} pairs, {forms:?}");
}
