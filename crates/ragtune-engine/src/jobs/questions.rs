//! Questions files: looking through, writing, drafting.

use crate::fs;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ragtune_index::Index;
use ragtune_rag::Judge;
use ragtune_text::answers::normalise;
use ragtune_text::formats::beir;
use ragtune_text::formats::pairs::question_id;
use ragtune_text::split::assign_splits;
use ragtune_text::{Passage, Question};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

use crate::command::{CheckQuestions, DraftQuestions, WriteQuestions};
use crate::directory::write_file;
use crate::event::{DraftedQuestion, EventKind, QuestionsReport, Report};
use crate::jobs::open_index;
use crate::models::{open_lm, open_template};
use crate::questions::{IdMapping, SPLIT_SEED, aliases_at, check};
use crate::session::JobContext;
use crate::{EngineError, Result};

/// Words that a passage must have to be asked about.
const FEWEST_WORDS: usize = 8;

/// `questions check`
pub(super) fn check(check: &CheckQuestions, context: &mut JobContext<'_>) -> Result<()> {
    let index = check.index.as_deref().map(open_index).transpose()?;
    let mut aliases = check.index.as_deref().map(aliases_at).transpose()?.unwrap_or_default();
    if let Some(path) = &check.questions.aliases {
        aliases.extend(crate::corpus::read_aliases(path)?);
    }
    let mapping = IdMapping { prefix: check.questions.id_prefix.clone(), aliases };
    let path = &check.questions.path;
    let report = match &check.text {
        Some(text) => check::text(text, &path.display().to_string(), &mapping, index.as_ref())?,
        None => check::file(path, &mapping, index.as_ref())?,
    };
    context.report(Report::Questions(report));
    Ok(())
}

/// `questions write`
pub(super) fn write(write: &WriteQuestions, context: &mut JobContext<'_>) -> Result<()> {
    let questions = complete(&write.questions)?;
    let out = save(&write.out, &questions, context)?;
    context.report(Report::Questions(written(&out, questions)));
    Ok(())
}

/// The questions with an id each; refuses what no one could read back, with its row.
fn complete(questions: &[Question]) -> Result<Vec<Question>> {
    if questions.is_empty() {
        return Err(EngineError::input("there are no questions to write"));
    }
    let mut rows: HashMap<String, usize> = HashMap::new();
    for (at, question) in questions.iter().enumerate() {
        let row = at + 1;
        let refuse = |reason: &str| Err(EngineError::input(format!("question {row}: {reason}")));
        if question.text.trim().is_empty() {
            return refuse("it has no text. Write the question, or leave the row out");
        }
        if question.answers.iter().all(|answer| answer.trim().is_empty()) {
            return refuse("it has no answer. Write at least one, or leave the question out");
        }
        let right = |choice: &String| question.answers.contains(choice);
        if !question.choices.is_empty() && !question.choices.iter().any(right) {
            return refuse("none of its answers is one of its choices. Write the right choice as the answer");
        }
        if !question.id.trim().is_empty()
            && let Some(first) = rows.insert(question.id.clone(), row)
        {
            return refuse(&format!("its id {:?} is that of question {first} too. Give it another", question.id));
        }
    }
    let mut complete = Vec::with_capacity(questions.len());
    for question in questions {
        let mut question = question.clone();
        question.answers.retain(|answer| !answer.trim().is_empty());
        if question.id.trim().is_empty() {
            question.id = free_id(&question.text, &rows);
            rows.insert(question.id.clone(), 0);
        }
        complete.push(question);
    }
    Ok(complete)
}

/// An id that is the same whenever the same questions are written, and not taken yet.
fn free_id(text: &str, taken: &HashMap<String, usize>) -> String {
    let id = question_id(text);
    let numbered = (2..).map(|n: usize| format!("{id}-{n}"));
    std::iter::once(id.clone()).chain(numbered).find(|id| !taken.contains_key(id)).unwrap_or(id)
}

/// Writes a `qa.jsonl` in one step. A file that holds more than that is kept under another name.
fn save(out: &Path, questions: &[Question], context: &mut JobContext<'_>) -> Result<PathBuf> {
    let out = if fs::is_dir(out) { out.join("qa.jsonl") } else { out.to_owned() };
    if out.extension().is_some_and(|extension| extension == "gz") {
        return Err(EngineError::input(format!("{}: questions are written unpacked; leave .gz out", out.display())));
    }
    let mut bytes = Vec::new();
    for question in questions {
        serde_json::to_writer(&mut bytes, question)
            .map_err(|error| EngineError::Failed(format!("a question cannot be written: {error}")))?;
        bytes.push(b'\n');
    }
    if fs::exists(&out) && fs::metadata(&out).is_ok_and(|file| file.len() > 0) && !is_ours(&out) {
        let kept = keep(&out)?;
        context.warn(format!(
            "{}: there is more in this file than questions that could be read; it is kept as {}",
            out.display(),
            kept.display()
        ));
    }
    write_file(&out, &mut |file| file.write_all(&bytes)).map_err(|source| EngineError::io(&out, source))?;
    Ok(out)
}

/// Whether a file is a `qa.jsonl` of which every line and every field is understood: then rewriting it loses nothing
/// that its writer has not seen.
fn is_ours(path: &Path) -> bool {
    const FIELDS: [&str; 9] = ["id", "_id", "question", "text", "answers", "choices", "label", "gold_ids", "split"];
    let Ok(text) = fs::read_to_string(path) else { return false };
    let known = |line: &str| {
        let line = line.trim_start_matches('\u{feff}').trim();
        let fields = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line);
        line.is_empty() || fields.is_ok_and(|fields| fields.keys().all(|field| FIELDS.contains(&field.as_str())))
    };
    text.lines().all(known) && beir::qa(text.as_bytes(), "").all(|question| question.is_ok())
}

/// Copies a file to the first free of `NAME.bak`, `NAME.bak2`, ….
fn keep(path: &Path) -> Result<PathBuf> {
    let name = |n: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(if n == 1 { ".bak".to_owned() } else { format!(".bak{n}") });
        PathBuf::from(name)
    };
    let free = (1..).map(name).find(|path| !fs::exists(path)).unwrap_or_else(|| name(1));
    fs::copy(path, &free).map_err(|source| EngineError::io(&free, source))?;
    Ok(free)
}

fn written(out: &Path, questions: Vec<Question>) -> QuestionsReport {
    let splits = assign_splits(&questions, SPLIT_SEED);
    let split = |(question, split)| Question { split: Some(split), ..question };
    QuestionsReport {
        name: out.display().to_string(),
        questions: questions.into_iter().zip(splits).map(split).collect(),
        ..QuestionsReport::default()
    }
    .counted()
}

/// `questions draft`
pub(super) fn draft(draft: &DraftQuestions, context: &mut JobContext<'_>) -> Result<()> {
    if draft.count == 0 {
        return Err(EngineError::input("give the number of drafts, at least 1"));
    }
    let template = open_template(draft.template.as_deref())?;
    let index = open_index(&draft.index)?;
    let device = super::device(&draft.device, context)?;
    let lm = open_lm(&draft.llm, &device)?;
    let judge = Judge::new(&lm, &template);
    let passages = choose(&index, draft.count, draft.seed)?;
    if passages.len() < draft.count {
        context.warn(format!(
            "{} drafts instead of {}: the index has no more passages of {FEWEST_WORDS} words",
            passages.len(),
            draft.count
        ));
    }
    context.begin("drafting questions", "drafts", Some(passages.len() as u64));
    let mut drafts: Vec<DraftedQuestion> = Vec::with_capacity(passages.len());
    let mut ids: HashMap<String, usize> = HashMap::new();
    let mut asked: HashMap<String, String> = HashMap::new();
    for (at, passage) in passages.into_iter().enumerate() {
        context.check()?;
        let worded = ragtune_rag::draft(&judge, &passage, &mut || !context.cancelled())?;
        let mut doubt = worded.doubt.map(|doubt| doubt.to_string());
        let id = if worded.question.is_empty() {
            free_id(&format!("passage {}", passage.id), &ids)
        } else {
            free_id(&worded.question, &ids)
        };
        ids.insert(id.clone(), at);
        if !worded.question.is_empty()
            && let Some(first) = asked.insert(normalise(&worded.question), id.clone())
        {
            doubt.get_or_insert_with(|| format!("the same question as {first}"));
        }
        let drafted = DraftedQuestion {
            question: Question {
                id,
                text: worded.question,
                answers: Some(worded.answer).filter(|answer| !answer.is_empty()).into_iter().collect(),
                gold_ids: vec![passage.id],
                ..Question::default()
            },
            passage: passage.text,
            doubt,
        };
        context.emit(EventKind::Draft(Box::new(drafted.clone())));
        drafts.push(drafted);
        context.advance(at as u64 + 1);
    }
    let good: Vec<Question> =
        drafts.iter().filter(|draft| draft.doubt.is_none()).map(|draft| draft.question.clone()).collect();
    if good.is_empty() {
        context.warn(format!(
            "something speaks against every one of the {} drafts: this language model does not word questions that can be used. Take a larger or an instructed one, or write the questions by hand",
            drafts.len()
        ));
    }
    if let Some(out) = draft.out.as_ref().filter(|_| !good.is_empty()) {
        save(out, &good, context)?;
    }
    context.report(Report::Drafted(drafts));
    Ok(())
}

/// Passages to ask about, each once, drawn from all that are long enough: a shuffle that is not carried to its end.
fn choose(index: &Index, count: usize, seed: u64) -> Result<Vec<Passage>> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut ordinals: Vec<u32> = (0..index.len()).collect();
    let mut chosen = Vec::with_capacity(count.min(ordinals.len()));
    while chosen.len() < count && !ordinals.is_empty() {
        let at = (rng.next_u64() % ordinals.len() as u64) as usize;
        let passage = index.passage(ordinals.swap_remove(at))?;
        if passage.text.split_whitespace().count() >= FEWEST_WORDS {
            chosen.push(passage);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(id: &str, text: &str, answers: &[&str]) -> Question {
        let answers = answers.iter().map(|&answer| answer.to_owned()).collect();
        Question { id: id.to_owned(), text: text.to_owned(), answers, ..Question::default() }
    }

    #[test]
    fn ids_are_made_up_once_and_for_all() {
        let questions = [
            question("", "Who?", &["Ada", " "]),
            question("", "who?", &["Ada"]),
            question("mine", "Why?", &["tea"]),
            question(" ", "Who?", &["Bell"]),
        ];
        let complete = complete(&questions).unwrap();
        let ids: Vec<&str> = complete.iter().map(|question| question.id.as_str()).collect();
        let id = question_id("Who?");
        assert_eq!(ids, [id.clone(), format!("{id}-2"), "mine".to_owned(), format!("{id}-3")]);
        assert_eq!(complete[0].answers, ["Ada"]);
        assert_eq!(super::complete(&complete).unwrap(), complete, "written again, nothing changes");
    }

    #[test]
    fn a_question_that_no_one_could_read_back_is_refused_with_its_row() {
        let good = question("a", "Who?", &["Ada"]);
        let mut closed = question("b", "Which?", &["red"]);
        closed.choices = vec!["green".to_owned()];
        for (bad, part) in [
            (question("b", " ", &["x"]), "no text"),
            (question("b", "Why?", &[""]), "no answer"),
            (closed, "choices"),
            (question("a", "Why?", &["x"]), "question 1 too"),
        ] {
            let error = complete(&[good.clone(), bad]).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains("question 2"), "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(complete(&[]).is_err());
    }
}
