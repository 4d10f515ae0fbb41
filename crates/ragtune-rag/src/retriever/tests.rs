//! Every search mode against brute force.

use super::*;
use crate::{encoder_fingerprint, testing};

const QUESTIONS: [&str; 3] = ["why oil ?", "the green leaf of tea", "price rose 1973 ."];

fn settings(mode: SearchMode) -> SearchSettings {
    SearchSettings { mode, m: 6, k: 4, top_k: 6, batch_tokens: 40, ..SearchSettings::default() }
}

/// The scores of all passages by definition, each text encoded alone.
fn brute_force(encoder: &Encoder, question: &str, mode: SearchMode) -> Vec<Hit> {
    let alone = |kind, ids: Vec<u32>| encoder.encode(kind, &[&ids]).remove(0);
    let query = query(&alone(Kind::Question, encoder.question_ids(question).unwrap()), mode, &settings(mode));
    let score = |(i, passage): (usize, &ragtune_text::Passage)| {
        let forms = alone(Kind::Passage, encoder.passage_ids(&passage.title, &passage.text).unwrap());
        let vector = match mode {
            SearchMode::Bot | SearchMode::Own => forms.bag(),
            _ => forms.s_plus(6),
        };
        Hit { ordinal: i as u32, score: query.dot(&vector) }
    };
    let mut hits: Vec<Hit> = testing::corpus().iter().enumerate().map(score).collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.ordinal.cmp(&b.ordinal)));
    hits
}

/// Same scores by rank, and each passage's own score; near ties may change places by rounding.
fn assert_same(found: &[Hit], expected: &[Hit], of_all: &[Hit]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found.score - expected.score).abs() <= 1e-3, "{found:?} {expected:?}");
        let own = of_all.iter().find(|hit| hit.ordinal == found.ordinal).unwrap();
        assert!((found.score - own.score).abs() <= 1e-3, "{found:?} {own:?}");
    }
}

#[test]
fn every_mode_without_a_first_stage_is_brute_force() {
    let encoder = testing::encoder(3);
    let (_, index) = testing::index(&encoder, true);
    let retriever = Retriever::new(&index, &encoder).unwrap();
    for mode in [SearchMode::Bot, SearchMode::Own, SearchMode::Full, SearchMode::Alpha] {
        let found = retriever.search(&QUESTIONS, &settings(mode)).unwrap();
        for (question, found) in QUESTIONS.iter().zip(&found) {
            let all = brute_force(&encoder, question, mode);
            assert_same(found, &all[..4], &all);
        }
    }
}

#[test]
fn bags_beside_the_encoder_find_what_the_index_finds() {
    let encoder = testing::encoder(3);
    let (_, index) = testing::index(&encoder, false);
    assert!(resident_bags(&index, &encoder).unwrap().is_none(), "the CPU searches the index itself");
    let bags = (0..index.len()).map(|ordinal| index.bag(ordinal));
    let bags = Bags::new(bags, encoder.vocab.len(), &burn::tensor::Device::flex()).unwrap();
    let plain = Retriever::new(&index, &encoder).unwrap();
    for mode in [SearchMode::Bot, SearchMode::Own, SearchMode::Late] {
        let want = plain.search(&QUESTIONS, &settings(mode)).unwrap();
        assert_eq!(plain.with(Some(&bags)).search(&QUESTIONS, &settings(mode)).unwrap(), want, "{mode:?}");
    }
}

#[test]
fn late_reranks_the_first_stage_as_brute_force_does() {
    let encoder = testing::encoder(3);
    let (_, index) = testing::index(&encoder, false);
    let retriever = Retriever::new(&index, &encoder).unwrap();
    for (first_stage, first) in [(FirstStage::Bot, SearchMode::Bot), (FirstStage::Own, SearchMode::Own)] {
        let late = SearchSettings { first_stage, ..settings(SearchMode::Late) };
        let found = retriever.search(&QUESTIONS, &late).unwrap();
        for (question, found) in QUESTIONS.iter().zip(&found) {
            let stage = retriever.search(&[question], &SearchSettings { k: 6, ..settings(first) }).unwrap().remove(0);
            let all = brute_force(&encoder, question, SearchMode::Late);
            let mut expected = all.clone();
            expected.retain(|hit| stage.iter().any(|of_stage| of_stage.ordinal == hit.ordinal));
            assert_same(found, &expected[..4], &all);
            assert!(found.windows(2).all(|w| (-w[0].score, w[0].ordinal) < (-w[1].score, w[1].ordinal)));
        }
    }
    // With the whole corpus handed on, `late` is `full`, whatever the first stage.
    let everything = SearchSettings { m: 12, ..settings(SearchMode::Late) };
    let found = retriever.search(&QUESTIONS[..1], &everything).unwrap().remove(0);
    let all = brute_force(&encoder, QUESTIONS[0], SearchMode::Late);
    assert_same(&found, &all[..4], &all);
}

#[test]
fn kept_vectors_change_no_result_and_stay_few() {
    let encoder = testing::encoder(3);
    let (_, index) = testing::index(&encoder, false);
    let retriever = Retriever::new(&index, &encoder).unwrap();
    let late = settings(SearchMode::Late);
    let expected = retriever.search(&QUESTIONS, &late).unwrap();
    for limit in [0, 7, 100] {
        let mut vectors = PassageVectors::new(limit);
        for round in 0..2 {
            for (question, expected) in QUESTIONS.iter().zip(&expected) {
                let found = retriever.search_keeping(&[question], &late, &mut vectors).unwrap().remove(0);
                let ordinals = |hits: &[Hit]| hits.iter().map(|hit| hit.ordinal).collect::<Vec<_>>();
                assert_eq!(ordinals(&found), ordinals(expected), "limit {limit}, round {round}");
                // The candidates of one search are always there together.
                assert!(vectors.len() <= limit.max(late.m), "{} vectors with a limit of {limit}", vectors.len());
            }
        }
        let again = vectors.len();
        retriever.search_keeping(&QUESTIONS[..1], &late, &mut vectors).unwrap();
        assert!(limit < 100 || vectors.len() == again, "a vector was computed twice");
    }
}

#[test]
fn equal_passages_stand_in_the_order_of_the_corpus() {
    let encoder = testing::encoder(3);
    let (_, index) = testing::index(&encoder, true);
    let retriever = Retriever::new(&index, &encoder).unwrap();
    for mode in [SearchMode::Bot, SearchMode::Own, SearchMode::Full, SearchMode::Alpha] {
        let all = SearchSettings { k: 12, m: 12, ..settings(mode) };
        let hits = retriever.search(&QUESTIONS[1..2], &all).unwrap().remove(0);
        let place = |ordinal| hits.iter().position(|hit| hit.ordinal == ordinal).unwrap();
        assert!(place(2) < place(7), "{mode:?}");
    }
}

#[test]
fn the_products_of_an_explanation_sum_to_the_score() {
    let encoder = testing::encoder(3);
    let (_, index) = testing::index(&encoder, true);
    let retriever = Retriever::new(&index, &encoder).unwrap();
    for mode in SearchMode::ALL {
        let settings = settings(mode);
        let hits = retriever.search(&QUESTIONS[..1], &settings).unwrap().remove(0);
        let ordinals: Vec<u32> = hits.iter().map(|hit| hit.ordinal).collect();
        let explained = retriever.explain(QUESTIONS[0], &ordinals, &settings).unwrap();
        assert!(explained.iter().any(|tokens| !tokens.is_empty()));
        for (hit, tokens) in hits.iter().zip(&explained) {
            let sum: f32 = tokens.iter().map(|token| token.product).sum();
            assert!((sum - hit.score).abs() <= 1e-3 * hit.score.abs().max(1.0), "{mode:?} {sum} {}", hit.score);
            assert!(tokens.windows(2).all(|w| w[0].product >= w[1].product));
            for token in tokens {
                assert_eq!(encoder.tokenizer.id(&token.token), Some(token.id));
            }
        }
    }
}

#[test]
fn searching_with_explanations_is_searching_and_then_explaining() {
    let encoder = testing::encoder(3);
    let (_, index) = testing::index(&encoder, true);
    let retriever = Retriever::new(&index, &encoder).unwrap();
    for mode in SearchMode::ALL {
        let settings = settings(mode);
        let mut vectors = PassageVectors::default();
        let both = retriever.search_explained(&QUESTIONS, &settings, &mut vectors).unwrap();
        let found = retriever.search(&QUESTIONS, &settings).unwrap();
        assert_eq!(both.iter().map(|both| both.hits.clone()).collect::<Vec<_>>(), found, "{mode:?}");
        for (question, both) in QUESTIONS.iter().zip(&both) {
            let ordinals: Vec<u32> = both.hits.iter().map(|hit| hit.ordinal).collect();
            same_explanations(&both.tokens, &retriever.explain(question, &ordinals, &settings).unwrap());
        }
    }
    // In parts it is the same.
    let late = settings(SearchMode::Late);
    let whole = retriever.search_explained(&QUESTIONS[..1], &late, &mut PassageVectors::default()).unwrap().remove(0);
    let parts = retriever.late_in_parts(QUESTIONS[0], &late, 2, &mut |_, _, _| true).unwrap().unwrap();
    let ordinals = |found: &ExplainedHits| found.hits.iter().map(|hit| hit.ordinal).collect::<Vec<_>>();
    assert_eq!(ordinals(&parts), ordinals(&whole));
    same_explanations(&parts.tokens, &whole.tokens);
}

/// The same tokens with the same products, up to the rounding of differently shaped batches, which may exchange near ties.
fn same_explanations(a: &[Vec<ExplainedToken>], b: &[Vec<ExplainedToken>]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.len(), b.len());
        for token in a {
            let other = b.iter().find(|other| other.id == token.id).unwrap();
            assert!(
                (token.product - other.product).abs() <= 1e-3 * token.product.abs().max(1.0),
                "{token:?} {other:?}"
            );
        }
    }
}

#[test]
fn what_does_not_fit_together_is_refused_with_a_way_out() {
    let encoder = testing::encoder(3);
    let (_, index) = testing::index(&encoder, false);
    let retriever = Retriever::new(&index, &encoder).unwrap();
    let error = |settings: &SearchSettings| retriever.search(&["oil"], settings).unwrap_err().to_string();
    for mode in [SearchMode::Full, SearchMode::Alpha] {
        assert!(error(&settings(mode)).contains("ragtune index build --parametric --encoder"));
    }
    assert!(error(&SearchSettings { k: 7, ..settings(SearchMode::Late) }).contains("m = 6"));
    assert!(error(&SearchSettings { k: 0, ..settings(SearchMode::Bot) }).starts_with("k: "));
    assert!("fast".parse::<SearchMode>().unwrap_err().to_string().contains("alpha"));
    let mut dense = encoder.clone();
    dense.meta.head = HeadKind::Dense;
    let retriever = Retriever::new(&index, &dense).unwrap();
    let error = retriever.search(&["oil"], &settings(SearchMode::Bot)).unwrap_err().to_string();
    assert!(error.contains("a dense head has no words") && error.contains("`full`"), "{error}");
}

#[test]
fn a_dense_head_searches_by_the_products_of_its_vectors() {
    let mut encoder = testing::encoder(3);
    encoder.meta.head = HeadKind::Dense;
    let (directory, index) = testing::index(&encoder, true);
    drop(directory);
    let retriever = Retriever::new(&index, &encoder).unwrap();
    let settings = SearchSettings { k: index.len() as usize, ..settings(SearchMode::Full) };
    let found =
        retriever.search_explained(&["oil price"], &settings, &mut PassageVectors::default()).unwrap().remove(0);
    assert_eq!(found.hits.len(), index.len() as usize);
    let vector = |kind, ids: Vec<u32>| encoder.encode(kind, &[&ids]).remove(0).all();
    let query = vector(Kind::Question, encoder.question_ids("oil price").unwrap());
    for hit in &found.hits {
        let passage = index.passage(hit.ordinal).unwrap();
        let passage = vector(Kind::Passage, encoder.passage_ids(&passage.title, &passage.text).unwrap());
        let norm: f32 = passage.values.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");
        // The index keeps weights in half precision.
        assert!((hit.score - query.dot(&passage)).abs() < 2e-3, "{} {}", hit.score, query.dot(&passage));
    }
    assert!(found.tokens.iter().all(Vec::is_empty));
}

#[test]
fn a_parametric_index_of_another_encoder_is_warned_about() {
    let (old, new) = (testing::encoder(3), testing::encoder(4));
    let (_, index) = testing::index(&old, true);
    let retriever = Retriever::new(&index, &new).unwrap();
    assert!(retriever.warnings(SearchMode::Full, &encoder_fingerprint(&old)).is_empty());
    let warnings = retriever.warnings(SearchMode::Full, &encoder_fingerprint(&new));
    assert!(warnings.len() == 1 && warnings[0].contains("index build --parametric"), "{warnings:?}");
    assert!(retriever.warnings(SearchMode::Late, &encoder_fingerprint(&new)).is_empty());
}
