//! What the shipped models reach on entities that trained none of them, written beside the weights.

use std::fmt::Write as _;

use anyhow::Result;
use burn::tensor::Device;
use ragtune_model::{CausalLm, Encoder};
use ragtune_rag::{Judge, JudgeItem, PromptTemplate};
use ragtune_sample::{Fact, Population, Register, World, WorldConfig};
use ragtune_text::answers::exact_match;
use ragtune_text::{Passage, Question};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{Options, SEED};

const PASSAGES: u64 = 1500;
const QUESTIONS: usize = 400;

/// How the stored reader came about.
const ORIGIN: &str = "\
The stored reader comes from five runs of the recipe: 5,000 of 9,000 steps from scratch, 6,000 more with `cargo xtask
train-sample reader --start DIR --steps 12000 --progress 0.5`, 2,000 with `--steps 16000 --progress 0.875`, 900 with
`--steps 20000 --progress 0.905`, and 500 with `--steps 30000 --progress 0.9`, whose weights are averaged, at 0.2 to 0.35
seconds each on two quiet CPU cores. The stored encoder comes from one run of 800 steps (dev hit@1 .920 with gold
supervision).";

/// Share of exact answers, by kind of question.
#[derive(Default, Clone, Copy)]
struct Share {
    right: usize,
    asked: usize,
}

impl Share {
    fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.asked += 1;
    }

    fn text(self) -> String {
        if self.asked == 0 { "-".to_owned() } else { format!("{:.3}", self.right as f64 / self.asked as f64) }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let device = Device::flex();
    let reader = match &options.start {
        // One that does not ship yet; its tokenizer lies beside it.
        Some(start) => CausalLm::load(&ragtune_engine::directory::Folder::open(start)?, &device)?,
        None => CausalLm::load(&ragtune_sample::models::reader()?, &device)?,
    };
    let encoder = Encoder::load(&ragtune_sample::models::encoder()?, &device, None)?;
    let template = PromptTemplate::default();
    let judge = Judge::new(&reader, &template);
    let population = Population::TuningAndTest;
    let world = World::new(WorldConfig { seed: SEED + 77, passages: PASSAGES, questions: 600, population })?;
    let passages: Vec<_> = world.passages_with_meta().collect();
    let mut rng = Pcg64Mcg::seed_from_u64(SEED + 78);
    let questions: Vec<(Question, Fact)> = world.questions_with_facts().take(QUESTIONS).collect();

    let mut rows = String::new();
    let mut measure = |name: &str, contexts: Vec<Option<Vec<&Passage>>>| -> Result<()> {
        let asked: Vec<(&Question, &Vec<&Passage>)> =
            questions.iter().zip(&contexts).filter_map(|((q, _), c)| Some((q, c.as_ref()?))).collect();
        let items: Vec<JudgeItem<'_>> =
            asked.iter().map(|(question, passages)| JudgeItem { question, passages }).collect();
        let mut shares = [Share::default(); 4];
        for ((question, _), judgement) in asked.iter().zip(judge.batch(&items, &mut |_| true)?) {
            let right = exact_match(&judgement.generated, &question.answers);
            let kind = match question.choices.len() {
                0 => 0,
                2 => 1,
                _ => 2,
            };
            shares[kind].add(right);
            shares[3].add(right);
        }
        let [free, yes_no, one_of_four, all] = shares.map(Share::text);
        writeln!(rows, "| {name} | {free} | {yes_no} | {one_of_four} | {all} |")?;
        Ok(())
    };
    let states = |fact: &Fact, register: Register| {
        passages.iter().find(|(_, meta)| meta.register == register && meta.facts.contains(fact)).map(|(p, _)| p)
    };
    let about = |fact: &Fact, register: Register| {
        passages.iter().find(|(_, meta)| meta.register == register && meta.entity == Some(fact.entity)).map(|(p, _)| p)
    };
    measure("none", questions.iter().map(|_| Some(Vec::new())).collect())?;
    measure("one usable passage", questions.iter().map(|(_, f)| Some(vec![states(f, Register::Plain)?])).collect())?;
    let with_others = |total: usize, rng: &mut Pcg64Mcg| -> Vec<Option<Vec<&Passage>>> {
        questions
            .iter()
            .map(|(_, fact)| {
                let usable = states(fact, Register::Plain)?;
                let mut context: Vec<&Passage> = Vec::new();
                while context.len() + 1 < total {
                    let (other, meta) = passages.choose(rng)?;
                    if meta.entity != Some(fact.entity) && !meta.facts.contains(fact) {
                        context.push(other);
                    }
                }
                context.insert(rng.random_range(0..=context.len()), usable);
                Some(context)
            })
            .collect()
    };
    let (three, ten) = (with_others(3, &mut rng), with_others(10, &mut rng));
    measure("three documents, one of them usable", three)?;
    measure("ten documents, one of them usable", ten)?;
    for (name, register) in [("a table", Register::Table), ("a correction", Register::Correction)] {
        let name = format!("{name} that states the answer");
        measure(&name, questions.iter().map(|(_, f)| Some(vec![states(f, register)?])).collect())?;
    }
    for (name, register) in
        [("a rumour", Register::Rumour), ("an outdated note", Register::Outdated), ("an overview", Register::Overview)]
    {
        measure(name, questions.iter().map(|(_, f)| Some(vec![about(f, register)?])).collect())?;
    }

    let text = format!(
        "# The models of the sample world\n\n\
         Made by `cargo xtask train-sample` from seeds, on worlds whose entities share no name with those that tuning and\n\
         testing use. `tokenizer.json` serves both; weights are stored as F16.\n\n{ORIGIN}\n\n\
         | model | architecture | parameters |\n|---|---|---|\n\
         | `reader/` | Llama, {} layers of {} | {} |\n\
         | `encoder/` | BERT with the SiDR head, {} layers of {}, {} lexical dimensions | {} |\n\n\
         Share of exact answers of the reader over {} questions about held-out entities, by what stands in its context:\n\n\
         | context | free-form | yes/no | one of four | all |\n|---|---|---|---|---|\n{rows}",
        reader.decoder.config.num_hidden_layers,
        reader.decoder.config.hidden_size,
        reader.weights.parameters(),
        encoder.question.bert.config.num_hidden_layers,
        encoder.question.bert.config.hidden_size,
        encoder.vocab.len(),
        encoder.question.weights.parameters(),
        questions.len(),
    );
    eprintln!("{text}");
    std::fs::write(options.out.join("README.md"), text)?;
    Ok(())
}
