// How fast a tab encodes with ragtune and with transformers.js, which runs ONNX Runtime: one thread each, on the processor,
// and ragtune's program with one thread beside them. Nothing else should run.
//
//   npm install --no-save --ignore-scripts @huggingface/transformers@4.3.1
//   node onnx-speed.mjs ENCODER ONNX BODY
//
// The folders are those of tests/references/onnx_bench.py, as are the texts, of 128 tokens each. Prints a line of JSON for
// each figure, the median of three rounds.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { blank, browser, program, serve } from './browser.mjs';

const ROUNDS = 3;
const TOKENS = 128;
const BATCHES = [8, 32];
const [FEW, MANY] = [32, 96];

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const say = (figure, rates) => console.log(JSON.stringify({ figure, tokens_per_second: Math.round(median(rates)) }));

/** Texts of words that are one token each, between the two that a text begins and ends with. */
function texts(folder) {
  const { vocab } = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')).model;
  const words = Object.keys(vocab).filter((word) => /^[a-z]+$/.test(word));
  let at = 0;
  const word = () => words[(at += 7919) % words.length];
  return Array.from({ length: MANY }, () => Array.from({ length: TOKENS - 2 }, word).join(' '));
}

/** Seconds that the program takes for a file of texts. */
function native(encoder, file) {
  const begin = performance.now();
  const args = ['encode', '--encoder', encoder, '--texts', file, '--form', 's', '--top-k', '8', '--device', 'cpu', '--quiet'];
  const { status } = spawnSync(program, args, { env: { ...process.env, RAYON_NUM_THREADS: '1' }, stdio: 'ignore' });
  if (status !== 0) {
    throw new Error(`${program} ${args.join(' ')}: ${status}`);
  }
  return (performance.now() - begin) / 1000;
}

/** Seconds that the tab takes for each of the files of texts, again and again. */
async function inTab(at, files) {
  const page = await blank(at);
  const said = await page.evaluate(async ({ files, rounds }) => {
    const { default: init, run, put, fetchModel } = await import('./api.js');
    await init();
    await fetchModel('/speed/encoder', '/encoder');
    const times = [];
    for (let round = 0; round < rounds; round += 1) {
      const seconds = [];
      for (const [name, text] of files) {
        const path = `/speed/${name}`;
        await put(path, text);
        const begin = performance.now();
        await run({ command: 'encode', encoder: { folder: '/speed/encoder', head: null }, texts: path, role: 'passage', form: 's', top_k: 8, device: 'cpu' });
        seconds.push((performance.now() - begin) / 1000);
      }
      times.push(seconds);
    }
    return times;
  }, { files, rounds: ROUNDS });
  await page.close();
  return said;
}

/** Seconds that transformers.js takes for a batch, again and again. */
async function inTransformers(at, model, batch) {
  const page = await blank(at);
  const said = await page.evaluate(async ({ model, batch, tokens, rounds }) => {
    const { AutoModel, AutoTokenizer, env } = await import('/transformers/transformers.min.js');
    Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: '/onnx/', useBrowserCache: false });
    const runtime = new URL('/transformers/ort-wasm-simd-threaded.asyncify', location.href);
    Object.assign(env.backends.onnx.wasm, { numThreads: 1, wasmPaths: { mjs: `${runtime}.mjs`, wasm: `${runtime}.wasm` } });
    const tokenizer = await AutoTokenizer.from_pretrained(model);
    const encoder = await AutoModel.from_pretrained(model, { subfolder: '', dtype: 'fp32', device: 'wasm' });
    const encode = async () => {
      const inputs = tokenizer(batch, { padding: true, truncation: true });
      if (inputs.input_ids.dims[1] !== tokens) {
        throw new Error(`texts of ${inputs.input_ids.dims[1]} tokens`);
      }
      const begin = performance.now();
      await encoder(inputs);
      return (performance.now() - begin) / 1000;
    };
    await encode();
    const times = [];
    for (let round = 0; round < rounds; round += 1) {
      times.push(await encode());
    }
    return times;
  }, { model, batch, tokens: TOKENS, rounds: ROUNDS });
  await page.close();
  return said;
}

const [encoder, ...models] = process.argv.slice(2);
const lines = texts(models[0]);
const files = [['few.txt', lines.slice(0, FEW)], ['many.txt', lines]].map(([name, some]) => [name, `${some.join('\n')}\n`]);
const server = await serve();
const chrome = await browser();
const folder = mkdtempSync(join(tmpdir(), 'ragtune-onnx-'));
const give = (path, from) => readdirSync(from, { withFileTypes: true }).filter((file) => file.isFile())
  .forEach(({ name }) => server.files.set(`${path}/${name}`, readFileSync(join(from, name))));
try {
  give('/encoder', encoder);
  models.forEach((model) => give(`/onnx/${basename(model)}`, model));
  give('/transformers', new URL('node_modules/@huggingface/transformers/dist', import.meta.url).pathname);
  for (const end of ['mjs', 'wasm']) {
    const name = `ort-wasm-simd-threaded.asyncify.${end}`;
    server.files.set(`/transformers/${name}`, readFileSync(new URL(`node_modules/onnxruntime-web/dist/${name}`, import.meta.url)));
  }
  const rate = ([few, many]) => ((MANY - FEW) * TOKENS) / (many - few);
  files.forEach(([name, text]) => writeFileSync(join(folder, name), text));
  say('ragtune, native', Array.from({ length: ROUNDS }, () => rate(files.map(([name]) => native(encoder, join(folder, name))))));
  say('ragtune, tab', (await inTab({ chrome, server }, files)).map(rate));
  for (const model of models) {
    for (const batch of BATCHES) {
      const times = await inTransformers({ chrome, server }, basename(model), lines.slice(0, batch));
      say(`transformers.js, ${basename(model)}, batch ${batch}`, times.map((seconds) => (batch * TOKENS) / seconds));
    }
  }
} finally {
  await chrome.close();
  server.close();
  rmSync(folder, { recursive: true, force: true });
}
