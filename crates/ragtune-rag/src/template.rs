//! Prompts: how a question and its passages are put before a language model (method, section 4).

use ragtune_text::{Passage, Question, TaskKind};
use serde::{Deserialize, Serialize};

use crate::{RagError, Result};

/// The wording of prompts, as plain text with placeholders in braces.
///
/// In a TOML file every field may be left out and then has its default. A brace that opens no placeholder (a lower-case
/// word and a closing brace) stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptTemplate {
    /// One passage: `{title}`, `{text}`. Without a title, a line that holds `{title}` but not `{text}` is dropped.
    pub passage: String,
    /// One of several passages: `{n}`, its number from 1, and `{passage}`, worded as [`PromptTemplate::passage`] says.
    pub numbered: String,
    /// Prompt of a free-form question: `{passages}`, `{question}`.
    pub free_form: String,
    /// Prompt of a closed-set question: `{passages}`, `{question}`, `{options}`.
    pub closed_set: String,
    /// What stands between the prompt and its answer.
    pub answer_prefix: String,
    /// Whether the prompt is a message that the model's own chat template words; an answer then begins without a space
    /// unless `answer_prefix` says otherwise.
    pub chat: bool,
    /// What a chat says before that message; nothing when it is empty.
    pub system: String,
}

impl Default for PromptTemplate {
    /// Passages first: the keys and values of a passage can then serve every question that meets it.
    fn default() -> Self {
        Self {
            passage: "{title}\n{text}".to_owned(),
            numbered: "[{n}] {passage}".to_owned(),
            free_form: "{passages}\n\nQuestion: {question}\nAnswer:".to_owned(),
            closed_set: "{passages}\n\nQuestion: {question}\nOptions: {options}\nAnswer:".to_owned(),
            answer_prefix: " ".to_owned(),
            chat: false,
            system: String::new(),
        }
    }
}

impl PromptTemplate {
    /// The question first: one prefix serves all the passages that are tried for it.
    pub fn question_first() -> Self {
        Self {
            free_form: "Question: {question}\n\n{passages}\n\nAnswer:".to_owned(),
            closed_set: "Question: {question}\nOptions: {options}\n\n{passages}\n\nAnswer:".to_owned(),
            ..Self::default()
        }
    }

    /// The default wording, put to an instruct model as a message.
    pub fn chat() -> Self {
        Self { chat: true, answer_prefix: String::new(), ..Self::default() }
    }

    /// Reads a template from the text of a TOML file; `name` is the file's name, for messages.
    pub fn from_toml(text: &str, name: &str) -> Result<Self> {
        let fault = |error: toml::de::Error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let place = line.map_or(String::new(), |line| format!("line {line}: "));
            let fields = "passage, numbered, free_form, closed_set, answer_prefix and system, and chat";
            let reason = format!("{place}{}; a prompt template is TOML with the texts {fields}", error.message());
            RagError::Template { file: name.to_owned(), reason }
        };
        let mut template: Self = toml::from_str(text).map_err(fault)?;
        let said: toml::Table = toml::from_str(text).map_err(fault)?;
        if template.chat && !said.contains_key("answer_prefix") {
            template.answer_prefix.clear();
        }
        template.validate(name)?;
        Ok(template)
    }

    /// Checks the placeholders of every field; `name` is what the template came from, for messages.
    pub fn validate(&self, name: &str) -> Result<()> {
        if !self.system.is_empty() && !self.chat {
            let reason = "system: only a chat has one; add `chat = true`".to_owned();
            return Err(RagError::Template { file: name.to_owned(), reason });
        }
        let fields: [(&str, &str, &[&str], &[&str]); 4] = [
            ("passage", &self.passage, &["title", "text"], &["text"]),
            ("numbered", &self.numbered, &["n", "passage"], &["passage"]),
            ("free_form", &self.free_form, &["passages", "question"], &["passages", "question"]),
            ("closed_set", &self.closed_set, &["passages", "question", "options"], &["passages", "question"]),
        ];
        for (field, text, allowed, needed) in fields {
            let found: Vec<&str> = pieces(text).filter_map(|piece| piece.placeholder()).collect();
            let list = allowed.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ");
            let fail = |reason: String| Err(RagError::Template { file: name.to_owned(), reason });
            if let Some(unknown) = found.iter().find(|name| !allowed.contains(name)) {
                return fail(format!("{field}: unknown placeholder {{{unknown}}}; it may hold {list}"));
            }
            if let Some(missing) = needed.iter().find(|name| !found.contains(name)) {
                return fail(format!("{field}: placeholder {{{missing}}} is missing; it may hold {list}"));
            }
        }
        Ok(())
    }

    /// Eight hex digits that change with every wording, for caches of scores.
    pub fn fingerprint(&self) -> String {
        let mut crc = crc32fast::Hasher::new();
        for field in [&self.passage, &self.numbered, &self.free_form, &self.closed_set, &self.answer_prefix] {
            crc.update(&(field.len() as u64).to_le_bytes());
            crc.update(field.as_bytes());
        }
        if self.chat {
            crc.update(b"chat");
            crc.update(self.system.as_bytes());
        }
        format!("{:08x}", crc.finalize())
    }

    /// The prompt of a question with passages in context, best first.
    ///
    /// Several passages are numbered, with one blank line between. Without any, the line of `{passages}` goes, together
    /// with the blank lines after it.
    pub fn render(&self, question: &Question, passages: &[&Passage]) -> String {
        let frame = match question.kind() {
            TaskKind::FreeForm => &self.free_form,
            TaskKind::ClosedSet => &self.closed_set,
        };
        let frame = if passages.is_empty() { without_passages(frame) } else { frame.clone() };
        let context = self.context(passages);
        let options = question.choices.join(", ");
        fill(&frame, |name| match name {
            "passages" => Some(&context),
            "question" => Some(question.text.trim()),
            "options" => Some(&options),
            _ => None,
        })
    }

    fn context(&self, passages: &[&Passage]) -> String {
        if let [only] = passages {
            return self.one(only);
        }
        let number = |(i, passage): (usize, &&Passage)| {
            let (n, passage) = ((i + 1).to_string(), self.one(passage));
            fill(&self.numbered, |name| match name {
                "n" => Some(&n),
                "passage" => Some(&passage),
                _ => None,
            })
        };
        passages.iter().enumerate().map(number).collect::<Vec<_>>().join("\n\n")
    }

    fn one(&self, passage: &Passage) -> String {
        let (title, text) = (passage.title.trim(), passage.text.trim());
        let keep = |line: &&str| !title.is_empty() || !line.contains("{title}") || line.contains("{text}");
        let lines: Vec<&str> = self.passage.split('\n').filter(keep).collect();
        fill(&lines.join("\n"), |name| match name {
            "title" => Some(title),
            "text" => Some(text),
            _ => None,
        })
    }
}

/// The frame of a prompt without passages.
fn without_passages(frame: &str) -> String {
    let mut lines = Vec::new();
    let mut dropping = false;
    for line in frame.split('\n') {
        if line.trim() == "{passages}" {
            dropping = true;
        } else if !(dropping && line.trim().is_empty()) {
            dropping = false;
            lines.push(line);
        }
    }
    lines.join("\n").trim_start_matches('\n').to_owned()
}

/// Fills the placeholders in one pass, so that braces in what is filled in stay as they are.
fn fill<'v>(template: &str, value: impl Fn(&str) -> Option<&'v str>) -> String {
    let mut filled = String::new();
    for piece in pieces(template) {
        filled.push_str(piece.placeholder().and_then(&value).unwrap_or(piece.0));
    }
    filled
}

/// A run of literal text, or a placeholder with its braces.
struct Piece<'t>(&'t str);

impl<'t> Piece<'t> {
    fn placeholder(&self) -> Option<&'t str> {
        let name = self.0.strip_prefix('{')?.strip_suffix('}')?;
        is_name(name).then_some(name)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let closes = |at: usize| rest[at..].find('}').filter(|&end| is_name(&rest[at + 1..at + end]));
        let start = rest.match_indices('{').find_map(|(at, _)| closes(at).map(|end| (at, end)));
        let length = match start {
            Some((0, end)) => end + 1,
            Some((at, _)) => at,
            None => rest.len(),
        };
        let (piece, after) = rest.split_at(length);
        rest = after;
        Some(Piece(piece))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passage(title: &str, text: &str) -> Passage {
        Passage { id: "p".to_owned(), title: title.to_owned(), text: text.to_owned(), source: None }
    }

    fn question(text: &str, choices: &[&str]) -> Question {
        let choices = choices.iter().map(|&choice| choice.to_owned()).collect();
        Question { id: "q".to_owned(), text: text.to_owned(), choices, ..Question::default() }
    }

    #[test]
    fn one_passage_stands_first_and_without_a_number() {
        let prompt = PromptTemplate::default().render(&question("Why?", &[]), &[&passage("Oil", "It was dear.")]);
        assert_eq!(prompt, "Oil\nIt was dear.\n\nQuestion: Why?\nAnswer:");
        let prompt = PromptTemplate::default().render(&question("Why?", &[]), &[&passage("", "It was dear.")]);
        assert_eq!(prompt, "It was dear.\n\nQuestion: Why?\nAnswer:");
    }

    #[test]
    fn several_passages_are_numbered_with_one_blank_line_between() {
        let (a, b) = (passage("Oil", "Dear."), passage("", "Cheap."));
        let prompt = PromptTemplate::default().render(&question("Which?", &["yes", "no"]), &[&a, &b]);
        assert_eq!(prompt, "[1] Oil\nDear.\n\n[2] Cheap.\n\nQuestion: Which?\nOptions: yes, no\nAnswer:");
    }

    #[test]
    fn without_passages_no_blank_lines_are_left() {
        for (template, expected) in [
            (PromptTemplate::default(), "Question: Why?\nAnswer:"),
            (PromptTemplate::question_first(), "Question: Why?\n\nAnswer:"),
        ] {
            assert_eq!(template.render(&question("Why?", &[]), &[]), expected);
        }
    }

    #[test]
    fn the_question_may_stand_first() {
        let prompt = PromptTemplate::question_first().render(&question("Why?", &[]), &[&passage("Oil", "Dear.")]);
        assert_eq!(prompt, "Question: Why?\n\nOil\nDear.\n\nAnswer:");
    }

    #[test]
    fn a_title_on_the_line_of_the_text_does_not_take_the_text_away() {
        let template = PromptTemplate { passage: "{title}: {text}".to_owned(), ..PromptTemplate::default() };
        let prompt = template.render(&question("Why?", &[]), &[&passage("", "Dear.")]);
        assert!(prompt.starts_with(": Dear."), "{prompt}");
    }

    #[test]
    fn a_file_may_leave_fields_out() {
        let template =
            PromptTemplate::from_toml("free_form = '''{passages}\nQ: {question} {\"json\"} A:'''", "t.toml").unwrap();
        assert_eq!(template.closed_set, PromptTemplate::default().closed_set);
        let prompt = template.render(&question("Why?", &[]), &[&passage("", "Dear.")]);
        assert_eq!(prompt, "Dear.\nQ: Why? {\"json\"} A:");
    }

    #[test]
    fn errors_name_the_field_and_what_it_may_hold() {
        for (toml, expected) in [
            ("free_form = '{passage} {question}'", ["free_form", "{passage}", "{passages}, {question}"]),
            ("closed_set = '{question} {options}'", ["closed_set", "{passages}", "missing"]),
            ("passage = '{title}'", ["passage", "{text}", "missing"]),
            ("numbered = '[{n}] {text}'", ["numbered", "{text}", "{n}, {passage}"]),
            ("passage = '{text}'\nfreeform = 'x'", ["line 2", "freeform", "free_form"]),
            ("passage = 3", ["line 1", "passage", "string"]),
        ] {
            let error = PromptTemplate::from_toml(toml, "my.toml").unwrap_err().to_string();
            assert!(error.starts_with("my.toml: "), "{error}");
            for part in expected {
                assert!(error.contains(part), "{error} should hold {part}");
            }
        }
    }

    #[test]
    fn the_fingerprint_tells_wordings_apart() {
        let (first, second) = (PromptTemplate::default(), PromptTemplate::question_first());
        assert_ne!(first.fingerprint(), second.fingerprint());
        let moved = PromptTemplate { answer_prefix: String::new(), ..first.clone() };
        assert_ne!(first.fingerprint(), moved.fingerprint());
        let stored: PromptTemplate = toml::from_str(&toml::to_string(&first).unwrap()).unwrap();
        assert_eq!(stored.fingerprint(), first.fingerprint());
    }

    proptest! {
        #[test]
        fn what_is_filled_in_is_never_read_as_a_template(text in "[a-z{} ]{0,30}", asked in "(\\{passages\\}|\\{question\\}|[a-z{}]){1,6}") {
            let prompt = PromptTemplate::default().render(&question(&asked, &[]), &[&passage("", &text)]);
            prop_assert_eq!(prompt, format!("{}\n\nQuestion: {}\nAnswer:", text.trim(), asked));
        }
    }
}
