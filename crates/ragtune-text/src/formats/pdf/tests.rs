//! Small files, made here, as different programs write them; and damaged ones.

use lopdf::content::{Content, Operation};
use lopdf::{Document as File, Object, Stream, StringFormat, dictionary};
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Object {
    Object::Name(text.as_bytes().to_vec())
}

fn literal(text: &[u8]) -> Object {
    Object::String(text.to_vec(), StringFormat::Literal)
}

/// A file with these pages: resources shared by all, and a content each.
fn file(resources: lopdf::Dictionary, pages: &[&str], mut add: impl FnMut(&mut File) -> lopdf::Dictionary) -> Vec<u8> {
    let mut file = File::with_version("1.5");
    let tree = file.new_object_id();
    let mut resources = resources;
    resources.extend(&add(&mut file));
    let kids: Vec<Object> = pages
        .iter()
        .map(|content| {
            let content = file.add_object(Stream::new(dictionary! {}, content.as_bytes().to_vec()));
            file.add_object(dictionary! { "Type" => "Page", "Parent" => tree, "Contents" => content }).into()
        })
        .collect();
    let size = vec![0.into(), 0.into(), 600.into(), 800.into()];
    file.objects.insert(
        tree,
        dictionary! {
            "Type" => "Pages", "Count" => kids.len() as i64, "Kids" => kids, "Resources" => resources, "MediaBox" => size
        }
        .into(),
    );
    let catalog = file.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    file.trailer.set("Root", catalog);
    file.compress();
    let mut bytes = Vec::new();
    file.save_to(&mut bytes).unwrap();
    bytes
}

/// Pages in Helvetica as `/F`, the plain way.
fn plain(pages: &[&str]) -> Vec<u8> {
    file(dictionary! {}, pages, |file| {
        let font = dictionary! {
            "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica", "Encoding" => "WinAnsiEncoding"
        };
        let font = file.add_object(font);
        dictionary! { "Font" => dictionary! { "F" => font } }
    })
}

fn read(bytes: &[u8]) -> Vec<Part> {
    parts(bytes, "a.pdf").collect::<Result<_, _>>().unwrap()
}

fn error(bytes: &[u8]) -> String {
    parts(bytes, "b/a.pdf").find_map(Result::err).expect("an error").to_string()
}

/// Heading and text of every section with text, page by page.
fn sections(bytes: &[u8]) -> Vec<(u32, String, String)> {
    let mut all = Vec::new();
    for part in read(bytes) {
        let sections = part.document.sections.into_iter().filter(|section| !section.text.is_empty());
        all.extend(sections.map(|section| (part.page.unwrap(), section.heading, section.text)));
    }
    all
}

fn texts(bytes: &[u8]) -> Vec<String> {
    sections(bytes).into_iter().map(|section| section.2).collect()
}

#[test]
fn pages_lines_and_words_that_only_the_pen_sets_apart() {
    let first = "BT /F 10 Tf 50 700 Td (The price of) Tj 0 -12 Td (oil rose, and the embar-) Tj T* 0 -12 Td (go held.) Tj ET \
        BT /F 10 Tf 1 0 0 1 50 640 Tm [(Tea)-300(is)-300(gr)20(een)] TJ ET";
    let second = "BT /F 10 Tf 12 TL 50 700 Td (one) Tj (two) ' 0 0 (three) \" ET \
        q 1 0 0 1 50 600 cm BT /F 10 Tf (left) Tj 1 0 0 1 30 0 Tm (right) Tj ET Q";
    assert_eq!(
        sections(&plain(&[first, second])),
        [
            (1, String::new(), "The price of oil rose, and the embargo held.\nTea is green".to_owned()),
            (2, String::new(), "one two three\nleft right".to_owned()),
        ]
    );
}

#[test]
fn large_type_is_a_heading_that_lasts_over_pages_and_is_never_lost() {
    let first = "BT /F 18 Tf 50 700 Td (Part 1) Tj /F 24 Tf 0 -40 Td (Oil) Tj /F 10 Tf 0 -40 Td (The price of oil rose in the year.) Tj \
        /F 18 Tf 0 -40 Td (Tea) Tj ET";
    let second = "BT /F 10 Tf 50 700 Td (Green tea is a leaf.) Tj /F 18 Tf 0 -40 Td (End) Tj ET";
    assert_eq!(
        sections(&plain(&[first, second])),
        [
            (1, "Part 1 Oil".to_owned(), "The price of oil rose in the year.".to_owned()),
            (2, "Tea".to_owned(), "Green tea is a leaf.\nEnd".to_owned()),
        ]
    );
}

#[test]
fn a_passage_names_its_page_and_its_place_in_the_pages_text() {
    let bytes = plain(&[
        "BT /F 10 Tf 50 700 Td (the oil) Tj ET",
        "BT /F 20 Tf 50 700 Td (Oil) Tj /F 10 Tf 0 -40 Td (the price rose.) Tj ET",
    ]);
    let tokenizer = crate::testing::bert();
    let config = super::super::ChunkConfig { max_tokens: 16, overlap_tokens: 4 };
    let kind = super::super::TextKind::Pdf;
    let passages = super::super::text_file::passages(&bytes, "a.pdf", kind, &tokenizer, &config).unwrap();
    let seen: Vec<_> = passages.iter().map(|p| (p.id.as_str(), p.title.as_str(), p.text.as_str())).collect();
    assert_eq!(seen, [("a.pdf#0", "", "the oil"), ("a.pdf#1", "Oil", "the price rose.")]);
    let places: Vec<_> =
        passages.iter().map(|p| p.source.as_ref().unwrap()).map(|s| (s.page, s.start, s.end)).collect();
    assert_eq!(places, [(Some(1), 0, 7), (Some(2), 4, 19)]);
}

#[test]
fn letters_come_from_the_map_then_from_names_and_ligatures_are_spelled_out() {
    let map = "1 begincodespacerange <00> <FF> endcodespacerange 1 beginbfchar <41> <00660069> endbfchar";
    let bytes = file(dictionary! {}, &["BT /F 10 Tf 50 700 Td (AB\\014C) Tj ET"], |file| {
        let map = file.add_object(Stream::new(dictionary! {}, map.as_bytes().to_vec()));
        let differences: Vec<Object> = vec![12.into(), name("ffl"), 66.into(), name("eacute"), name("g99")];
        let encoding = dictionary! { "Type" => "Encoding", "Differences" => differences };
        let font = dictionary! {
            "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "ABCDEF+Own", "Encoding" => encoding, "ToUnicode" => map
        };
        let font = file.add_object(font);
        dictionary! { "Font" => dictionary! { "F" => font } }
    });
    assert_eq!(texts(&bytes), ["fiéffl"]);
}

/// A font with codes of two bytes.
fn composite(pages: &[&str], map: Option<&str>) -> Vec<u8> {
    file(dictionary! {}, pages, |file| {
        let below = dictionary! {
            "Type" => "Font", "Subtype" => "CIDFontType2", "BaseFont" => "X", "DW" => 1000,
            "W" => vec![1.into(), Object::Array(vec![500.into(), 500.into()]), 5.into(), 9.into(), 250.into()]
        };
        let below = file.add_object(below);
        let mut font = dictionary! {
            "Type" => "Font", "Subtype" => "Type0", "BaseFont" => "X", "Encoding" => "Identity-H",
            "DescendantFonts" => vec![below.into()]
        };
        if let Some(map) = map {
            let map = file.add_object(Stream::new(dictionary! {}, map.as_bytes().to_vec()));
            font.set("ToUnicode", map);
        }
        let font = file.add_object(font);
        dictionary! { "Font" => dictionary! { "F" => font } }
    })
}

#[test]
fn codes_of_two_bytes_have_letters_and_widths() {
    let map = "1 begincodespacerange <0000> <FFFF> endcodespacerange 1 beginbfrange <0001> <0009> <0061> endbfrange";
    // After two letters of half the size, 10 units along: the third goes on; the fourth is set apart.
    let page = "BT /F 10 Tf 50 700 Td <00010002> Tj 10 0 Td <0003> Tj 15 0 Td <0004> Tj ET";
    assert_eq!(texts(&composite(&[page], Some(map))), ["abc d"]);
}

#[test]
fn what_a_stretch_stands_for_replaces_its_glyphs() {
    let page = "BT /F 10 Tf 50 700 Td /Span <</ActualText (oil)>> BDC (xy) Tj (z) Tj EMC ( rose) Tj ET";
    assert_eq!(texts(&plain(&[page])), ["oil rose"]);
}

#[test]
fn forms_are_read_where_they_are_drawn_and_may_not_go_round() {
    let bytes = file(
        dictionary! {},
        &["BT /F 10 Tf 50 700 Td (before) Tj ET /X Do BT /F 10 Tf 50 500 Td (after) Tj ET"],
        |file| {
            let font =
                file.add_object(dictionary! { "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Times-Roman" });
            let form = file.new_object_id();
            let resources =
                dictionary! { "Font" => dictionary! { "F" => font }, "XObject" => dictionary! { "X" => form } };
            let content = "BT /F 10 Tf 50 0 Td (inside) Tj ET /X Do".as_bytes().to_vec();
            let dict = dictionary! {
                "Type" => "XObject", "Subtype" => "Form", "Resources" => resources.clone(),
                "Matrix" => vec![1.into(), 0.into(), 0.into(), 1.into(), 0.into(), 600.into()]
            };
            file.objects.insert(form, Stream::new(dict, content).into());
            resources
        },
    );
    let text = texts(&bytes).concat();
    assert!(text.starts_with("before inside") || text.starts_with("before\ninside"), "{text}");
    assert!(text.ends_with("after"), "{text}");
}

#[test]
fn files_without_text_say_why_and_what_to_do() {
    let scan = file(dictionary! {}, &["q 600 0 0 800 0 0 cm /I Do Q", ""], |file| {
        let dict = dictionary! { "Type" => "XObject", "Subtype" => "Image", "Width" => 1, "Height" => 1 };
        let image = file.add_object(Stream::new(dict, vec![0]));
        dictionary! { "XObject" => dictionary! { "I" => image } }
    });
    let unknown = composite(&["BT /F 10 Tf 50 700 Td <00010002> Tj ET"], None);
    // The font is missing.
    let fontless = file(dictionary! {}, &["BT /F 10 Tf 50 700 Td (oil) Tj ET"], |_| dictionary! {});
    for (bytes, parts) in [
        (fontless, ["3 of its 3 letters", "ocrmypdf"]),
        (scan, ["scan of 2 pages", "ocrmypdf"]),
        (unknown, ["2 of its 2 letters", "ocrmypdf"]),
        (plain(&["", ""]), ["no text in it", "Leave it out"]),
        (Vec::new(), ["empty", "again"]),
        (b"<html>not found</html>".to_vec(), ["not a readable PDF", "again"]),
        (b"%PDF-1.7\n%%EOF".to_vec(), ["b/a.pdf", "again"]),
    ] {
        let error = error(&bytes);
        assert!(error.contains("b/a.pdf") && parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
    }
}

#[test]
fn a_file_that_was_cut_off_never_passes_for_a_whole_one() {
    let bytes = plain(&["BT /F 10 Tf 50 700 Td (the first) Tj ET", "BT /F 10 Tf 50 700 Td (the second) Tj ET"]);
    for length in 0..bytes.len() - 8 {
        let read: Result<Vec<Part>, _> = parts(&bytes[..length], "a.pdf").collect();
        if let Ok(parts) = read {
            let texts: Vec<_> =
                parts.iter().flat_map(|part| &part.document.sections).map(|s| s.text.as_str()).collect();
            assert_eq!(texts, ["the first", "the second"], "cut at {length} of {}", bytes.len());
        }
    }
}

#[test]
fn content_that_breaks_off_is_named_with_its_page() {
    let line = "0 -12 Td (The price of oil rose, number 00001.) Tj ";
    let text: String = (0..200).map(|n| line.replace("00001", &format!("{:05}", n * 7919 % 99_991))).collect();
    let mut file =
        File::load_mem(&plain(&["BT /F 10 Tf 50 700 Td (oil) Tj ET", &format!("BT /F 10 Tf {text} ET")])).unwrap();
    let id = file.get_page_contents(file.get_pages()[&2])[0];
    let stream = file.get_object_mut(id).unwrap().as_stream_mut().unwrap();
    assert!(stream.is_compressed());
    let half = stream.content[..stream.content.len() / 2].to_vec();
    stream.set_content(half);
    let mut bytes = Vec::new();
    file.save_to(&mut bytes).unwrap();
    let error = error(&bytes);
    assert!(error.contains("page 2") && error.contains("damaged"), "{error}");
}

#[test]
fn a_password_is_asked_for_in_words() {
    let mut file = File::load_mem(&plain(&["BT /F 10 Tf 50 700 Td (oil) Tj ET"])).unwrap();
    let id = literal(b"0123456789abcdef");
    file.trailer.set("ID", Object::Array(vec![id.clone(), id]));
    for (user, readable) in [("secret", false), ("", true)] {
        let mut file = file.clone();
        let version = lopdf::EncryptionVersion::V2 {
            document: &file,
            owner_password: "owner",
            user_password: user,
            key_length: 128,
            permissions: lopdf::Permissions::all(),
        };
        let state = lopdf::EncryptionState::try_from(version).unwrap();
        file.encrypt(&state).unwrap();
        let mut bytes = Vec::new();
        file.save_to(&mut bytes).unwrap();
        // A file that only restricts printing opens without a password.
        if readable {
            assert_eq!(texts(&bytes), ["oil"]);
        } else {
            let error = error(&bytes);
            assert!(error.contains("password") && error.contains("qpdf"), "{error}");
        }
    }
}

#[test]
fn a_page_that_unpacks_without_end_is_named() {
    let mut content = Content { operations: Vec::new() };
    content.operations.push(Operation::new("Tj", vec![literal(&vec![b' '; MOST_PAGE + 1])]));
    let bomb = String::from_utf8(content.encode().unwrap()).unwrap();
    let bytes = plain(&["BT /F 10 Tf (oil) Tj ET", &bomb]);
    assert!(bytes.len() < 1 << 20);
    let error = error(&bytes);
    assert!(error.contains("page 2") && error.contains("unpacks"), "{error}");
}

fn sample() -> Vec<u8> {
    let map = "1 begincodespacerange <0000> <FFFF> endcodespacerange 1 beginbfrange <0001> <0009> <0061> endbfrange";
    composite(
        &["BT /F 10 Tf 50 700 Td [<0001>-300<0002>] TJ ET", "q 1 0 0 1 9 9 cm BT /F 1e9 Tf <0003> Tj ET Q"],
        Some(map),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damage_is_an_error_or_a_text_and_never_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        packed in any::<bool>(),
    ) {
        let mut bytes = if packed { sample() } else { plain(&["BT /F 10 Tf 50 700 Td (The price) Tj T* (rose) ' ET", "BT /F 12 Tf (x) Tj ET"]) };
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        for part in parts(&*bytes, "a.pdf") {
            let _ = part.map(|part| part.document.sections.len());
        }
    }

    #[test]
    fn any_numbers_and_operators_are_walked_through(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "BT", "ET", "q", "Q", "cm", "Tm", "Td", "TD", "T*", "Tj", "TJ", "'", "\"", "/F 10 Tf", "/F -3 Tf", "Tz", "TL",
                "(oil)", "[(a) -900 (b)]", "1e38", "-1e38", "0", "1", "-7.5", "999999999999", "/X BDC", "EMC", "BI ID EI", "<<", ">>", "]",
            ]),
            0..60,
        )
    ) {
        let bytes = plain(&[&words.join(" ")]);
        for part in parts(&*bytes, "a.pdf").flatten() {
            for section in &part.document.sections {
                prop_assert!(section.file_range(0..section.text.len()).end >= section.text.len());
            }
        }
    }
}
