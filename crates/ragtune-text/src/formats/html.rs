//! HTML to text: tags go, entities are decoded, headings cut sections; scripts, styles and templates are left out.

use std::ops::Range;

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{Span, Token, Tokenizer};

use super::document::Document;

/// Elements whose content is no text of the page.
const SKIPPED: [&[u8]; 8] = [b"script", b"style", b"noscript", b"template", b"iframe", b"noembed", b"noframes", b"svg"];

/// Elements that do not end a paragraph, so that words inside and around them run on.
const INLINE: [&[u8]; 36] = [
    b"a", b"abbr", b"acronym", b"b", b"bdi", b"bdo", b"big", b"cite", b"code", b"data", b"del", b"dfn", b"em", b"font",
    b"i", b"img", b"ins", b"kbd", b"label", b"mark", b"q", b"rp", b"rt", b"ruby", b"s", b"samp", b"small", b"span",
    b"strike", b"strong", b"sub", b"sup", b"tt", b"u", b"var", b"wbr",
];

/// Reads a whole page, which stands at byte `base` of the file. Text before the first heading gets the page's title as
/// its heading.
pub(super) fn read(text: &str, base: usize) -> Document {
    let mut document = Document::new();
    append(text, base, &mut document);
    document
}

/// What the text at hand belongs to.
#[derive(PartialEq)]
enum Place {
    Body,
    /// In `<title>` or a heading of that name.
    Heading(Vec<u8>),
    /// In a skipped element of that name, so many of them deep.
    Skipped(Vec<u8>, usize),
}

/// Adds the text of an HTML fragment, which stands at byte `base` of the file, to a document.
pub(super) fn append(text: &str, base: usize, document: &mut Document) {
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    // As browsers do, so that `<b>` inside a script is not a tag.
    emitter.naively_switch_states(true);
    let mut place = Place::Body;
    let mut heading = String::new();
    let mut pre = 0usize;
    for token in Tokenizer::new_with_emitter(text, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => {
                let name = tag.name.0;
                match &mut place {
                    Place::Skipped(skipped, depth) => *depth += usize::from(*skipped == name && !tag.self_closing),
                    Place::Heading(_) if INLINE.contains(&name.as_slice()) || name == b"div" || name == b"br" => {
                        if name == b"br" {
                            heading.push(' ');
                        }
                    }
                    _ => {
                        if matches!(place, Place::Heading(_)) {
                            // The heading was never closed.
                            document.heading(&std::mem::take(&mut heading));
                        }
                        place = start(&name, tag.self_closing, document);
                        pre += usize::from(name == b"pre");
                    }
                }
            }
            Token::EndTag(tag) => {
                let name = tag.name.0;
                match &mut place {
                    Place::Skipped(skipped, depth) if *skipped == name => {
                        *depth -= 1;
                        if *depth == 0 {
                            place = Place::Body;
                        }
                    }
                    Place::Heading(open) if *open == name => {
                        document.heading(&std::mem::take(&mut heading));
                        place = Place::Body;
                    }
                    Place::Body => {
                        border(&name, document);
                        pre = pre.saturating_sub(usize::from(name == b"pre"));
                    }
                    _ => {}
                }
            }
            Token::String(string) => {
                let words = String::from_utf8_lossy(&string.value.0);
                match place {
                    Place::Skipped(..) => {}
                    Place::Heading(_) => heading.push_str(&words),
                    Place::Body => {
                        for (words, file) in aligned(&words, text, string.span) {
                            let file = base + file.start..base + file.end;
                            if pre > 0 { document.code(words, file) } else { document.text(words, file) }
                        }
                    }
                }
            }
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    if !heading.is_empty() {
        document.heading(&heading);
    }
}

fn start(name: &[u8], self_closing: bool, document: &mut Document) -> Place {
    if matches!(name, b"title" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6") {
        return Place::Heading(name.to_owned());
    }
    if SKIPPED.contains(&name) && !self_closing {
        document.space();
        return Place::Skipped(name.to_owned(), 1);
    }
    border(name, document);
    Place::Body
}

/// Ends a word or a paragraph where the element asks for it.
fn border(name: &[u8], document: &mut Document) {
    match name {
        b"br" | b"td" | b"th" | b"img" | b"input" | b"button" | b"option" | b"select" | b"textarea" => document.space(),
        name if INLINE.contains(&name) => {}
        _ => document.paragraph(),
    }
}

/// Cuts decoded text so that every cut has its place in the file: text that stands there as it is, and single
/// character references (`&amp;`). Should the two not fit, the rest maps to the rest.
fn aligned<'a>(words: &'a str, source: &str, span: Span<usize>) -> Vec<(&'a str, Range<usize>)> {
    let end = span.end.min(source.len());
    let (mut at, mut done) = (span.start.min(end), 0);
    let mut parts = Vec::new();
    while done < words.len() {
        let (rest, left) = (&words.as_bytes()[done..], &source.as_bytes()[at..end]);
        let same = rest.iter().zip(left).take_while(|(a, b)| a == b && **b != b'&').count();
        let same = floor_boundary(words, done, same);
        if same > 0 {
            parts.push((&words[done..done + same], at..at + same));
            (done, at) = (done + same, at + same);
            continue;
        }
        // The tokenizer reads `\r\n` as `\n`.
        if left.starts_with(b"\r") && rest.starts_with(b"\n") {
            parts.push((&words[done..done + 1], at..at + if left.starts_with(b"\r\n") { 2 } else { 1 }));
            at += if left.starts_with(b"\r\n") { 2 } else { 1 };
            done += 1;
            continue;
        }
        let reference = reference(&source[at..end]);
        let decoded = reference.map_or(0, |length| decoded_length(&source[at..at + length], &words[done..]));
        match reference {
            Some(length) if decoded > 0 => {
                parts.push((&words[done..done + decoded], at..at + length));
                (done, at) = (done + decoded, at + length);
            }
            _ => {
                parts.push((&words[done..], at..end));
                break;
            }
        }
    }
    parts
}

/// The largest length up to `length` that ends between characters of `words`, counted from `start`.
fn floor_boundary(words: &str, start: usize, length: usize) -> usize {
    (0..=length).rev().find(|&length| words.is_char_boundary(start + length)).unwrap_or(0)
}

/// Length of the character reference at the start of `source`.
fn reference(source: &str) -> Option<usize> {
    let name = source.strip_prefix('&')?;
    let length = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '#').unwrap_or(name.len());
    Some(1 + length + usize::from(name[length..].starts_with(';')))
}

/// Length of what a character reference (and the letters that it swallowed) decodes to; 0 when `words` starts otherwise.
fn decoded_length(reference: &str, words: &str) -> usize {
    let decoded = Tokenizer::new(reference).filter_map(|token| match token {
        Ok(Token::String(string)) => Some(string.value.0),
        _ => None,
    });
    let decoded: Vec<u8> = decoded.flatten().collect();
    if words.as_bytes().starts_with(&decoded) { decoded.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sections(text: &str) -> Vec<(String, String)> {
        let document = read(text, 0);
        document.sections.into_iter().filter(|s| !s.text.is_empty()).map(|s| (s.heading, s.text)).collect()
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(sections(text), [(String::new(), expected.to_owned())], "{text}");
    }

    #[test]
    fn a_page_becomes_sections() {
        let text = "<!doctype html><html><head><title>My &amp; page</title><style>p { color: red }</style>\
            <script>if (a < b) { document.write('<p>no</p>') }</script></head><body><p>Intro</p>\
            <h2>Oil <em>crisis</em></h2><p>The <b>pri</b>ce&nbsp;rose &gt; 3&times;.</p><ul><li>one<li>two</ul>\
            <table><tr><td>a</td><td>b</td></tr></table></body></html>";
        assert_eq!(
            sections(text),
            [
                ("My & page".to_owned(), "Intro".to_owned()),
                ("Oil crisis".to_owned(), "The price rose > 3×.\none\ntwo\na b".to_owned()),
            ]
        );
    }

    #[test]
    fn odd_markup_loses_no_text() {
        check("a<!-- no -->b <p>c", "ab\nc");
        check("a &unknown; &notit; & b", "a &unknown; ¬it; & b");
        check("<script>x</script>a<template><template>n</template>o</template>b", "a b");
        check("a < b", "a < b");
        check("<pre>x\n  y\n</pre>z", "x\n  y\nz");
        check("one\r\ntwo &eacute;\r\n", "one two é");
        assert_eq!(sections("<h1>T<p>x"), [("T".to_owned(), "x".to_owned())]);
    }

    proptest! {
        #[test]
        fn words_lead_back_to_their_bytes(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "<p>", "</p>", "<b>", "</b>", " ", "\r\n", "&amp;", "&#233;", "<br/>", "<!-- x -->", "é", "<td a='b'>",
                    "<script>s</script>", "& ", "&lt", "<h1>h</h1>",
                ]),
                0..30,
            )
        ) {
            let text: String = parts.iter().enumerate().map(|(n, part)| format!("{part} word{n}z ")).collect();
            let document = read(&text, 0);
            for n in 0..parts.len() {
                let word = format!("word{n}z");
                let section = document.sections.iter().find(|section| section.text.contains(&word)).unwrap();
                let at = section.text.find(&word).unwrap();
                prop_assert_eq!(&text[section.file_range(at..at + word.len())], word);
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[<>/a-h!&;# \\n\"'=-]{0,80}|\\PC{0,40}") {
            let length = text.len();
            for section in read(&text, 3).sections {
                if !section.text.is_empty() {
                    let range = section.file_range(0..section.text.len());
                    prop_assert!(range.start >= 3 && range.end <= length + 3);
                }
            }
        }
    }
}
