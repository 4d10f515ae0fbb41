// Models with random weights that are small enough for a graphics driver in software, as the files of their folders.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { dist } from './browser.mjs';

const WIDTH = 32;
const INNER = 64;

/** Numbers around 0 of about a given size, the same at every call. */
function draws(seed) {
  let state = BigInt(seed);
  return (size) => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
    return (Number(state >> 40n) / 2 ** 24 - 0.5) * 2 * size;
  };
}

/** A safetensors file of tensors `[name, shape, dtype]` with their bytes. */
export function safetensors(tensors, parts) {
  const header = {};
  let at = 0;
  tensors.forEach(([name, shape, dtype], i) => {
    header[name] = { dtype, shape, data_offsets: [at, at + parts[i].length] };
    at += parts[i].length;
  });
  return withHeader(header, Buffer.concat(parts));
}

/** One of tensors `[name, shape, size of its values, what they lie around]`. */
function drawn(tensors, seed) {
  const draw = draws(seed);
  const parts = tensors.map(([, shape, size, around]) => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => around + draw(size));
    return Buffer.from(values.buffer);
  });
  return safetensors(tensors.map(([name, shape]) => [name, shape, 'F32']), parts);
}

function withHeader(header, values) {
  const text = JSON.stringify(header);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, values]);
}

const matrix = (name, rows, columns) => [name, [rows, columns], 0.3, 0];
const norm = (name) => [[`${name}.weight`, [WIDTH], 0.1, 1], [`${name}.bias`, [WIDTH], 0.1, 0]];
const linear = (name, rows, columns) => [matrix(`${name}.weight`, rows, columns), [`${name}.bias`, [rows], 0.1, 0]];

function files(config, tensors, seed) {
  const tokenizer = readFileSync(join(dist, 'sample/tokenizer.json'));
  return {
    'config.json': Buffer.from(JSON.stringify(config)),
    'tokenizer.json': tokenizer,
    'model.safetensors': drawn(tensors, seed),
  };
}

/** The same model with its weights in two shards. */
export function inShards({ 'model.safetensors': whole, ...files }) {
  const length = Number(whole.readBigUInt64LE(0));
  const header = Object.entries(JSON.parse(whole.toString('utf8', 8, 8 + length)));
  const weightMap = {};
  const shards = {};
  const middle = Math.ceil(header.length / 2);
  [header.slice(0, middle), header.slice(middle)].forEach((part, at) => {
    const name = `model-0000${at + 1}-of-00002.safetensors`;
    const begin = part[0][1].data_offsets[0];
    const end = part.at(-1)[1].data_offsets[1];
    const moved = part.map(([tensor, { data_offsets: [from, to], ...kind }]) => [tensor, { ...kind, data_offsets: [from - begin, to - begin] }]);
    part.forEach(([tensor]) => { weightMap[tensor] = name; });
    shards[name] = withHeader(Object.fromEntries(moved), whole.subarray(8 + length + begin, 8 + length + end));
  });
  return { ...files, ...shards, 'model.safetensors.index.json': Buffer.from(JSON.stringify({ weight_map: weightMap })) };
}

const words = () => JSON.parse(readFileSync(join(dist, 'sample/encoder/config.json'), 'utf8')).vocab_size;

/** A BERT of one layer. */
export function encoder() {
  const vocab = words();
  const layer = 'encoder.layer.0';
  const tensors = [
    matrix('embeddings.word_embeddings.weight', vocab, WIDTH),
    matrix('embeddings.position_embeddings.weight', 256, WIDTH),
    matrix('embeddings.token_type_embeddings.weight', 2, WIDTH),
    ...norm('embeddings.LayerNorm'),
    ...['self.query', 'self.key', 'self.value', 'output.dense'].flatMap((name) => linear(`${layer}.attention.${name}`, WIDTH, WIDTH)),
    ...norm(`${layer}.attention.output.LayerNorm`),
    ...linear(`${layer}.intermediate.dense`, INNER, WIDTH),
    ...linear(`${layer}.output.dense`, WIDTH, INNER),
    ...norm(`${layer}.output.LayerNorm`),
  ];
  return files({
    model_type: 'bert', vocab_size: vocab, hidden_size: WIDTH, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: INNER,
    max_position_embeddings: 256, type_vocab_size: 2, layer_norm_eps: 1e-12, hidden_act: 'gelu',
  }, tensors, 5);
}

/** A Llama of one layer. */
export function languageModel() {
  const vocab = words();
  const layer = 'model.layers.0';
  const scale = (name) => [name, [WIDTH], 0.1, 1];
  const tensors = [
    matrix('model.embed_tokens.weight', vocab, WIDTH),
    ...['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((name) => matrix(`${layer}.self_attn.${name}.weight`, WIDTH, WIDTH)),
    matrix(`${layer}.mlp.gate_proj.weight`, INNER, WIDTH),
    matrix(`${layer}.mlp.up_proj.weight`, INNER, WIDTH),
    matrix(`${layer}.mlp.down_proj.weight`, WIDTH, INNER),
    scale(`${layer}.input_layernorm.weight`),
    scale(`${layer}.post_attention_layernorm.weight`),
    scale('model.norm.weight'),
  ];
  return files({
    model_type: 'llama', vocab_size: vocab, hidden_size: WIDTH, intermediate_size: INNER, num_hidden_layers: 1, num_attention_heads: 2,
    num_key_value_heads: 2, max_position_embeddings: 512, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: true, eos_token_id: 3,
  }, tensors, 6);
}
