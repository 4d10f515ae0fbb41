//! Questions and answers as people write them by hand or export them from a table: one question a line, a separator,
//! its answers.
//!
//! ```text
//! Who rebuilt the old mill bridge?<TAB>Ada Holm<TAB>A. Holm
//! "Who, if anyone, rebuilt it?",Ada Holm
//! ```
//!
//! The first line says what separates: a tab, else a semicolon where there is no comma, else a comma. Fields may be quoted
//! as in CSV. A first line that names its columns (`question`, `answer`, …; `id`, `split`, `gold_ids`) is a header.

use std::io::BufRead;

use super::fields::fields;
use super::lines::Lines;
use super::qa::parse_split;
use crate::error::TextError;
use crate::hash::hash64;
use crate::types::Question;

const HINT: &str = "Write the question, a tab and the answer; more answers follow after further tabs";

/// Reads questions and answers, one question a line. `name` is the file's name, for messages.
///
/// A line that cannot be used is an error that names it; the lines after it can still be read. A question without an id
/// gets [`question_id`].
pub fn pairs<R: BufRead>(reader: R, name: &str) -> impl Iterator<Item = Result<Question, TextError>> + use<R> {
    let mut lines = Lines::new(reader, name);
    let mut table: Option<Table> = None;
    std::iter::from_fn(move || {
        loop {
            let (number, line) = match lines.next()? {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            let Some(table) = &table else {
                let separator = separator(&line);
                let header = fields(&line, separator).and_then(|names| Columns::of(&names));
                let is_header = header.is_some();
                let begun = table.insert(Table { separator, columns: header.unwrap_or_default() });
                if is_header {
                    continue;
                }
                return Some(begun.question(lines.name(), number, &line));
            };
            return Some(table.question(lines.name(), number, &line));
        }
    })
}

/// An id for a question that has none: the same for the same words on every platform and in every version.
pub fn question_id(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    format!("q{:012x}", hash64(words.join(" ").as_bytes(), 0) >> 16)
}

fn separator(first: &str) -> char {
    match (first.contains('\t'), first.contains(';'), first.contains(',')) {
        (true, ..) => '\t',
        (false, true, false) => ';',
        _ => ',',
    }
}

struct Table {
    separator: char,
    columns: Columns,
}

/// Positions of the columns; by default the question comes first and all after it are answers.
#[derive(Default)]
struct Columns {
    question: usize,
    /// None: all after the question.
    answers: Option<Vec<usize>>,
    id: Option<usize>,
    split: Option<usize>,
    gold: Option<usize>,
}

impl Columns {
    /// The columns that a header names; `None` when the line is none.
    fn of(names: &[String]) -> Option<Self> {
        let names: Vec<String> = names.iter().map(|name| name.trim().to_lowercase()).collect();
        let position = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
        let answers: Vec<usize> = (0..names.len()).filter(|&at| names[at].starts_with("answer")).collect();
        if answers.is_empty() {
            return None;
        }
        Some(Self {
            question: position(&["question", "questions", "query", "text"])?,
            answers: Some(answers),
            id: position(&["id", "_id"]),
            split: position(&["split"]),
            gold: position(&["gold_ids", "gold_id", "gold"]),
        })
    }
}

impl Table {
    fn question(&self, name: &str, number: u64, line: &str) -> Result<Question, TextError> {
        let fail = |reason: String, hint: &str| Err(TextError::line(name, number, reason, hint));
        let Some(fields) = self.fields(line) else {
            let hint = "Double the quotes inside a quoted field, and keep each question on one line";
            return fail("a quote is not closed".to_owned(), hint);
        };
        let columns = &self.columns;
        let field = |at: usize| fields.get(at).map(|field| field.trim()).filter(|field| !field.is_empty());
        let Some(text) = field(columns.question) else { return fail("no question".to_owned(), HINT) };
        let answers: Vec<String> = match &columns.answers {
            Some(positions) => positions.iter().filter_map(|&at| field(at)).map(str::to_owned).collect(),
            None => (columns.question + 1..fields.len()).filter_map(field).map(str::to_owned).collect(),
        };
        if answers.is_empty() {
            return fail(format!("{text:?} has no answer"), HINT);
        }
        let split = match columns.split.and_then(field).map(|split| (split, parse_split(split))) {
            Some((split, None)) => {
                return fail(format!("the unknown split {split:?}"), "Use train, dev or test, or leave it empty");
            }
            Some((_, split)) => split,
            None => None,
        };
        let gold = columns.gold.and_then(field).unwrap_or_default();
        Ok(Question {
            id: columns.id.and_then(field).map_or_else(|| question_id(text), str::to_owned),
            text: text.to_owned(),
            answers,
            gold_ids: gold.split([' ', '|']).filter(|id| !id.is_empty()).map(str::to_owned).collect(),
            split,
            ..Question::default()
        })
    }

    /// The fields of a line. A question that is not quoted may hold commas, as long as it ends with `?`.
    fn fields(&self, line: &str) -> Option<Vec<String>> {
        if self.separator == '\t' {
            // Nobody needs quotes there, so one that does not enclose the whole field stands for itself.
            return Some(line.split('\t').map(|field| unquoted(field.trim())).collect());
        }
        let end = format!("?{}", self.separator);
        if self.columns.question == 0
            && !line.trim_start().starts_with('"')
            && let Some(at) = line.find(&end)
        {
            let (question, rest) = (&line[..=at], line[at + end.len()..].trim_start());
            return Some(std::iter::once(question.to_owned()).chain(fields(rest, self.separator)?).collect());
        }
        fields(line, self.separator)
    }
}

/// The field without the quotes around it, as table programs write them.
fn unquoted(field: &str) -> String {
    let inner = field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner.map(|inner| inner.replace("\"\"", "\u{0}")) {
        Some(inner) if !inner.contains('"') => inner.replace('\u{0}', "\""),
        _ => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<Result<Question, TextError>> {
        pairs(text.as_bytes(), "mine.csv").collect()
    }

    fn plain(text: &str) -> Vec<(String, Vec<String>)> {
        read(text).into_iter().map(Result::unwrap).map(|question| (question.text, question.answers)).collect()
    }

    #[test]
    fn tabs_commas_and_semicolons_separate() {
        let expected = [("Who, then?".to_owned(), vec!["Ada Holm".to_owned(), "A. Holm".to_owned()])];
        for text in [
            "Who, then?\tAda Holm\tA. Holm\n",
            "\u{feff}Who, then?\tAda Holm\t\tA. Holm\r\n\r\n",
            "\"Who, then?\",Ada Holm,A. Holm",
            "Who, then?, \"Ada Holm\",\"A. Holm\"",
            "question,answer,answer 2\n\"Who, then?\",Ada Holm,A. Holm\n",
        ] {
            assert_eq!(plain(text), expected, "{text:?}");
        }
        assert_eq!(plain("Who?;Ada;Holm")[0].1, ["Ada", "Holm"]);
        assert_eq!(plain("\"Yes\" in French?\t\"oui\"")[0], ("\"Yes\" in French?".to_owned(), vec!["oui".to_owned()]));
        let quoted = plain("\"He said \"\"no\"\"?\",\"yes, once\"\n");
        assert_eq!(quoted, [("He said \"no\"?".to_owned(), vec!["yes, once".to_owned()])]);
    }

    #[test]
    fn the_first_line_decides_what_separates() {
        // Else the second question would lose its second half to its answers.
        let questions = plain("Who?\tAda\nWho rose, and why?\tthe price\n");
        assert_eq!(questions[1], ("Who rose, and why?".to_owned(), vec!["the price".to_owned()]));
        let missing = read("Who?\tAda\nWho rose, and why?\n").pop().unwrap().unwrap_err().to_string();
        assert!(missing.contains("mine.csv, line 2") && missing.contains("no answer"), "{missing}");
    }

    #[test]
    fn a_header_names_the_columns() {
        let question = read("id,split,question,answer,gold_ids,note\n7,dev,Who?,Ada,p1|p2,x\n").pop().unwrap().unwrap();
        assert_eq!((question.id.as_str(), question.text.as_str()), ("7", "Who?"));
        assert_eq!(
            (question.answers, question.gold_ids),
            (vec!["Ada".to_owned()], vec!["p1".to_owned(), "p2".to_owned()])
        );
        assert_eq!(question.split, Some(crate::Split::Dev));
    }

    #[test]
    fn unusable_lines_are_named_and_the_next_is_read() {
        let text = "Who?,Ada\n,Ada\nWhy?, \n\"Where?,there\nWhen?,1973\n";
        let results = read(text);
        assert_eq!(results.len(), 5);
        for (at, part) in [(1, "no question"), (2, "no answer"), (3, "quote")] {
            let error = results[at].as_ref().unwrap_err().to_string();
            assert!(error.contains(&format!("line {}", at + 1)) && error.contains(part), "{error}");
        }
        assert_eq!(results[4].as_ref().unwrap().answers, ["1973"]);
    }

    #[test]
    fn made_up_ids_depend_on_the_words_alone() {
        assert_eq!(question_id("Who  rebuilt it?"), question_id("who rebuilt it?"));
        assert_ne!(question_id("Who rebuilt it?"), question_id("Who built it?"));
        assert_eq!(question_id("x").len(), 13);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[a?,;\"\\t\\n é]{0,60}") {
            let _ = read(&text);
        }

        #[test]
        fn quoted_fields_come_back(question in "[a-z,;?\" ]{1,20}", answer in "[a-z,;\" ]{1,20}") {
            prop_assume!(!question.trim().is_empty() && !answer.trim().is_empty());
            let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let line = format!("{},{}", quote(&question), quote(&answer));
            prop_assume!(separator(&line) == ',');
            let read = plain(&line);
            prop_assert_eq!(&read[0], &(question.trim().to_owned(), vec![answer.trim().to_owned()]));
        }
    }
}
