//! Markdown to text: CommonMark with tables, footnotes, strike-through, task lists and front matter (left out).

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::document::Document;
use super::html;

/// Reads `text`, which stands at byte `base` of the file.
pub(super) fn read(text: &str, base: usize) -> Document {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let mut document = Document::new();
    let mut heading: Option<String> = None;
    let (mut in_code, mut in_metadata, mut in_html) = (false, false, false);
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => document.heading(&heading.take().unwrap_or_default()),
            Event::Text(words) | Event::Code(words) if heading.is_some() => {
                heading.get_or_insert_default().push_str(&words);
            }
            Event::SoftBreak | Event::HardBreak if heading.is_some() => heading.get_or_insert_default().push(' '),
            Event::Start(Tag::CodeBlock(_)) => {
                document.paragraph();
                in_code = true;
            }
            Event::End(TagEnd::CodeBlock) => {
                document.paragraph();
                in_code = false;
            }
            Event::Start(Tag::MetadataBlock(_)) => in_metadata = true,
            Event::End(TagEnd::MetadataBlock(_)) => in_metadata = false,
            Event::Start(Tag::HtmlBlock) => {
                // The whole block at once: its events come line by line, and a tag may span lines.
                document.paragraph();
                html::append(&text[range.clone()], base + range.start, &mut document);
                document.paragraph();
                in_html = true;
            }
            Event::End(TagEnd::HtmlBlock) => in_html = false,
            Event::InlineHtml(tag) if tag.starts_with("<br") => document.space(),
            _ if in_metadata || in_html => {}
            Event::Code(words) => {
                let file = inside(text, &words, range);
                document.text(&words, base + file.start..base + file.end);
            }
            Event::Text(words) => {
                // Text that stands there as it is may be followed by the `\r` of its line; a decoded `&amp;` keeps its range.
                let verbatim = text[range.clone()].starts_with(&*words) && !text[range.clone()].starts_with('&');
                let file = if verbatim { range.start..range.start + words.len() } else { range };
                let file = base + file.start..base + file.end;
                if in_code { document.code(&words, file) } else { document.text(&words, file) }
            }
            Event::SoftBreak | Event::HardBreak | Event::End(TagEnd::TableCell) => document.space(),
            Event::Start(tag) if is_block(&tag.to_end()) => document.paragraph(),
            Event::End(tag) if is_block(&tag) => document.paragraph(),
            Event::Rule => document.paragraph(),
            _ => {}
        }
    }
    document
}

/// Where inline code stands between its backticks.
fn inside(text: &str, words: &str, range: Range<usize>) -> Range<usize> {
    match text.get(range.clone()).and_then(|source| source.find(words)) {
        Some(at) => range.start + at..range.start + at + words.len(),
        None => range,
    }
}

fn is_block(tag: &TagEnd) -> bool {
    !matches!(
        tag,
        TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Link | TagEnd::Image | TagEnd::TableCell
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str) -> Vec<(String, String)> {
        let document = read(text, 0);
        document.sections.into_iter().filter(|s| !s.text.is_empty()).map(|s| (s.heading, s.text)).collect()
    }

    #[test]
    fn markup_goes_and_structure_stays() {
        let text = "---\ntitle: x\n---\nIntro *one*\ntwo.\n\n# Oil `crisis` &amp; more\n\nThe [price](http://x) **rose**.\n\n- one\n- two\n\n| a | b |\n|---|---|\n| c | d |\n";
        assert_eq!(
            sections(text),
            [
                (String::new(), "Intro one two.".to_owned()),
                ("Oil crisis & more".to_owned(), "The price rose.\none\ntwo\na b\nc d".to_owned()),
            ]
        );
    }

    #[test]
    fn html_inside_markdown_loses_its_tags() {
        let text = "<p align=\"center\"\n  class=\"x\">Hello <b>you</b></p>\n\nA<br>B <i>c</i>d\n";
        assert_eq!(sections(text), [(String::new(), "Hello you\nA B cd".to_owned())]);
    }

    #[test]
    fn words_lead_back_to_their_bytes() {
        let text = "# Größe\r\n\r\nDie **Größe** ist `12 cm` &amp; mehr.\r\n\r\n    code line\r\n";
        let document = read(text, 0);
        let section = &document.sections[1];
        for word in ["Größe", "12 cm", "mehr.", "code line"] {
            let at = section.text.find(word).unwrap();
            assert_eq!(&text[section.file_range(at..at + word.len())], word);
        }
        let at = section.text.find('&').unwrap();
        assert_eq!(&text[section.file_range(at..at + 1)], "&amp;");
    }
}
