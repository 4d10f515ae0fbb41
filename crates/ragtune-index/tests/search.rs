//! Search gives what brute force gives, to the last bit.

mod common;

use proptest::prelude::*;
use ragtune_index::{Index, IndexError};
use ragtune_text::{Hit, SparseVector};

const DIMS: u32 = 24;

/// Values of which many are equal (so that passages tie) and some do not add up exactly.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![Just(1.0f32), Just(0.1), Just(0.5), -2.0f32..2.0, Just(1e7)]
}

fn vector() -> impl Strategy<Value = SparseVector> {
    prop::collection::vec((0..DIMS, value()), 0..12).prop_map(SparseVector::from_pairs)
}

fn brute_force(query: &SparseVector, passages: impl Iterator<Item = SparseVector>, k: usize) -> Vec<Hit> {
    let score = |(n, passage): (usize, SparseVector)| Hit { ordinal: n as u32, score: query.dot(&passage) };
    let mut hits: Vec<_> = passages.enumerate().map(score).collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.ordinal.cmp(&b.ordinal)));
    hits.truncate(k);
    hits
}

fn bits(hits: &[Hit]) -> Vec<(u32, u32)> {
    hits.iter().map(|hit| (hit.ordinal, hit.score.to_bits())).collect()
}

proptest! {
    #[test]
    fn search_equals_brute_force(
        vectors in prop::collection::vec(vector(), 1..60),
        queries in prop::collection::vec(vector(), 1..4),
        block in 1u32..20,
        k in 0usize..80,
    ) {
        let (dir, _) = common::build(DIMS, block, &vectors);
        let index = Index::open(&dir).unwrap();
        let bags = || vectors.iter().map(|vector| SparseVector::binary(vector.indices.clone()));
        for query in &queries {
            prop_assert_eq!(bits(&index.bot(query, k)), bits(&brute_force(query, bags(), k)));
            let expected = brute_force(query, vectors.iter().cloned(), k);
            prop_assert_eq!(bits(&index.parametric(query, k).unwrap()), bits(&expected));
            let alpha = SparseVector::binary(query.indices.clone());
            let expected = brute_force(&alpha, vectors.iter().cloned(), k);
            prop_assert_eq!(bits(&index.parametric(&alpha, k).unwrap()), bits(&expected));
        }
        let single: Vec<_> = queries.iter().map(|query| index.bot(query, k)).collect();
        prop_assert_eq!(index.bot_many(&queries, k), single);
        let single: Vec<_> = queries.iter().map(|query| index.parametric(query, k).unwrap()).collect();
        prop_assert_eq!(index.parametric_many(&queries, k).unwrap(), single);
    }

    #[test]
    fn weights_and_bags_are_those_given(vectors in prop::collection::vec(vector(), 1..30), block in 1u32..8) {
        let (dir, meta) = common::build(DIMS, block, &vectors);
        let index = Index::open(&dir).unwrap();
        let all: Vec<u32> = (0..DIMS + 5).collect();
        for (n, vector) in vectors.iter().enumerate() {
            let weights = index.parametric_weights(n as u32, &all).unwrap();
            prop_assert_eq!(weights, all.iter().map(|&dim| vector.get(dim)).collect::<Vec<_>>());
            prop_assert_eq!(&index.bag(n as u32).unwrap(), &vector.indices);
        }
        let postings: usize = vectors.iter().map(SparseVector::len).sum();
        prop_assert_eq!(meta.postings, postings as u64);
        prop_assert_eq!(meta.parametric.unwrap().postings, postings as u64);
    }
}

#[test]
fn many_passages_with_the_same_score_keep_the_order_of_the_corpus() {
    // Enough of them for the buffer of the best to be cut several times within a block.
    let vectors: Vec<_> = (0..5000u32).map(|n| SparseVector::binary(vec![n % 2, 2 + n % 3])).collect();
    let (dir, _) = common::build(8, 1 << 12, &vectors);
    let index = Index::open(&dir).unwrap();
    let hits = index.bot(&SparseVector::binary(vec![1]), 300);
    let expected: Vec<u32> = (0..300).map(|n| 2 * n + 1).collect();
    assert_eq!(hits.iter().map(|hit| hit.ordinal).collect::<Vec<_>>(), expected);
}

#[test]
fn dimensions_beyond_the_index_add_nothing() {
    let (dir, _) = common::build(4, 8, &[SparseVector::binary(vec![3]), SparseVector::binary(vec![1])]);
    let index = Index::open(&dir).unwrap();
    let hits = index.bot(&SparseVector::binary(vec![1, 4, 5, u32::MAX]), 9);
    assert_eq!(hits, [Hit { ordinal: 1, score: 1.0 }, Hit { ordinal: 0, score: 0.0 }]);
}

#[test]
fn an_index_without_parametric_part_says_how_to_get_one() {
    let dir = ragtune_text::storage::MemoryDirectory::default();
    let mut builder = ragtune_index::IndexBuilder::new(&dir, common::config(4, 8)).unwrap();
    builder.add(&common::passage(0), &[1]).unwrap();
    builder.finish().unwrap();
    let index = Index::open(&dir).unwrap();
    let error = index.parametric(&SparseVector::binary(vec![1]), 1).unwrap_err();
    assert!(matches!(error, IndexError::NoParametric));
    assert!(error.to_string().contains("--parametric"));
    assert!(matches!(index.parametric_weights(0, &[1]), Err(IndexError::NoParametric)));
    assert!(matches!(index.check_encoder("encoder-a"), Err(IndexError::NoParametric)));
}
