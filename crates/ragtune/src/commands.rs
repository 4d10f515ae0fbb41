//! Arguments become a command of the engine.

use std::io::{IsTerminal, Read};

use anyhow::{Context, Result, bail};
use ragtune_engine::command::{self, Command, EncoderSource, Queries, QuestionSource, SearchSettings};
use ragtune_engine::questions;

use crate::args::questions::QuestionsSub;
use crate::args::runs::RunsSub;
use crate::args::{
    Arguments, Dtype, Encoder, Format, Ids, IndexSub, ModelsSub, OptionalEncoder, SampleSub, SearchMethod, Sub, Tune,
};

/// The command for the engine.
pub(crate) fn command(arguments: Arguments) -> Result<Command> {
    let Arguments { seed, device, command: sub, .. } = arguments;
    Ok(match sub {
        Sub::Demo(demo) => Command::Demo(command::Demo { out: demo.out, stages: demo.stages, seed, device }),
        Sub::Sample(SampleSub::Generate { passages, questions, out }) => {
            Command::GenerateSample(command::GenerateSample { passages, questions, out, seed })
        }
        Sub::Sample(SampleSub::Models { out }) => Command::WriteSampleModels(command::WriteSampleModels { out }),
        Sub::Index(index) => index_command(index, device),
        Sub::Search(search) => Command::Search(command::Search {
            index: search.index,
            encoder: search.encoder.into(),
            settings: settings(&search.method, search.k),
            queries: match (search.query, search.queries) {
                (Some(text), _) => Queries::Text(text),
                (None, Some(file)) => Queries::File(file),
                (None, None) => bail!("nothing to search for: give --query TEXT or --queries FILE"),
            },
            run_file: search.run,
            explain: search.explain,
            stream: false,
            device,
        }),
        Sub::Encode(encode) => Command::Encode(command::Encode {
            encoder: encode.encoder.into(),
            texts: encode.texts,
            role: encode.kind.into(),
            form: encode.form.map(Into::into),
            top_k: encode.top_k,
            device,
        }),
        Sub::Score(score) => Command::Score(command::Score {
            llm: score.llm,
            items: score.items,
            template: score.template.template,
            device,
        }),
        Sub::Generate(generate) => Command::Generate(command::Generate {
            llm: generate.llm,
            prompt: prompt(generate.prompt)?,
            chat: generate.chat,
            max_new_tokens: generate.max_new_tokens,
            temperature: generate.temperature,
            seed,
            device,
        }),
        Sub::Answer(answer) => Command::Answer(command::Answer {
            index: answer.index,
            encoder: answer.encoder.into(),
            llm: answer.llm,
            template: answer.template.template,
            query: answer.query,
            settings: settings(&answer.method, answer.docs),
            max_new_tokens: answer.max_new_tokens,
            device,
        }),
        Sub::Eval(eval) => Command::Evaluate(command::Evaluate {
            index: eval.index,
            encoder: eval.encoder.into(),
            llm: eval.llm,
            template: eval.template.template,
            questions: question_source(eval.questions, eval.ids),
            split: eval.split.split(),
            limit: eval.limit,
            settings: settings(&eval.method, 1),
            docs: eval.docs,
            details: eval.details,
            device,
        }),
        Sub::Questions(questions) => questions_command(questions, seed, device)?,
        Sub::Tune(tune) if tune.estimate => Command::EstimateTuning(Box::new(tune_command(tune, seed, device))),
        Sub::Tune(tune) => Command::Tune(Box::new(tune_command(tune, seed, device))),
        Sub::Runs(RunsSub::List { folder }) => Command::ListRuns(command::ListRuns { folder }),
        Sub::Runs(RunsSub::Show { run }) => Command::ReadRun(command::ReadRun { run }),
        Sub::Runs(RunsSub::Export { run, out }) => Command::ExportRun(command::ExportRun { run, out }),
        Sub::Models(ModelsSub::List { folder }) => Command::ListModels(command::ListModels { folder }),
        Sub::Models(ModelsSub::Pull { model, file, offline }) => {
            Command::PullModel(command::PullModel { model, file, offline })
        }
        Sub::Models(ModelsSub::Export { encoder, format, tower, out }) => {
            let format = match format {
                Format::HuggingFace => command::ExportFormat::HuggingFace,
                Format::SentenceTransformers => command::ExportFormat::SentenceTransformers,
            };
            let (encoder, tower) = (encoder.into(), tower.map(Into::into));
            Command::ExportModel(command::ExportModel { encoder, format, tower, out })
        }
        Sub::Models(ModelsSub::Import { model, dtype, out }) => {
            let numbers = dtype.map(|dtype| match dtype {
                Dtype::F32 => command::Numbers::F32,
                Dtype::F16 => command::Numbers::F16,
                Dtype::Bf16 => command::Numbers::Bf16,
            });
            Command::ImportModel(command::ImportModel { model, numbers, out })
        }
        Sub::Models(ModelsSub::Info { model }) => Command::ModelInfo(command::ModelPath { model, device }),
        Sub::Models(ModelsSub::Rm { model }) => Command::RemoveModel(command::RemoveModel { model }),
        Sub::Models(ModelsSub::Check { model, against, questions }) => {
            Command::CheckModel(command::CheckModel { model, against, questions, device })
        }
        Sub::Models(ModelsSub::Verify { model }) => Command::VerifyModel(command::ModelPath { model, device }),
        Sub::Devices { quick } => Command::Devices(command::TestDevices { measure: !quick }),
        Sub::Lend { listen, token } => Command::Lend(command::Lend { listen, token, device }),
        Sub::Bench(bench) => Command::Bench(command::Bench {
            encoder: bench.encoder,
            llm: bench.llm,
            peers: bench.peers,
            rounds: bench.rounds,
            texts: bench.texts,
            questions: bench.questions,
            tokens: bench.tokens,
            device,
        }),
        Sub::Inspect(inspect) => {
            let questions = inspect.question.into_iter().map(command::InspectText::Question);
            let texts: Vec<_> =
                questions.chain(inspect.passage.into_iter().map(command::InspectText::Stored)).collect();
            if texts.is_empty() {
                bail!("nothing to look at: give --question TEXT, or --index DIR with --passage ID");
            }
            let (encoder, index) = (inspect.encoder.into(), inspect.index);
            Command::Inspect(command::Inspect { encoder, index, texts, top: inspect.top, device })
        }
        Sub::Weigh(weigh) => Command::Weigh(command::Weigh {
            index: weigh.index,
            llm: weigh.llm,
            template: weigh.template.template,
            question: weigh.question,
            passages: weigh.passage,
            answer: weigh.answer,
            max_new_tokens: weigh.max_new_tokens,
            device,
        }),
        // These are no command of their own: `main` takes them before.
        Sub::Gui(_) | Sub::Replay(_) => bail!("this is more than one command, please report it"),
    })
}

fn index_command(index: IndexSub, device: ragtune_engine::DeviceChoice) -> Command {
    let rewrite = |from, add, tokenizer, remove, out| {
        Command::RewriteIndex(command::RewriteIndex { from, add, tokenizer, remove, out })
    };
    match index {
        IndexSub::Build(build) => Command::BuildIndex(command::BuildIndex {
            corpus: build.corpus,
            tokenizer: build.tokenizer,
            encoder: build.encoder.into(),
            parametric: build.parametric,
            memory: build.memory,
            out: build.out,
            device,
        }),
        IndexSub::Update(update) => Command::UpdateIndex(command::UpdateIndex {
            sources: update.corpus,
            tokenizer: update.tokenizer,
            encoder: update.encoder.into(),
            memory: update.memory,
            index: update.index,
        }),
        IndexSub::Passages(list) => Command::ListPassages(command::ListPassages {
            index: list.index,
            find: list.find,
            file: list.file,
            offset: list.offset,
            limit: list.limit,
        }),
        IndexSub::Info { index } => Command::IndexInfo(command::IndexPath { index }),
        IndexSub::Verify { index } => Command::VerifyIndex(command::IndexPath { index }),
        IndexSub::Add { index, corpus, tokenizer, out } => {
            let out = out.unwrap_or_else(|| index.clone());
            rewrite(vec![index], corpus, Some(tokenizer), Vec::new(), out)
        }
        IndexSub::Remove { index, id, out } => {
            let out = out.unwrap_or_else(|| index.clone());
            rewrite(vec![index], Vec::new(), None, id, out)
        }
        IndexSub::Merge { indexes, out } => rewrite(indexes, Vec::new(), None, Vec::new(), out),
        IndexSub::Export { index, out } => Command::ExportIndex(command::ExportIndex { index, out }),
    }
}

fn questions_command(sub: QuestionsSub, seed: u64, device: ragtune_engine::DeviceChoice) -> Result<Command> {
    Ok(match sub {
        QuestionsSub::Check(check) => {
            let text = (check.questions.as_os_str() == "-").then(|| piped("the questions")).transpose()?;
            let path = if text.is_some() { std::path::PathBuf::new() } else { check.questions };
            let questions = question_source(path, check.ids);
            Command::CheckQuestions(command::CheckQuestions { questions, index: check.index, text })
        }
        QuestionsSub::Write { questions, out } => {
            let questions = match questions.as_os_str() == "-" {
                true => questions::parse(&piped("the questions")?, "standard input")?,
                false => questions::Questions::open(&questions, &questions::IdMapping::default())?.questions,
            };
            Command::WriteQuestions(command::WriteQuestions { questions, out })
        }
        QuestionsSub::Draft(draft) => Command::DraftQuestions(command::DraftQuestions {
            index: draft.index,
            llm: draft.llm,
            template: draft.template.template,
            count: draft.count,
            out: draft.out,
            seed,
            device,
        }),
    })
}

fn tune_command(tune: Tune, seed: u64, device: ragtune_engine::DeviceChoice) -> command::Tune {
    let head = tune.head;
    command::Tune {
        corpus: tune.corpus,
        index: tune.index,
        questions: tune.questions.map(|path| question_source(path, tune.ids)),
        encoder: tune.encoder.map(|folder| EncoderSource { folder, head: head.map(Into::into) }),
        llm: tune.llm,
        template: tune.template.template,
        supervision: tune.supervision.map(Into::into),
        stages: Some(tune.stages.into_iter().map(Into::into).collect::<Vec<_>>()).filter(|stages| !stages.is_empty()),
        config: tune.config,
        settings: None,
        out: tune.out,
        resume: tune.resume,
        seed,
        device,
        helpers: tune.helper,
    }
}

fn settings(method: &SearchMethod, k: usize) -> SearchSettings {
    SearchSettings {
        mode: method.mode.into(),
        first_stage: method.first_stage.into(),
        m: method.m,
        k,
        ..SearchSettings::default()
    }
}

fn question_source(path: std::path::PathBuf, ids: Ids) -> QuestionSource {
    QuestionSource { path, id_prefix: ids.id_prefix, aliases: ids.aliases }
}

/// A prompt of `-` is read from standard input.
fn prompt(text: String) -> Result<String> {
    if text != "-" {
        return Ok(text);
    }
    piped("the prompt")
}

/// All of standard input, which must not be a terminal: nobody would know that the program waits for a text.
fn piped(what: &str) -> Result<String> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        bail!("- reads {what} from standard input: pipe a text in");
    }
    let mut text = String::new();
    stdin.read_to_string(&mut text).with_context(|| format!("{what} on standard input cannot be read"))?;
    Ok(text)
}

impl From<Encoder> for EncoderSource {
    fn from(encoder: Encoder) -> Self {
        Self { folder: encoder.encoder, head: encoder.head.map(Into::into) }
    }
}

impl From<OptionalEncoder> for Option<EncoderSource> {
    fn from(encoder: OptionalEncoder) -> Self {
        let head = encoder.head.map(Into::into);
        encoder.encoder.map(|folder| EncoderSource { folder, head })
    }
}
