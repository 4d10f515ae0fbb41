//! What a path is taken for, and what comes out of it.

use std::fs;
use std::io::Write;

use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::testing;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn read(paths: &[PathBuf]) -> Vec<(String, String)> {
    let corpus = Corpus::open(paths).unwrap();
    let tokenizer = testing::tokenizer();
    let passages = corpus.passages(&tokenizer, ChunkConfig::default());
    passages.map(|p| p.map(|p| (p.id, p.text))).collect::<Result<_>>().unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn every_format_is_told_by_its_name_or_content() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    let jsonl = "{\"_id\": \"a\", \"text\": \"oil\"}\n{\"_id\": \"b\", \"text\": \"price\"}\n";
    let dpr = r#"[{"question": "q", "answers": ["x"], "positive_ctxs": [{"title": "t", "text": "oil", "passage_id": "a"}],
        "hard_negative_ctxs": [{"title": "", "text": "price", "passage_id": "b"}, {"title": "t", "text": "oil", "passage_id": "a"}]}]"#;
    fs::create_dir(at("beir")).unwrap();
    for (name, bytes) in [
        ("beir/corpus.jsonl.gz", gzip(jsonl)),
        ("plain.jsonl", jsonl.into()),
        ("packed.jsonl.gz", gzip(jsonl)),
        ("lines.json", jsonl.into()),
        ("nameless", jsonl.into()),
        ("dpr.json", dpr.into()),
        ("dpr.json.gz", gzip(dpr)),
        ("psgs_w100.tsv.gz", gzip("id\ttext\ttitle\na\toil\tt\nb\t\"price\"\tt\n")),
    ] {
        fs::write(at(name), bytes).unwrap();
        let path = if name.starts_with("beir") { at("beir") } else { at(name) };
        assert_eq!(read(&[path]), pairs(&[("a", "oil"), ("b", "price")]), "{name}");
    }
}

#[test]
fn folders_of_text_files_are_read_in_order_with_hidden_files_left_out() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("notes");
    fs::create_dir_all(root.join("b")).unwrap();
    for (name, text) in
        [("c.md", "# Oil\n\nThe price."), ("b/a.txt", "oil"), (".hidden.txt", "oil"), ("picture.png", "oil")]
    {
        fs::write(root.join(name), text).unwrap();
    }
    let shown = root.display().to_string();
    let expected =
        [(format!("{shown}/b/a.txt#0"), "oil".to_owned()), (format!("{shown}/c.md#0"), "The price.".to_owned())];
    assert_eq!(read(&[root]), expected);
}

#[test]
fn a_corpus_without_text_or_of_an_unknown_kind_is_bad_input() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    fs::write(at("empty.jsonl"), "").unwrap();
    fs::write(at("table.csv"), "a,b\n1,2\n").unwrap();
    fs::create_dir(at("folder")).unwrap();
    for (path, part) in [
        ("empty.jsonl", "no passages"),
        ("table.csv", "unknown kind"),
        ("folder", "no passages"),
        ("none", "no such file"),
    ] {
        let error = Corpus::open(&[at(path)]).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        assert!(error.to_string().contains(part) && error.to_string().contains(path), "{error}");
    }
    assert_eq!(Corpus::open(&[]).unwrap_err().exit_code(), 2);
}

#[test]
fn the_place_of_the_last_passage_counts_blank_lines() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("c.jsonl");
    fs::write(&path, "{\"_id\": \"a\", \"text\": \"oil\"}\n\n\n{\"_id\": \"b\", \"text\": \"oil\"}").unwrap();
    let corpus = Corpus::open(&[path]).unwrap();
    let tokenizer = testing::tokenizer();
    let mut passages = corpus.passages(&tokenizer, ChunkConfig::default());
    passages.next().unwrap().unwrap();
    assert!(passages.place().ends_with("c.jsonl, line 1"), "{}", passages.place());
    passages.next().unwrap().unwrap();
    // The last line has no end.
    assert!(passages.place().ends_with("c.jsonl, line 4"), "{}", passages.place());
    assert_eq!(passages.bytes_read(), corpus.bytes());
}

#[test]
fn aliases_beside_a_corpus_are_read() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    fs::write(at("corpus.jsonl"), "{\"_id\": \"a\", \"text\": \"oil\"}\n").unwrap();
    fs::write(at("aliases.tsv"), "duplicate-id\tkept-id\nx/1\ty/2\n").unwrap();
    let corpus = Corpus::open(&[temp.path().to_owned()]).unwrap();
    assert_eq!(corpus.aliases().iter().collect::<Vec<_>>(), [(&"x/1".to_owned(), &"y/2".to_owned())]);
    fs::write(at("aliases.tsv"), "x\n").unwrap();
    assert!(Corpus::open(&[at("corpus.jsonl")]).unwrap_err().to_string().contains("line 1"));
}

#[test]
fn a_large_text_is_read_as_its_passages_are_asked_for() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("large.txt");
    let paragraph = "The price of oil rose.\n\n".repeat(1 << 16);
    let mut file = fs::File::create(&path).unwrap();
    for _ in 0..40 {
        file.write_all(paragraph.as_bytes()).unwrap();
    }
    let corpus = Corpus::open(&[path]).unwrap();
    let tokenizer = testing::tokenizer();
    let mut reader = FileReader::open(&corpus.files()[0], &tokenizer, ChunkConfig::default()).unwrap();
    let (first, _) = reader.next().unwrap().unwrap();
    assert_eq!(first.source.unwrap().start, 0);
    let (read, all) = (reader.bytes_read(), corpus.bytes());
    assert!(read < all / 10, "{read} of {all} bytes were read for the first passage");
}
