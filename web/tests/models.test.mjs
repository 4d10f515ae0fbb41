// Models of the size that people have, in the tab: the same numbers as the program's.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { blank, close, dist, noProgram, program, setUp } from './browser.mjs';
import { safetensors } from './tiny.mjs';

const at = setUp();

const shared = new URL('../../../shared/models/all-MiniLM-L6-v2', import.meta.url).pathname;
const noMiniLm = existsSync(shared) ? false : 'no ../shared/models/all-MiniLM-L6-v2';

/** Serves a model's files, fetches them into the tab, and gives the records of a command there, and how long it took. */
async function inTab(name, files, inputs, command) {
  Object.entries(files).forEach(([file, bytes]) => at.server.files.set(`/models/${name}/${file}`, bytes));
  const page = await blank(at);
  try {
    return await page.evaluate(async ({ name, inputs, command }) => {
      const { default: init, run, put, fetchModel } = await import('./api.js');
      await init();
      let begin = performance.now();
      await fetchModel(`/models/${name}`, `./models/${name}`);
      const fetched = (performance.now() - begin) / 1000;
      for (const [path, text] of inputs) {
        await put(path, text);
      }
      const records = [];
      begin = performance.now();
      await run(command, { onEvent: (kind, body) => kind === 'record' && records.push(JSON.parse(body)) });
      return { records, fetched, seconds: (performance.now() - begin) / 1000 };
    }, { name, inputs, command });
  } finally {
    await page.close();
    Object.keys(files).forEach((file) => at.server.files.delete(`/models/${name}/${file}`));
  }
}

/** What the program says to a command line. */
function inProgram(...args) {
  const { status, stdout, stderr } = spawnSync(program, [...args, '--quiet'], { encoding: 'utf8', maxBuffer: 1 << 28 });
  assert.equal(status, 0, stderr);
  return stdout.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
}

test('all-MiniLM-L6-v2 from an address', { skip: noProgram || noMiniLm }, async () => {
  const names = ['config.json', 'tokenizer.json', 'model.safetensors'];
  const files = Object.fromEntries(names.map((name) => [name, readFileSync(join(shared, name))]));
  const texts = 'who repaired the old bridge?\nThe workshop of Ada Holm makes clocks and sells them at the market.\n';
  const command = {
    command: 'encode', encoder: { folder: '/models/minilm', head: null }, texts: '/models/texts.txt', role: 'passage', form: 's', top_k: 200, device: 'cpu',
  };
  const tab = await inTab('minilm', files, [['/models/texts.txt', texts]], command);
  const folder = mkdtempSync(join(tmpdir(), 'ragtune-models-'));
  writeFileSync(join(folder, 'texts.txt'), texts);
  const said = inProgram('encode', '--encoder', shared, '--texts', join(folder, 'texts.txt'), '--kind', 'passage', '--form', 's', '--top-k', '200', '--device', 'cpu');
  rmSync(folder, { recursive: true, force: true });
  assert.equal(tab.records.length, said.length);
  said.forEach((record, i) => close(`text ${i}`, tab.records[i].values, record.values, 1e-3));
  console.log(`all-MiniLM-L6-v2: fetched in ${tab.fetched.toFixed(1)} s, two texts with loading in ${tab.seconds.toFixed(1)} s`);
});

/** Numbers around 0 in BF16, the same at every call; a stretch of them is repeated, which nobody multiplies away. */
function noise(count, size, seed) {
  const stretch = 65_521;
  const values = new Uint16Array(count);
  let state = seed;
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  for (let i = 0; i < Math.min(stretch, count); i += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    float[0] = (state / 2 ** 32 - 0.5) * 2 * size;
    values[i] = bits[0] >>> 16;
  }
  for (let done = stretch; done < count; done *= 2) {
    values.copyWithin(done, 0, Math.min(done, count - done));
  }
  return Buffer.from(values.buffer);
}

/** A language model of SmolLM2-135M's shape, with weights that mean nothing. */
function smol() {
  const [vocab, hidden, wide, layers, heads, keys] = [49_152, 576, 1536, 30, 9, 3];
  const width = hidden / heads;
  const tensors = [['model.embed_tokens.weight', [vocab, hidden]], ['model.norm.weight', [hidden]]];
  for (let i = 0; i < layers; i += 1) {
    const add = (name, ...shape) => tensors.push([`model.layers.${i}.${name}.weight`, shape]);
    add('self_attn.q_proj', heads * width, hidden);
    add('self_attn.k_proj', keys * width, hidden);
    add('self_attn.v_proj', keys * width, hidden);
    add('self_attn.o_proj', hidden, heads * width);
    add('mlp.gate_proj', wide, hidden);
    add('mlp.up_proj', wide, hidden);
    add('mlp.down_proj', hidden, wide);
    add('input_layernorm', hidden);
    add('post_attention_layernorm', hidden);
  }
  const values = tensors.map(([, shape], at) => noise(shape.reduce((a, b) => a * b, 1), shape.length === 1 ? 1 : 0.08, at + 1));
  return {
    'config.json': Buffer.from(JSON.stringify({
      model_type: 'llama', vocab_size: vocab, hidden_size: hidden, intermediate_size: wide, num_hidden_layers: layers, num_attention_heads: heads,
      num_key_value_heads: keys, max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: true, eos_token_id: 3,
    })),
    'tokenizer.json': readFileSync(join(dist, 'sample/tokenizer.json')),
    'model.safetensors': safetensors(tensors.map(([name, shape]) => [name, shape, 'BF16']), values),
  };
}

test('a language model of 135 million parameters from an address', { skip: noProgram }, async () => {
  const files = smol();
  const items = `${JSON.stringify({
    id: 'a', question: 'Who built the bridge?', passage: { title: 'The bridge', text: 'Ada Holm built the bridge in 1912.' }, answers: ['Ada Holm', '1912'],
  })}\n`;
  const command = { command: 'score', llm: '/models/smol', items: '/models/items.jsonl', template: null, device: 'cpu' };
  const tab = await inTab('smol', files, [['/models/items.jsonl', items]], command);
  const folder = mkdtempSync(join(tmpdir(), 'ragtune-models-'));
  Object.entries(files).forEach(([name, bytes]) => writeFileSync(join(folder, name), bytes));
  writeFileSync(join(folder, 'items.jsonl'), items);
  const said = inProgram('score', '--llm', folder, '--items', join(folder, 'items.jsonl'), '--device', 'cpu');
  rmSync(folder, { recursive: true, force: true });
  const scores = (records) => records.flatMap(({ answers }) => answers.map((answer) => answer.log_prob));
  close('scores', scores(tab.records), scores(said), 1e-3);
  console.log(`135 M parameters: fetched in ${tab.fetched.toFixed(1)} s, one question scored, with loading, in ${tab.seconds.toFixed(1)} s`);
});
