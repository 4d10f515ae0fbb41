//! Relevance judgements.

use std::collections::BTreeMap;

/// Judged passages of each question, with their grade: above 0 is relevant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Qrels(pub BTreeMap<String, BTreeMap<String, i32>>);

impl Qrels {
    /// The judged passages of a question with their grades; `None` when nothing is judged.
    pub fn get(&self, question: &str) -> Option<&BTreeMap<String, i32>> {
        self.0.get(question)
    }

    /// The grade of a passage for a question, 0 when it is not judged.
    pub fn grade(&self, question: &str, passage: &str) -> i32 {
        self.get(question).and_then(|judged| judged.get(passage)).copied().unwrap_or(0)
    }

    /// The relevant passages of a question (grade above 0), in order of id.
    pub fn relevant(&self, question: &str) -> impl Iterator<Item = &str> + '_ {
        self.get(question).into_iter().flatten().filter(|(_, grade)| **grade > 0).map(|(id, _)| id.as_str())
    }

    /// Sets a grade; gives the one that it replaces.
    pub fn insert(&mut self, question: &str, passage: &str, grade: i32) -> Option<i32> {
        self.0.entry(question.to_owned()).or_default().insert(passage.to_owned(), grade)
    }

    /// Questions with judgements, in order of id.
    pub fn questions(&self) -> impl Iterator<Item = &str> + '_ {
        self.0.keys().map(String::as_str)
    }

    /// Number of judgements.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// True when nothing is judged.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
