//! Facts about real tokenizers and data sets, checked where they are at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;

use ragtune_text::answers::{MatchMode, contains_answer};
use ragtune_text::formats::{ChunkConfig, TextKind, beir, decompress, text_file};
use ragtune_text::{LexicalVocab, Passage, Question, Split, Tokenizer};

/// A file of the shared folder beside the workspace, or `None` after saying that it is absent.
fn shared(path: &str) -> Option<PathBuf> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if file.exists() {
        return Some(file);
    }
    eprintln!("skipped: no ../shared/{path}");
    None
}

fn tokenizer(folder: &str) -> Option<Tokenizer> {
    let path = format!("models/{folder}/tokenizer.json");
    let json = std::fs::read(shared(&path)?).unwrap();
    Some(Tokenizer::from_bytes(&json, &path).unwrap())
}

fn passages(set: &str) -> Option<Vec<Passage>> {
    let path = format!("data/{set}/corpus.jsonl.gz");
    let file = File::open(shared(&path)?).unwrap();
    Some(beir::passages(decompress(file), &path).map(Result::unwrap).collect())
}

fn questions(set: &str) -> Option<Vec<Question>> {
    let path = format!("data/{set}/qa.jsonl.gz");
    let file = File::open(shared(&path)?).unwrap();
    Some(beir::qa(decompress(file), &path).map(Result::unwrap).collect())
}

#[test]
fn bert_base_uncased_has_29523_dimensions_from_id_999() {
    let Some(tokenizer) = tokenizer("bert-base-uncased-tokenizer") else { return };
    let vocab = LexicalVocab::from_tokenizer(&tokenizer);
    assert_eq!((tokenizer.vocab_size(), vocab.len()), (30522, 29523));
    assert!((0..29523).all(|dim| vocab.id(dim) == dim + 999 && vocab.dim(dim + 999) == Some(dim)));
    assert!((0..999).all(|id| vocab.dim(id).is_none()));
    assert_eq!(serde_json::to_string(&vocab).unwrap(), "[[999,29523]]");
}

#[test]
fn minilm_encodes_questions_and_titled_passages() {
    // Expected ids: greedy longest-match word pieces over the model's vocab.txt, written out by a separate script.
    let Some(tokenizer) = tokenizer("all-MiniLM-L6-v2") else { return };
    let question = [101, 2043, 2106, 1996, 3381, 3514, 5325, 4088, 1029, 102];
    assert_eq!(tokenizer.question("When did the 1973 oil crisis begin?", 128).unwrap(), question);
    let passage =
        [101, 3381, 3514, 5325, 102, 2019, 7861, 8237, 3995, 17718, 21531, 3709, 1996, 3976, 1997, 3514, 1012, 102];
    let (title, text) = ("1973 oil crisis", "An embargo quadrupled the price of oil.");
    assert_eq!(tokenizer.passage(title, text, 256).unwrap(), passage);
    let cut = tokenizer.passage(title, text, 10).unwrap();
    assert_eq!((&cut[..9], cut[9], cut.len()), (&passage[..9], 102, 10));
    assert_eq!(tokenizer.decode(&question).unwrap(), "when did the 1973 oil crisis begin?");
}

#[test]
fn the_files_own_padding_to_128_is_reset() {
    let Some(tokenizer) = tokenizer("all-MiniLM-L6-v2") else { return };
    assert_eq!(tokenizer.question("oil", 128).unwrap().len(), 3);
    assert_eq!(tokenizer.ids(&"oil ".repeat(300)).unwrap().len(), 300);
}

#[test]
fn squad_dev_is_read_whole() {
    let (Some(passages), Some(questions)) = (passages("squad-dev"), questions("squad-dev")) else { return };
    let path = "data/squad-dev/qrels/all.tsv";
    let qrels = beir::qrels(decompress(File::open(shared(path).unwrap()).unwrap()), path).unwrap();
    assert_eq!((passages.len(), questions.len(), qrels.len()), (2067, 10570, 10570));
    let texts: BTreeMap<&str, &str> = passages.iter().map(|p| (p.id.as_str(), p.text.as_str())).collect();
    let mut found = 0;
    for question in &questions {
        assert_eq!(qrels.relevant(&question.id).collect::<Vec<_>>(), question.gold_ids);
        found += usize::from(contains_answer(
            texts[question.gold_ids[0].as_str()],
            &question.answers,
            MatchMode::Normalised,
        ));
    }
    // Counted by a separate script with SQuAD's own normalisation. Every answer is a part of its passage; the 78 that are
    // not found stand beside punctuation that the normalisation joins to them, as in "Darwin's".
    assert_eq!(found, 10_492);
    assert_eq!(questions.iter().filter(|question| question.split == Some(Split::Test)).count(), 2532);
}

#[test]
fn every_shared_data_set_is_read_without_an_error() {
    for set in ["boolq-dev", "nq-gold", "openbookqa", "scifact", "squad-dev"] {
        let (Some(passages), Some(questions)) = (passages(set), questions(set)) else { continue };
        let ids: BTreeSet<&str> = passages.iter().map(|passage| passage.id.as_str()).collect();
        assert_eq!(ids.len(), passages.len(), "{set}");
        for question in &questions {
            assert!(question.gold_ids.iter().all(|id| ids.contains(id.as_str())), "{set}: {}", question.id);
            assert!(question.choices.is_empty() || question.answers.iter().all(|a| question.choices.contains(a)));
        }
    }
}

#[test]
fn prose_is_cut_to_passages_that_the_encoder_sees_whole() {
    let (Some(tokenizer), Some(passages)) = (tokenizer("all-MiniLM-L6-v2"), passages("squad-dev")) else { return };
    let page: String = passages.iter().take(60).map(|p| format!("## {}\n\n{}\n\n", p.title, p.text)).collect();
    let config = ChunkConfig { max_tokens: 96, overlap_tokens: 0 };
    let cut = text_file::passages(page.as_bytes(), "page.md", TextKind::Markdown, &tokenizer, &config).unwrap();
    for passage in &cut {
        assert!(tokenizer.passage(&passage.title, &passage.text, usize::MAX).unwrap().len() <= 96, "{passage:?}");
    }
    // Nothing is lost: the words of all passages are the words of the page.
    let words = |text: &str| text.split_whitespace().count();
    let whole: usize = passages.iter().take(60).map(|passage| words(&passage.text)).sum();
    assert_eq!(cut.iter().map(|passage| words(&passage.text)).sum::<usize>(), whole);
}
