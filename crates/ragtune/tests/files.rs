//! `ragtune index update` and `passages`, and the files that documents come in.

mod common;

use std::io::{Cursor, Write};

use common::Place;
use lopdf::{Object, Stream, dictionary};
use serde_json::Value;

/// A PDF in Helvetica with a line on each page.
fn pdf(pages: &[&str]) -> Vec<u8> {
    let mut file = lopdf::Document::with_version("1.5");
    let tree = file.new_object_id();
    let font = file.add_object(dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica" });
    let kids: Vec<Object> = pages
        .iter()
        .map(|line| {
            let content = format!("BT /F 10 Tf 50 700 Td ({line}) Tj ET").into_bytes();
            let content = file.add_object(Stream::new(dictionary! {}, content));
            file.add_object(dictionary! { "Type" => "Page", "Parent" => tree, "Contents" => content }).into()
        })
        .collect();
    let resources = dictionary! { "Font" => dictionary! { "F" => font } };
    let pages =
        dictionary! { "Type" => "Pages", "Count" => kids.len() as i64, "Kids" => kids, "Resources" => resources };
    file.objects.insert(tree, pages.into());
    let catalog = file.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    file.trailer.set("Root", catalog);
    let mut bytes = Vec::new();
    file.save_to(&mut bytes).unwrap();
    bytes
}

fn docx(text: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("word/document.xml", zip::write::SimpleFileOptions::default()).unwrap();
    let body =
        format!("<w:document xmlns:w=\"w\"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>");
    zip.write_all(body.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

const UPDATE: [&str; 8] = ["index", "update", "--tokenizer", "tokenizer.json", "--index", "index", "--corpus", "docs"];

fn update(place: &Place) -> Value {
    place.run(&[&UPDATE[..], &["--json"]].concat()).json()
}

fn states(report: &Value) -> Vec<(&str, &str)> {
    let files = report["files"].as_array().unwrap().iter();
    files.map(|file| (file["file"].as_str().unwrap(), file["state"]["state"].as_str().unwrap())).collect()
}

fn passages(place: &Place, more: &[&str]) -> Value {
    place.run(&[&["index", "passages", "--index", "index", "--json"], more].concat()).json()
}

#[test]
fn documents_of_every_kind_come_change_and_go() {
    let place = Place::small();
    place.write("docs/a.pdf", pdf(&["the price of oil rose .", "green tea leaf ."]));
    place.write("docs/b.docx", docx("the cup of tea ."));
    place.write("docs/c.md", "# Oil crisis\n\nThe price of oil rose.\n");
    place.write("docs/d.pdf", "not a pdf");
    let report = update(&place);
    assert_eq!(
        states(&report),
        [("docs/a.pdf", "indexed"), ("docs/b.docx", "indexed"), ("docs/c.md", "indexed"), ("docs/d.pdf", "failed")]
    );
    assert_eq!((&report["passages"], &report["indexed"], &report["failed"]), (&4.into(), &3.into(), &1.into()));

    place.write("docs/b.docx", docx("why ? the tea ."));
    std::fs::remove_file(place.path("docs/c.md")).unwrap();
    let report = update(&place);
    assert_eq!(
        states(&report),
        [("docs/a.pdf", "unchanged"), ("docs/b.docx", "indexed"), ("docs/d.pdf", "failed"), ("docs/c.md", "removed")]
    );
    let table = place.run(&UPDATE);
    assert_eq!(table.code, 0, "{}", table.err);
    assert!(table.out.contains("not a readable PDF") && table.out.contains("2 unchanged"), "{}", table.out);
    assert!(table.err.contains("1 file could not be read"), "{}", table.err);
}

#[test]
fn a_page_is_named_wherever_a_passage_is_shown() {
    let place = Place::small();
    place.write("docs/a.pdf", pdf(&["the price of oil rose .", "green tea leaf ."]));
    update(&place);
    let list = passages(&place, &["--find", "GREEN"]);
    let source = &list["passages"][0]["source"];
    assert_eq!((&list["total"], &source["file"], &source["page"]), (&1.into(), &"docs/a.pdf".into(), &2.into()));
    assert_eq!(list["files"], serde_json::json!([["docs/a.pdf", 2]]));
    let shown = place.run(&["index", "passages", "--index", "index", "--file", "docs/a.pdf", "--offset", "1"]);
    assert!(shown.out.contains("docs/a.pdf, page 2") && shown.out.contains("2 to 2 of 2"), "{}", shown.out);
    let search = ["search", "--index", "index", "--encoder", "encoder", "--mode", "own", "--query", "green leaf"];
    let found = place.run(&[&search[..], &["--json"]].concat()).json();
    assert_eq!(found["queries"][0]["hits"][0]["source"]["page"], 2);
    assert!(place.run(&search).out.contains("docs/a.pdf, page 2"));
    // Written out and read in again, the page is still known.
    place.run(&["index", "export", "index", "--out", "texts"]);
    let again = ["index", "build", "--corpus", "texts", "--tokenizer", "tokenizer.json", "--out", "index"];
    assert_eq!(place.run(&again).code, 0);
    assert_eq!(passages(&place, &["--find", "green"])["passages"][0]["source"]["page"], 2);
}

#[test]
fn index_build_takes_documents_too_and_stops_at_the_first_that_fails() {
    let place = Place::small();
    place.write("docs/a.pdf", pdf(&["the price of oil rose ."]));
    place.write("docs/b.docx", docx("the cup of tea ."));
    let build = ["index", "build", "--corpus", "docs", "--tokenizer", "tokenizer.json", "--out", "built"];
    assert_eq!(place.run(&[&build[..], &["--json"]].concat()).json()["passages"], 2);
    place.write("docs/c.pdf", "not a pdf");
    place.run(&build).refused(&["docs/c.pdf", "not a readable PDF"]);
}

#[test]
fn a_text_of_many_pieces_is_read_whole() {
    let place = Place::small();
    let paragraph = format!("{}\n\n", "the price of oil rose . ".repeat(20));
    let mut text = paragraph.repeat(6000);
    assert!(text.len() > 2 << 20);
    text.push_str("green tea leaf .");
    place.write("docs/a.txt", text);
    update(&place);
    let found = passages(&place, &["--find", "green tea leaf"]);
    assert_eq!(found["total"], 1);
    let end = found["passages"][0]["source"]["end"].as_u64().unwrap();
    assert_eq!(end, std::fs::metadata(place.path("docs/a.txt")).unwrap().len());
}

#[test]
fn bad_usage_names_what_is_missing() {
    let place = Place::small();
    place.run(&["index", "update", "--corpus", "corpus.jsonl", "--index", "index"]).refused(&["--tokenizer"]);
    place.run(&["index", "update", "--tokenizer", "tokenizer.json", "--index", "index"]).refused(&["--corpus"]);
    place.run(&["index", "passages", "--index", "none"]).refused(&["none", "no such file"]);
    place.write("docs/empty.txt", "");
    place.run(&UPDATE).refused(&["nothing to index"]);
    assert!(!place.path("index").exists());
}
