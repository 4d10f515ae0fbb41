//! The retrieval figures equal those of trec_eval's own code; see tests/references/ir/make.py.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ragtune_eval::ir::{CUTOFFS, IrScores, Judgements, mean, score_run};
use ragtune_eval::run::{Retrieved, Run};
use serde::Deserialize;

type Figures = BTreeMap<String, f64>;

#[derive(Deserialize)]
struct Reference {
    qrels: BTreeMap<String, Judgements>,
    run: BTreeMap<String, BTreeMap<String, f64>>,
    per_query: BTreeMap<String, Figures>,
    mean: Figures,
    scifact: Option<Scifact>,
}

#[derive(Deserialize)]
struct Scifact {
    queries: usize,
    documents: usize,
    mean: Figures,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn reference() -> Reference {
    let text = std::fs::read_to_string(root().join("tests/references/ir/reference.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn named(scores: &IrScores) -> Figures {
    let recall = scores.recall.iter().map(|(k, value)| (format!("recall@{k}"), *value));
    let others = [("mrr@10", scores.mrr_at_10), ("ndcg@10", scores.ndcg_at_10)];
    recall.chain(others.map(|(name, value)| (name.to_owned(), value))).collect()
}

fn assert_equal(found: &IrScores, expected: &Figures, what: &str) {
    let found = named(found);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, value) in expected {
        assert!((found[name] - value).abs() < 1e-9, "{what}, {name}: {} instead of {value}", found[name]);
    }
}

#[test]
fn figures_equal_trec_eval_with_ties_grades_unjudged_documents_and_missing_queries() {
    let reference = reference();
    let documents = |scores: &BTreeMap<String, f64>| {
        scores.iter().map(|(id, score)| Retrieved { id: id.clone(), score: *score as f32 }).collect()
    };
    let run = Run { queries: reference.run.iter().map(|(query, found)| (query.clone(), documents(found))).collect() };
    let scores = score_run(&run, &reference.qrels, &CUTOFFS);
    assert_eq!(scores.keys().collect::<Vec<_>>(), reference.per_query.keys().collect::<Vec<_>>());
    for (query, expected) in &reference.per_query {
        assert_equal(&scores[query], expected, query);
    }
    assert_equal(&mean(scores.values()).unwrap(), &reference.mean, "mean");

    // Written to a run file and read again nothing changes.
    let mut file = Vec::new();
    run.write(&mut file, "run", "test").unwrap();
    let mut again = Run::read(&file[..], "run").unwrap();
    again.queries.insert("q4".to_owned(), Vec::new());
    assert_eq!(score_run(&again, &reference.qrels, &CUTOFFS), scores);
}

#[test]
fn figures_equal_trec_eval_on_scifact() {
    let path = root().join("../shared/data/scifact/qrels/test.tsv");
    let (Ok(text), Some(expected)) = (std::fs::read_to_string(&path), reference().scifact) else {
        eprintln!("skipped: no ../shared/data/scifact/qrels/test.tsv");
        return;
    };
    let mut qrels: BTreeMap<String, Judgements> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let [query, document, grade] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        qrels.entry(query.to_owned()).or_default().insert(document.to_owned(), grade.parse().unwrap());
    }
    let documents: BTreeSet<&String> = qrels.values().flat_map(|judged| judged.keys()).collect();
    assert_eq!((qrels.len(), documents.len()), (expected.queries, expected.documents));
    let mut run = Run::default();
    for (i, (query, judged)) in qrels.iter().enumerate() {
        let score = |(j, id): (usize, &&String)| {
            let lift = if judged.contains_key(*id) { 30 * (i % 7) } else { 0 };
            Retrieved { id: (*id).clone(), score: ((i * 7919 + j * 104_729) % 211 + lift) as f32 }
        };
        run.queries.insert(query.clone(), documents.iter().enumerate().map(score).collect());
    }
    let scores = score_run(&run, &qrels, &CUTOFFS);
    assert_equal(&mean(scores.values()).unwrap(), &expected.mean, "mean over scifact");
}
