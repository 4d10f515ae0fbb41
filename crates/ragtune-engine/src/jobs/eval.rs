//! Figures over questions: the answers given with the retrieved passages, and the retrieval itself.

use std::collections::BTreeMap;
use std::path::Path;

use ragtune_eval::ir::{CUTOFFS, Judgements, score_query};
use ragtune_eval::rag::{Generation, Metrics, PerQuestion, aggregate};
use ragtune_eval::run::Retrieved;
use ragtune_rag::{Judge, JudgeItem, Retriever, SearchMode, SearchSettings, encoder_fingerprint};
use ragtune_text::answers::{AnswerMatcher, MatchMode, exact_match, f1};
use ragtune_text::{Hit, Passage, Question, TaskKind};

use crate::command::{Evaluate, QuestionSource};
use crate::event::{EvaluationReport, Report};
use crate::jobs::open_index;
use crate::jobs::search::{check_fit, search_all};
use crate::models::{open_encoder, open_lm, open_template};
use crate::questions::{IdMapping, Questions, aliases_at};
use crate::session::JobContext;
use crate::{EngineError, Result};

/// `eval`
pub(super) fn run(evaluate: &Evaluate, context: &mut JobContext<'_>) -> Result<()> {
    if evaluate.docs.is_empty() || evaluate.docs.contains(&0) {
        return Err(EngineError::input("--docs: write the numbers of documents in context, from 1, as in 1,10"));
    }
    let template = open_template(evaluate.template.as_deref())?;
    let index = open_index(&evaluate.index)?;
    let questions = open_questions(&evaluate.questions, &evaluate.index)?;
    let mut chosen = questions.of(evaluate.split)?;
    chosen.truncate(evaluate.limit.unwrap_or(usize::MAX));
    questions.check_ids(&index, &chosen)?;
    let device = super::device(&evaluate.device, context)?;
    let encoder = open_encoder(&evaluate.encoder, &device)?;
    let lm = evaluate.llm.as_deref().map(|path| open_lm(path, &device)).transpose()?;
    let retriever = Retriever::new(&index, &encoder)?;
    check_fit(&retriever, &|| encoder_fingerprint(&encoder), &evaluate.settings, context)?;
    let judge = lm.as_ref().map(|lm| Judge::new(lm, &template));
    let start = context.seconds();
    let chosen: Vec<Question> = chosen.into_iter().cloned().collect();
    let judged = |id: &str| questions.judgements(id);
    let evaluation =
        self::evaluate(&retriever, judge.as_ref(), &chosen, &judged, &evaluate.docs, &evaluate.settings, context)?;
    context.report(Report::Evaluated(EvaluationReport {
        metrics: evaluation.metrics,
        per_question: evaluate.details.then_some(evaluation.per_question),
        dropped: evaluation.dropped,
        seconds: context.seconds() - start,
    }));
    Ok(())
}

/// Opens questions for an index: its own list of duplicates, then the given one, tell which ids the corpus kept.
pub fn open_questions(source: &QuestionSource, index: &Path) -> Result<Questions> {
    let mut aliases = aliases_at(index)?;
    if let Some(path) = &source.aliases {
        aliases.extend(crate::corpus::read_aliases(path)?);
    }
    Questions::open(&source.path, &IdMapping { prefix: source.id_prefix.clone(), aliases })
}

/// An evaluation.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The figures over all questions.
    pub metrics: Metrics,
    /// Every question, in order.
    pub per_question: Vec<PerQuestion>,
    /// Prompts from which passages were dropped because the context was full, by number of documents.
    pub dropped: BTreeMap<usize, usize>,
}

/// Searches for every question and, with a judge, lets its language model answer with each number of documents.
///
/// The search goes as deep as the cut-offs of recall need and the mode allows; `settings.k` is not used. `judgements`
/// gives those of a question.
pub fn evaluate<'q>(
    retriever: &Retriever<'_>,
    judge: Option<&Judge<'_>>,
    questions: &'q [Question],
    judgements: &dyn Fn(&str) -> Option<&'q Judgements>,
    docs: &[usize],
    settings: &SearchSettings,
    context: &mut JobContext<'_>,
) -> Result<Evaluation> {
    let settings = deep(settings, docs);
    let found = search_all(retriever, questions, &settings, context)?;
    let mut per_question = Vec::with_capacity(questions.len());
    for (question, hits) in questions.iter().zip(&found) {
        per_question.push(retrieved(retriever, question, hits, judgements(&question.id), settings.k)?);
    }
    let mut dropped = BTreeMap::new();
    for &n in docs.iter().filter(|_| judge.is_some()) {
        let Some(judge) = judge else { continue };
        let count = answer_all(retriever, judge, questions, &found, n, &mut per_question, context)?;
        dropped.insert(n, count);
    }
    let mut metrics = aggregate(&per_question, docs, &CUTOFFS);
    // "yes" in a passage says nothing about a closed-set question.
    let free = questions.iter().zip(&per_question).filter(|(question, _)| question.kind() == TaskKind::FreeForm);
    let free: Vec<PerQuestion> = free.map(|(_, figures)| figures.clone()).collect();
    metrics.answer_recall = aggregate(&free, &[], &CUTOFFS).answer_recall;
    Ok(Evaluation { metrics, per_question, dropped })
}

/// As many passages as the figures need; a re-ranking gives no more than its first stage does.
fn deep(settings: &SearchSettings, docs: &[usize]) -> SearchSettings {
    let wanted = CUTOFFS.iter().chain(docs).copied().max().unwrap_or(10);
    let mut settings = settings.clone();
    settings.k = match settings.mode {
        SearchMode::Late => wanted.min(settings.m),
        _ => wanted,
    };
    settings
}

fn retrieved(
    retriever: &Retriever<'_>,
    question: &Question,
    hits: &[Hit],
    judgements: Option<&Judgements>,
    depth: usize,
) -> Result<PerQuestion> {
    let matcher = AnswerMatcher::new(&question.answers, MatchMode::Normalised);
    let open = question.kind() == TaskKind::FreeForm && !question.answers.is_empty();
    let (mut ranked, mut answer_rank) = (Vec::with_capacity(hits.len()), None);
    for (at, hit) in hits.iter().enumerate() {
        if open && answer_rank.is_none() {
            let passage = retriever.index().passage(hit.ordinal)?;
            // The text alone, as DPR counts it: a title is often the answer to what it does not say.
            if matcher.is_in(&passage.text) {
                answer_rank = Some(at + 1);
            }
        }
        ranked.push(Retrieved { id: retriever.index().passage_id(hit.ordinal)?.to_owned(), score: hit.score });
    }
    Ok(PerQuestion {
        id: question.id.clone(),
        question: question.text.clone(),
        answers: question.answers.clone(),
        ir: judgements.map(|judged| score_query(&ranked, judged, &CUTOFFS)),
        passages: ranked.into_iter().map(|passage| passage.id).collect(),
        generations: BTreeMap::new(),
        depth,
        answer_rank,
    })
}

/// Answers of all questions with `n` documents in context; gives the number of prompts that lost passages.
fn answer_all(
    retriever: &Retriever<'_>,
    judge: &Judge<'_>,
    questions: &[Question],
    found: &[Vec<Hit>],
    n: usize,
    per_question: &mut [PerQuestion],
    context: &mut JobContext<'_>,
) -> Result<usize> {
    let answerable: Vec<usize> = (0..questions.len()).filter(|&at| !questions[at].answers.is_empty()).collect();
    let mut passages: Vec<Vec<Passage>> = Vec::with_capacity(answerable.len());
    for &at in &answerable {
        let best = found[at].iter().take(n);
        passages.push(best.map(|hit| retriever.index().passage(hit.ordinal)).collect::<std::result::Result<_, _>>()?);
    }
    let borrowed: Vec<Vec<&Passage>> = passages.iter().map(|all| all.iter().collect()).collect();
    let items: Vec<JudgeItem<'_>> = answerable
        .iter()
        .zip(&borrowed)
        .map(|(&at, passages)| JudgeItem { question: &questions[at], passages })
        .collect();
    let label = format!("answering with {n} {}", if n == 1 { "document" } else { "documents" });
    context.begin(&label, "questions", Some(items.len() as u64));
    let judgements = judge.batch(&items, &mut |done| {
        context.advance(done as u64);
        !context.cancelled()
    })?;
    for (&at, judgement) in answerable.iter().zip(&judgements) {
        let (question, text) = (&questions[at], judgement.generated.clone());
        let (em, f1) = (exact_match(&text, &question.answers), f1(&text, &question.answers));
        per_question[at].generations.insert(n, Generation { text, correct: judgement.label, em, f1 });
    }
    Ok(judgements.iter().filter(|judgement| judgement.dropped_passages > 0 || judgement.cut).count())
}
