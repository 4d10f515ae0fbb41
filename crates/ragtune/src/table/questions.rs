//! Questions as people read them.

use ragtune_engine::event::{DraftedQuestion, QuestionsReport};

use super::{columns, facts, preview};
use crate::progress::count;

/// Problems that are shown; a file of another kind has as many as lines.
const PROBLEMS: usize = 30;

/// Counts, and what is wrong on which line.
pub(super) fn checked(report: &QuestionsReport) -> String {
    let number = |n: usize| count(n as u64);
    let mut text = facts(&[
        ("questions", report.name.clone()),
        ("good", number(report.questions.len())),
        ("train", number(report.train)),
        ("dev", number(report.dev)),
        ("test", number(report.test)),
        ("left out", number(report.problems.iter().filter(|problem| problem.fatal && problem.line.is_some()).count())),
    ]);
    if !report.problems.is_empty() {
        let mut rows = vec![["line", "", ""].map(str::to_owned).to_vec()];
        for problem in report.problems.iter().take(PROBLEMS) {
            let line = problem.line.map_or_else(|| "-".to_owned(), count);
            let kind = if problem.fatal { "error" } else { "warning" };
            rows.push(vec![line, kind.to_owned(), problem.reason.clone()]);
        }
        text += &format!("\n\n{}", columns(&rows, &[0]));
        if report.problems.len() > PROBLEMS {
            text += &format!("\nand {} more; --json shows all", number(report.problems.len() - PROBLEMS));
        }
    }
    text
}

/// Every draft with its passage and what speaks against it.
pub(super) fn drafted(drafts: &[DraftedQuestion]) -> String {
    let mut text = String::new();
    for draft in drafts {
        let question = &draft.question;
        let shown = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        text += &format!(
            "{}  {}\n  answer: {}\n  passage {}: {}\n",
            question.id,
            shown(&question.text),
            shown(&question.answers.join(" | ")),
            question.gold_ids.join(", "),
            preview(&draft.passage)
        );
        if let Some(doubt) = &draft.doubt {
            text += &format!("  doubt: {doubt}\n");
        }
        text.push('\n');
    }
    let good = drafts.iter().filter(|draft| draft.doubt.is_none()).count();
    text + &format!("{good} of {} drafts without a doubt; read them before you use them", drafts.len())
}

#[cfg(test)]
mod tests {
    use ragtune_engine::event::QuestionProblem;

    use super::*;

    #[test]
    fn a_long_list_of_problems_is_cut_and_says_so() {
        let problem = |line| QuestionProblem { line: Some(line), reason: "no answer".to_owned(), fatal: true };
        let report = QuestionsReport { problems: (1..=100).map(problem).collect(), ..QuestionsReport::default() };
        let text = checked(&report);
        assert!(text.contains("30  error  no answer") && text.contains("and 70 more"), "{text}");
        assert!(text.contains("left out   100"), "{text}");
    }
}
