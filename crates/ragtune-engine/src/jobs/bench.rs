//! How fast a device is at ragtune's work, beside the ceiling that is measured on it and beside the figures of others.

use std::path::Path;

use burn::tensor::{DType, Device, Int, Tensor, module, s};
use ragtune_kernels::on_gpu::{attend, times_turned};
use ragtune_kernels::rows::Activation;
use ragtune_kernels::{
    activate, elu1p, from_vec, is_cpu, layer_norm, limits, to_vec, vocab_max, vocab_max_backward,
    vocab_max_backward_by_text, vocab_max_backward_in, vocab_max_in, vocab_max_in_tiles, vocab_max_rows,
    vocab_max_rows_back,
};
use ragtune_model::{BertConfig, CausalLm, Continuation, Encoder, Keep, Kind, PassOptions};
use ragtune_tune::{Batch, OptimSettings, Temperatures, Trainer, TuneSettings};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng as _, SeedableRng};
use serde_json::Value;

use super::ceiling::{self, Ceiling};
use crate::command::{Bench, EncoderSource};
use crate::event::{BenchReport, BenchRow, EventKind, Report};
use crate::models::{open_encoder, open_lm};
use crate::session::JobContext;
use crate::{EngineError, Result, device, fs, host};

/// Texts of the head alone.
const HEAD_TEXTS: usize = 32;
const GIB: f64 = (1u64 << 30) as f64;
/// Floats of a tile of the head's product.
const TILE: usize = 1 << 22;
/// Tokens that a language model writes.
const WRITTEN: usize = 32;
/// Figures that are measured everywhere, and those that a GPU adds: in 32 bits, and in 16.
const FIGURES: u64 = 11;
const OF_A_GPU: u64 = 5;
const IN_HALVES: u64 = 7;

/// `bench`
pub(super) fn bench(bench: &Bench, context: &mut JobContext<'_>) -> Result<()> {
    if bench.rounds == 0 {
        return Err(EngineError::input("--rounds 0: at least one is needed"));
    }
    if bench.texts == 0 || bench.questions == 0 || bench.tokens < 2 {
        let needed = "--texts, --questions and --tokens: one text, one question and two tokens are needed at least";
        return Err(EngineError::input(needed));
    }
    let peers = bench.peers.as_deref().map(read_peers).transpose()?;
    let chosen = context.shelf().device(&bench.device)?;
    let device = chosen.device;
    let encoder = match &bench.encoder {
        Some(folder) => {
            let source = EncoderSource { folder: folder.clone(), head: None };
            open_encoder(&source, &device)?
        }
        None => Encoder::load(&sample(ragtune_sample::models::encoder())?, &device, None)?,
    };
    let lm = match &bench.llm {
        Some(folder) => open_lm(folder, &device)?,
        None => CausalLm::load(&sample(ragtune_sample::models::reader())?, &device)?,
    };
    let gpu = !is_cpu(&device);
    let halves = gpu && device::halves(&device) == Some(true);
    let total = FIGURES + if gpu { OF_A_GPU } else { 0 } + if halves { IN_HALVES } else { 0 };
    context.begin("measuring", "figures", Some(total));
    let mut measured = Measured {
        device: device.clone(),
        rounds: bench.rounds,
        texts: bench.texts,
        questions: bench.questions,
        tokens: bench.tokens,
        halves,
        ceiling: None,
        half_ceiling: None,
        peers,
        rows: Vec::new(),
        context,
    };
    let whole = measured.all(encoder, &lm);
    let (rows, ceiling) = (measured.rows, measured.ceiling);
    if rows.is_empty() {
        return whole;
    }
    context.report(Report::Bench(BenchReport {
        device: chosen.name,
        threads: if is_cpu(&device) { Some(rayon::current_num_threads()) } else { None },
        gflops_ceiling: ceiling.map(|flops| flops / 1e9),
        rounds: bench.rounds,
        rows,
    }));
    // What was measured before it failed or was stopped stands in the report.
    whole
}

/// Numbers of all sizes up to a tenth, made where they are wanted.
fn varied<const D: usize>(device: &Device, shape: [usize; D]) -> Tensor<D> {
    let count = shape.iter().product::<usize>() as i64;
    Tensor::<1, Int>::arange(0..count, device).float().sin().mul_scalar(0.1).reshape(shape)
}

fn sample<T>(read: std::io::Result<T>) -> Result<T> {
    read.map_err(|source| EngineError::io(Path::new("the shipped model"), source))
}

/// Figures of somebody else, as `tests/references/torch_bench.py` prints them.
fn read_peers(path: &Path) -> Result<Value> {
    let text = fs::read(path).map_err(|source| EngineError::io(path, source))?;
    serde_json::from_slice(&text).map_err(|error| {
        EngineError::input(format!(
            "{}, line {}: {error}; a JSON object is needed, as tests/references/torch_bench.py prints it",
            path.display(),
            error.line()
        ))
    })
}

/// Figures as they come.
struct Measured<'a, 'b> {
    device: Device,
    rounds: usize,
    texts: usize,
    questions: usize,
    tokens: usize,
    /// Whether 16 bits are measured too.
    halves: bool,
    /// Operations a second of the matrix product, in 32 bits and in 16.
    ceiling: Option<f64>,
    half_ceiling: Option<f64>,
    peers: Option<Value>,
    rows: Vec<BenchRow>,
    context: &'a mut JobContext<'b>,
}

impl Measured<'_, '_> {
    fn all(&mut self, encoder: Encoder, lm: &CausalLm) -> Result<()> {
        self.ceilings()?;
        self.encoder(encoder)?;
        self.language_model(lm)
    }

    /// Median seconds of some rounds.
    fn seconds(&mut self, mut work: impl FnMut()) -> Result<f64> {
        ceiling::median(self.rounds, self.context, &mut work)
    }

    /// Notes a figure; `flops` are the operations a second that it stands for, `peer` a path in the peers' file.
    fn note(&mut self, figure: &str, value: f64, unit: &str, flops: Option<f64>, peer: &[&str]) {
        self.note_beside(self.ceiling, figure, value, unit, flops, peer);
    }

    /// As [`Measured::note`], for work in 16 bits.
    fn note_half(&mut self, figure: &str, value: f64, unit: &str, flops: Option<f64>, peer: &[&str]) {
        self.note_beside(self.half_ceiling, figure, value, unit, flops, peer);
    }

    fn note_beside(
        &mut self,
        ceiling: Option<f64>,
        figure: &str,
        value: f64,
        unit: &str,
        flops: Option<f64>,
        peer: &[&str],
    ) {
        let of_peers = |peers: &Value| peer.iter().try_fold(peers, |json, key| json.get(key))?.as_f64();
        let peer = self.peers.as_ref().filter(|_| !peer.is_empty()).and_then(of_peers);
        let ceiling = flops.and_then(|flops| Some(flops / ceiling?));
        let row = BenchRow { figure: figure.to_owned(), value, unit: unit.to_owned(), ceiling, peer };
        self.context.emit(EventKind::Measured(row.clone()));
        self.rows.push(row);
        self.context.advance(self.rows.len() as u64);
    }

    fn ceilings(&mut self) -> Result<()> {
        let found = ceiling::measure(&self.device, ceiling::SIDE, self.halves, self.rounds, self.context)?;
        let Ceiling { side, flops, half_flops, bytes } = found;
        (self.ceiling, self.half_ceiling) = (Some(flops), half_flops);
        let name = format!("matrix product of {side} x {side}, the ceiling");
        self.note(&name, flops / 1e9, "GFLOP/s", Some(flops), &["product", "gflops"]);
        if let Some(flops) = half_flops {
            let name = format!("{name} in 16 bits");
            self.note_half(&name, flops / 1e9, "GFLOP/s", Some(flops), &["product_half", "gflops"]);
        }
        self.note("memory read and written", bytes / 1e9, "GB/s", None, &["copy", "gb_per_second"]);
        Ok(())
    }

    fn encoder(&mut self, encoder: Encoder) -> Result<()> {
        let config = encoder.question.bert.config.clone();
        let (width, dims) = (config.hidden_size, encoder.vocab.len());
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        let vocabulary = config.vocab_size as u32;
        let (questions, tokens) = (self.questions, self.tokens.min(config.longest()));
        let mut text = || (0..tokens).map(|_| rng.next_u32() % vocabulary).collect::<Vec<u32>>();
        let texts: Vec<Vec<u32>> = (0..self.texts).map(|_| text()).collect();
        // Multiply-adds of the matrices and of attention, for one token.
        let layer = 8 * width * width + 4 * width * config.intermediate_size + 4 * tokens * width;
        let (body, head) = ((layer * config.num_hidden_layers) as f64, (2 * width * dims) as f64);

        let refs: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let all = (self.texts * tokens) as f64;
        let tower = encoder.tower_of(Kind::Passage).clone();
        let read = |half: bool| {
            let vectors = tower.pass(&refs, PassOptions { keep: Keep::Nothing, half }).vectors;
            drop(to_vec(vectors.slice([0..1, 0..1])));
        };
        let work = all * (body + head);
        let seconds = self.seconds(|| read(false))?;
        let peer = ["forward_sidr", "tokens_per_second"];
        self.note("encoder, reading", all / seconds, "tokens/s", Some(work / seconds), &peer);
        if self.halves {
            let seconds = self.seconds(|| read(true))?;
            let (name, peer) = ("encoder, reading, layers in 16 bits", ["forward_sidr_half", "tokens_per_second"]);
            self.note_half(name, all / seconds, "tokens/s", Some(work / seconds), &peer);
        }

        let batch = Batch {
            questions: (0..questions).map(|_| text()).collect(),
            passages: (0..2 * questions).map(|_| text()).collect(),
            masked: vec![false; 2 * questions * questions],
            rag_scores: vec![None; questions],
        };
        let default = TuneSettings::default();
        let chunk_tokens = default.chunk_tokens.max(self.texts * tokens);
        let mut settings = TuneSettings { chunk_tokens, ..default }.step(Temperatures::all(1000.0));
        let mut trainer = Trainer::new(encoder, OptimSettings::default());
        let all = (3 * questions * tokens) as f64;
        // The way back is twice the way forth; the head's touches one position of each dimension.
        let back = (3 * questions * 4 * width * dims) as f64;
        let work = all * (3.0 * body + head) + back;
        let peer = ["train", "tokens_per_second"];
        let seconds = self.seconds(|| {
            trainer.step(&batch, &settings, 1e-7);
        })?;
        self.note("encoder, training step", all / seconds, "tokens/s", Some(work / seconds), &peer);
        let mut vectors = |n: usize| -> Tensor<2> {
            let numbers = (0..n * dims).map(|_| rng.next_u32() as f32 / u32::MAX as f32).collect();
            from_vec(numbers, [n, dims], &self.device)
        };
        let (of_questions, of_passages) = (vectors(questions), vectors(2 * questions));
        let seconds = self.seconds(|| {
            let out = trainer.loss(&batch, &settings, of_questions.clone(), of_passages.clone());
            drop(to_vec(out.d_passages.slice([0..1, 0..1])));
        })?;
        self.note("its loss alone, from vectors to their gradients", seconds * 1e3, "ms", None, &[]);
        if let Some(bytes) = self.held() {
            self.note("memory up to here, at most", bytes as f64 / GIB, "GiB", None, &[]);
        }
        if self.halves {
            settings.half = true;
            let seconds = self.seconds(|| {
                trainer.step(&batch, &settings, 1e-7);
            })?;
            let name = "training step, products in 16 bits";
            self.note_half(name, all / seconds, "tokens/s", Some(work / seconds), &["train_half", "tokens_per_second"]);
        }
        drop(trainer);
        self.head(width, dims, tokens)?;
        if is_cpu(&self.device) { Ok(()) } else { self.parts(&config, tokens) }
    }

    /// What a body's layers are made of, each kind of it alone, as often as all layers have it.
    fn parts(&mut self, config: &BertConfig, tokens: usize) -> Result<()> {
        let (width, wide, layers) = (config.hidden_size, config.intermediate_size, config.num_hidden_layers);
        let (device, heads) = (self.device.clone(), config.num_attention_heads);
        let states: Tensor<3> = varied(&device, [self.texts, tokens, width]);
        // As the files of models have them, [out, in].
        let [square, up, down] = [[width, width], [wide, width], [width, wide]].map(|shape| varied(&device, shape));
        let vector = Tensor::<1>::ones([width], &device);
        let tall = varied(&device, [self.texts * tokens, wide]);
        let per_head = width / heads;
        let split = states.clone().reshape([self.texts, tokens, heads, per_head]).swap_dims(1, 2);
        let read = |tensor: Tensor<2>| drop(to_vec(tensor.slice([0..1, 0..1])));
        // Where no shader of ragtune's serves, burn's own; in 16 bits that takes its sides in 16 bits.
        let times = |x: Tensor<2>, w: &Tensor<2>, half: bool| {
            let burns = || x.clone().matmul(w.clone().transpose());
            times_turned(&x, w, None, half).unwrap_or_else(burns)
        };
        let flat = states.clone().reshape([self.texts * tokens, width]);
        let weights = [square, up, down];
        let products = |x: &Tensor<2>, [square, up, down]: &[Tensor<2>; 3], half: bool| {
            let layer = |x| times(times((0..4).fold(x, |x, _| times(x, square, half)), up, half), down, half);
            read((0..layers).fold(x.clone(), |x, _| layer(x)))
        };
        let work = (2 * self.texts * tokens * layers * (4 * width * width + 2 * width * wide)) as f64;
        let seconds = self.seconds(|| products(&flat, &weights, false))?;
        self.note("of reading: the products of its layers", seconds * 1e3, "ms", Some(work / seconds), &[]);
        if self.halves {
            let on_units = times_turned(&flat, &weights[0], None, true).is_some();
            let cast = |side: &Tensor<2>| if on_units { side.clone() } else { side.clone().cast(DType::F16) };
            let (x, weights) = (cast(&flat), weights.each_ref().map(cast));
            let seconds = self.seconds(|| products(&x, &weights, true))?;
            self.note_half("of reading: the products in 16 bits", seconds * 1e3, "ms", Some(work / seconds), &[]);
        }
        let lengths = vec![tokens; self.texts];
        let ours = |x: &Tensor<4>, half: bool| {
            let attended = attend(x, x, x, &lengths, half)?;
            Some(attended.reshape([lengths.len(), tokens, heads, per_head]).swap_dims(1, 2))
        };
        let attention = |x: &Tensor<4>, half: bool| {
            let burns = |x: Tensor<4>| module::attention(x.clone(), x.clone(), x, None, None, Default::default());
            let last = (0..layers).fold(x.clone(), |x, _| ours(&x, half).unwrap_or_else(|| burns(x)));
            read(last.slice(s![0..1, 0..1, .., ..]).reshape([tokens, per_head]))
        };
        let seconds = self.seconds(|| attention(&split, false))?;
        self.note("of reading: attention", seconds * 1e3, "ms", None, &[]);
        if self.halves {
            let on_units = ours(&split, true).is_some();
            let x = if on_units { split.clone() } else { split.clone().cast(DType::F16) };
            let seconds = self.seconds(|| attention(&x, true))?;
            self.note("of reading: attention in 16 bits", seconds * 1e3, "ms", None, &[]);
        }
        let norm = |x| layer_norm(x, None, vector.clone(), Some(vector.clone()), 1e-12);
        let seconds = self.seconds(|| read((0..2 * layers).fold(flat.clone(), |x, _| norm(x))))?;
        self.note("of reading: norms", seconds * 1e3, "ms", None, &[]);
        let seconds = self.seconds(|| (0..layers).for_each(|_| read(activate(Activation::Gelu, tall.clone()))))?;
        self.note("of reading: activations", seconds * 1e3, "ms", None, &[]);
        Ok(())
    }

    /// Bytes that the process has held at most, or an adapter's buffers.
    fn held(&self) -> Option<u64> {
        if is_cpu(&self.device) {
            return host::peak_bytes();
        }
        self.device.memory_pool_usage().map(|usage| usage.bytes_reserved)
    }

    /// The vocabulary head forth and back, beside the naive form that makes [batch, length, V].
    fn head(&mut self, width: usize, dims: usize, tokens: usize) -> Result<()> {
        let mut rng = Pcg64Mcg::seed_from_u64(2);
        let mut numbers =
            |n: usize| (0..n).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).collect::<Vec<f32>>();
        let flat = HEAD_TEXTS * tokens;
        let states: Tensor<2> = from_vec(numbers(flat * width), [flat, width], &self.device);
        let rows: Tensor<2> = from_vec(numbers(dims * width), [dims, width], &self.device);
        let lengths = vec![tokens; HEAD_TEXTS];
        let read = |tensor: Tensor<2>| drop(to_vec(tensor.slice([0..1, 0..1])));
        let product = (2 * flat * width * dims) as f64;
        let seconds = if is_cpu(&self.device) {
            let grad = vec![1.0f32; HEAD_TEXTS * dims];
            let (plain_states, plain_rows) = (to_vec(states.clone()), to_vec(rows.clone()));
            self.seconds(|| {
                let (_, argmax) = vocab_max_rows(&states, &lengths, &rows);
                drop(vocab_max_rows_back(&grad, &argmax, &plain_states, &lengths, &plain_rows, width));
            })?
        } else {
            let cube = states.clone().reshape([HEAD_TEXTS, tokens, width]);
            let grad = Tensor::<2>::ones([HEAD_TEXTS, dims], &self.device);
            self.seconds(|| {
                let argmax = vocab_max(cube.clone(), &lengths, rows.clone()).argmax;
                read(vocab_max_backward(grad.clone(), argmax, cube.clone(), rows.clone()).1);
            })?
        };
        self.note(
            "vocabulary head, forth and back",
            seconds * 1e3,
            "ms",
            Some(product / seconds),
            &["head_naive", "ms"],
        );
        if self.halves {
            let cube = states.clone().reshape([HEAD_TEXTS, tokens, width]);
            let grad = Tensor::<2>::ones([HEAD_TEXTS, dims], &self.device);
            let seconds = self.seconds(|| {
                let argmax = vocab_max_in(true, cube.clone(), &lengths, rows.clone()).argmax;
                read(vocab_max_backward_in(true, grad.clone(), argmax, cube.clone(), rows.clone()).1);
            })?;
            let name = "vocabulary head in 16 bits, forth and back";
            self.note_half(name, seconds * 1e3, "ms", Some(product / seconds), &["head_naive_half", "ms"]);
        }
        if !is_cpu(&self.device) {
            let cube = states.clone().reshape([HEAD_TEXTS, tokens, width]);
            let grad = Tensor::<2>::ones([HEAD_TEXTS, dims], &self.device);
            let tiled = self.seconds(|| {
                let argmax = vocab_max_in_tiles(cube.clone(), &lengths, rows.clone()).argmax;
                read(vocab_max_backward_by_text(grad.clone(), argmax, cube.clone(), rows.clone()).1);
            })?;
            self.note("the same in tensor operations", tiled * 1e3, "ms", Some(product / tiled), &["head_naive", "ms"]);
        }
        // In tiles: the whole product would be the naive head's tensor.
        let tile = (TILE / flat).clamp(1, dims);
        let bare = self.seconds(|| {
            for start in (0..dims).step_by(tile) {
                let part = rows.clone().slice([start..(start + tile).min(dims), 0..width]);
                read(states.clone().matmul(part.transpose()));
            }
        })?;
        self.note("its matrix product alone", bare * 1e3, "ms", Some(product / bare), &[]);
        let most = limits(&self.device).map_or(u64::MAX, |limits| limits.buffer_bytes);
        if 4 * (flat * dims) as u64 > most {
            return Ok(());
        }
        let naive = self.seconds(|| {
            let states = states.clone().autodiff().require_grad();
            let rows = rows.clone().autodiff().require_grad();
            // One product of all texts: one for each would make a gradient [texts, width, V] of the rows.
            let products = states.matmul(rows.clone().transpose()).reshape([HEAD_TEXTS, tokens, dims]);
            let mut gradients = elu1p(products).max_dim(1).sum().backward();
            rows.grad_remove(&mut gradients).into_iter().for_each(read);
        })?;
        self.note(
            "the head as [batch, length, V] tensors",
            naive * 1e3,
            "ms",
            Some(product / naive),
            &["head_naive", "ms"],
        );
        Ok(())
    }

    fn language_model(&mut self, lm: &CausalLm) -> Result<()> {
        let config = &lm.decoder.config;
        let (width, heads) = (config.hidden_size, config.num_attention_heads);
        let (per_head, keys) = (config.head_dim, config.num_key_value_heads * config.head_dim);
        let inner = if config.feed_forward.gated { 3 } else { 2 };
        let tokens = self.tokens.min(lm.context().saturating_sub(1)).max(2);
        let matrices = 2 * width * heads * per_head + 2 * width * keys + inner * width * config.intermediate_size;
        let layer = 2 * matrices + 2 * tokens * heads * per_head;
        let mut rng = Pcg64Mcg::seed_from_u64(3);
        let vocabulary = config.vocab_size as u32;
        let mut text = || (0..tokens).map(|_| rng.next_u32() % vocabulary).collect::<Vec<u32>>();
        let texts: Vec<Continuation> =
            (0..self.texts).map(|_| Continuation { ids: text(), start: tokens - 1 }).collect();
        let refs: Vec<&Continuation> = texts.iter().collect();
        let seconds = self.seconds(|| drop(lm.score(&refs)))?;
        let all = (self.texts * (tokens - 1)) as f64;
        let work = all * (layer * config.num_hidden_layers) as f64;
        let name = "language model, reading prompts";
        self.note(name, all / seconds, "tokens/s", Some(work / seconds), &["llm", "tokens_per_second"]);
        if self.halves {
            let halved = lm.halved();
            let seconds = self.seconds(|| drop(halved.score(&refs)))?;
            let name = "language model, reading prompts, layers in 16 bits";
            self.note_half(name, all / seconds, "tokens/s", Some(work / seconds), &["llm_half", "tokens_per_second"]);
        }
        // One text, a token at a time, until its end or the last of them.
        let prompt = text()[..tokens / 2].to_vec();
        let (mut written, mut failed) = (0, None);
        let seconds = self.seconds(|| {
            written = 0;
            let count = &mut |_: u32| {
                written += 1;
                true
            };
            failed = lm.generate(&prompt, WRITTEN, 0.0, &mut Pcg64Mcg::seed_from_u64(4), count).err();
        })?;
        match failed {
            Some(error) => Err(error.into()),
            // One that ends at once writes nothing that could be measured.
            None => {
                self.note("language model, writing", written.max(1) as f64 / seconds, "tokens/s", None, &[]);
                Ok(())
            }
        }
    }
}
