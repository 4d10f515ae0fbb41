//! Building, opening and checking: what is written comes back, and damage is named.

mod common;

use proptest::prelude::*;
use ragtune_index::{Index, IndexBuilder, IndexError, IndexMeta, ParametricBuilder, verify};
use ragtune_text::storage::{Directory, MemoryDirectory};
use ragtune_text::{Passage, SparseVector};

fn vectors() -> Vec<SparseVector> {
    (0..9u32).map(|n| SparseVector::from_pairs(vec![(n % 5, 1.5), (n % 3 + 5, 0.25 + n as f32), (9, 1.0)])).collect()
}

fn copy(dir: &MemoryDirectory) -> MemoryDirectory {
    let other = MemoryDirectory::default();
    for name in dir.list("").unwrap() {
        other.write(&name, &dir.read(&name).unwrap()).unwrap();
    }
    other
}

#[test]
fn everything_comes_back_as_it_was_given() {
    let (dir, meta) = common::build(10, 4, &vectors());
    assert_eq!(verify(&dir).unwrap(), meta);
    let index = Index::open(&dir).unwrap();
    assert_eq!((index.len(), index.meta()), (9, &meta));
    assert_eq!(index.vocab_ids(), (999..1009).collect::<Vec<_>>());
    for n in 0..9 {
        let passage = common::passage(n as usize);
        assert_eq!(index.passage(n).unwrap(), passage);
        assert_eq!(index.passage_id(n).unwrap(), passage.id);
        assert_eq!(index.ordinal(&passage.id), Some(n));
    }
    assert_eq!(index.ordinal("p"), None);
    assert!(matches!(index.passage(9), Err(IndexError::NoPassage { ordinal: 9, passages: 9 })));
    assert!(matches!(index.bag(9), Err(IndexError::NoPassage { .. })));
    assert!(matches!(index.parametric_weights(9, &[0]), Err(IndexError::NoPassage { .. })));
}

proptest! {
    #[test]
    fn any_text_comes_back(texts in prop::collection::hash_set(any::<(String, String, String)>(), 1..12)) {
        let dir = MemoryDirectory::default();
        let mut builder = IndexBuilder::new(&dir, common::config(3, 4)).unwrap();
        let mut passages: Vec<Passage> = Vec::new();
        for (id, title, text) in texts {
            let passage = Passage { id, title, text, source: None };
            let known = passages.iter().any(|other| other.id == passage.id);
            match builder.add(&passage, &[0, 2]) {
                Ok(ordinal) => {
                    prop_assert!(!known);
                    prop_assert_eq!(ordinal as usize, passages.len());
                    passages.push(passage);
                }
                Err(error) => prop_assert!(known, "{}", error),
            }
        }
        builder.finish().unwrap();
        verify(&dir).unwrap();
        let index = Index::open(&dir).unwrap();
        for (n, passage) in passages.iter().enumerate() {
            prop_assert_eq!(&index.passage(n as u32).unwrap(), passage);
            prop_assert_eq!(index.ordinal(&passage.id), Some(n as u32));
        }
    }
}

#[test]
fn a_dropped_builder_leaves_nothing() {
    let dir = MemoryDirectory::default();
    let mut builder = IndexBuilder::new(&dir, common::config(4, 1)).unwrap();
    builder.add(&common::passage(0), &[1, 2]).unwrap();
    builder.add(&common::passage(1), &[1, 3]).unwrap();
    drop(builder);
    assert_eq!(dir.list("").unwrap(), Vec::<String>::new());
    let error = Index::open(&dir).err().unwrap();
    assert!(matches!(error, IndexError::Missing { .. }));
    assert!(error.to_string().contains("ragtune index build"), "{error}");
}

#[test]
fn an_unfinished_rebuild_leaves_the_old_index() {
    let (dir, meta) = common::build(10, 4, &vectors());
    let mut builder = IndexBuilder::new(&dir, common::config(4, 1)).unwrap();
    builder.add(&common::passage(40), &[1]).unwrap();
    drop(builder);
    let mut builder = ParametricBuilder::with_block(&dir, 1).unwrap();
    builder.add(&SparseVector::binary(vec![1])).unwrap();
    let error = builder.finish("encoder-b").unwrap_err();
    assert!(matches!(error, IndexError::ParametricCount { passages: 9, vectors: 1 }), "{error}");
    assert!(matches!(IndexBuilder::new(&dir, common::config(4, 1)).unwrap().finish(), Err(IndexError::EmptyCorpus)));
    assert_eq!(verify(&dir).unwrap(), meta);
}

#[test]
fn a_rebuild_replaces_the_index_and_drops_the_stale_parametric_part() {
    let (dir, _) = common::build(10, 4, &vectors());
    let mut builder = IndexBuilder::new(&dir, common::config(4, 1)).unwrap();
    builder.add(&common::passage(40), &[1]).unwrap();
    builder.finish().unwrap();
    let meta = verify(&dir).unwrap();
    assert_eq!((meta.passages, meta.parametric), (1, None));
    assert!(!dir.exists("parametric.bin"));
}

#[test]
fn the_parametric_part_can_be_refreshed() {
    let (dir, _) = common::build(10, 4, &vectors());
    let mut builder = ParametricBuilder::new(&dir).unwrap();
    for _ in 0..9 {
        builder.add(&SparseVector::from_pairs(vec![(3, 2.0)])).unwrap();
    }
    let one_too_many = builder.add(&SparseVector::default()).unwrap_err();
    assert!(matches!(one_too_many, IndexError::ParametricCount { passages: 9, vectors: 10 }));
    builder.finish("encoder-b").unwrap();
    verify(&dir).unwrap();
    let index = Index::open(&dir).unwrap();
    assert!(index.check_encoder("encoder-b").is_ok());
    assert!(matches!(index.check_encoder("encoder-a"), Err(IndexError::StaleParametric { .. })));
    assert_eq!(index.parametric(&SparseVector::binary(vec![3]), 1).unwrap()[0].score, 2.0);
}

#[test]
fn repeated_ids_and_wrong_vectors_are_refused_and_leave_no_trace() {
    let dir = MemoryDirectory::default();
    let mut builder = IndexBuilder::new(&dir, common::config(4, 2)).unwrap();
    builder.add(&common::passage(0), &[1]).unwrap();
    builder.add(&common::passage(1), &[]).unwrap();
    let error = builder.add(&common::passage(0), &[2]).unwrap_err();
    assert!(matches!(&error, IndexError::DuplicateId { id, first: 0, second: 2 } if id == "p0"), "{error}");
    assert!(matches!(builder.add(&common::passage(2), &[2, 1]), Err(IndexError::Vector { ordinal: 2, .. })));
    assert!(matches!(builder.add(&common::passage(2), &[1, 1]), Err(IndexError::Vector { .. })));
    assert!(matches!(builder.add(&common::passage(2), &[4]), Err(IndexError::Vector { .. })));
    assert_eq!(builder.add(&common::passage(2), &[3]).unwrap(), 2);
    assert_eq!((builder.len(), builder.finish().unwrap().postings), (3, 2));
    assert_eq!(Index::open(&dir).unwrap().passage(2).unwrap(), common::passage(2));

    let mut builder = ParametricBuilder::new(&dir).unwrap();
    let uneven = SparseVector { indices: vec![0, 1], values: vec![1.0] };
    assert!(matches!(builder.add(&uneven), Err(IndexError::Vector { ordinal: 0, .. })));
    let not_a_number = SparseVector { indices: vec![0], values: vec![f32::NAN] };
    assert!(matches!(builder.add(&not_a_number), Err(IndexError::Vector { ordinal: 0, .. })));
    assert!(builder.is_empty());
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let dir = MemoryDirectory::default();
    for (dims, block) in [(0, 8), (4, 0), (4, 65_537)] {
        assert!(matches!(IndexBuilder::new(&dir, common::config(dims, block)), Err(IndexError::Config(_))));
    }
}

#[test]
fn another_vocabulary_is_an_error_not_a_bad_score() {
    let (dir, _) = common::build(10, 4, &vectors());
    let index = Index::open(&dir).unwrap();
    assert!(index.check_vocab("vocab-a").is_ok());
    let error = index.check_vocab("vocab-b").unwrap_err();
    assert!(error.to_string().contains("vocab-a") && error.to_string().contains("vocab-b"), "{error}");
}

/// Uses everything that an index offers, for indexes that may be damaged: results do not matter, panics do.
fn use_all(index: &Index) {
    let query = SparseVector::binary((0..12).collect());
    index.bot(&query, 5);
    let _ = index.parametric(&query, 5);
    for n in 0..index.len().min(20) {
        let id = index.passage(n).map(|passage| passage.id).unwrap_or_default();
        index.ordinal(&id);
        let _ = (index.bag(n), index.parametric_weights(n, &query.indices));
    }
}

#[test]
fn every_flipped_byte_is_found_and_none_brings_the_program_down() {
    let (dir, _) = common::build(10, 4, &vectors());
    for name in dir.list("").unwrap() {
        let original = dir.read(&name).unwrap().to_vec();
        for at in 0..original.len() {
            let mut bytes = original.clone();
            bytes[at] ^= 1 << (at % 8);
            let damaged = copy(&dir);
            damaged.write(&name, &bytes).unwrap();
            let error = verify(&damaged).expect_err(&format!("{name}: byte {at} flipped unnoticed"));
            assert!(error.to_string().contains("ragtune index build"), "no way out: {error}");
            if let Ok(index) = Index::open(&damaged) {
                use_all(&index);
            }
        }
    }
}

#[test]
fn a_truncated_missing_or_foreign_file_is_found_when_opening() {
    let (dir, _) = common::build(10, 4, &vectors());
    let (foreign, _) = common::build(10, 4, &vectors().into_iter().rev().collect::<Vec<_>>());
    for name in dir.list("").unwrap() {
        let original = dir.read(&name).unwrap().to_vec();
        for length in 0..original.len() {
            let damaged = copy(&dir);
            damaged.write(&name, &original[..length]).unwrap();
            let error = Index::open(&damaged).err().unwrap_or_else(|| panic!("{name}: cut to {length} unnoticed"));
            assert!(error.to_string().contains(&name), "{name} not named: {error}");
        }
        let damaged = copy(&dir);
        damaged.remove(&name).unwrap();
        assert!(Index::open(&damaged).is_err(), "{name} missing unnoticed");
        if ["bot.bin", "parametric.bin", "bot.bags.bin"].contains(&name.as_str()) {
            let mixed = copy(&dir);
            mixed.write(&name, &foreign.read(&name).unwrap()).unwrap();
            assert!(Index::open(&mixed).is_err(), "{name} of another index unnoticed");
        }
    }
}

#[test]
fn a_newer_format_is_named_as_such() {
    let (dir, _) = common::build(10, 4, &vectors());
    let json = String::from_utf8(dir.read("meta.json").unwrap().to_vec()).unwrap();
    let newer = json.replace("\"format\": 1", "\"format\": 2, \"novelty\": true");
    dir.write("meta.json", newer.as_bytes()).unwrap();
    assert!(matches!(IndexMeta::read(&dir), Err(IndexError::Format { found: 2, supported: 1, .. })));
}

#[test]
fn a_posting_takes_two_bytes_beside_the_tables() {
    let vectors = vec![SparseVector::binary((0..50).collect()); 400];
    let (_, meta) = common::build(50, 65_536, &vectors);
    let bits = meta.bits_per_posting().unwrap();
    assert!((16.0..16.2).contains(&bits), "{bits}");
    assert_eq!(meta.bytes(), meta.files.values().map(|file| file.bytes).sum::<u64>());
}
