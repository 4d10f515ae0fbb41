// The tab computes the same numbers as the program: the same commands go to both.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { blank, close, noProgram as skip, program, setUp } from './browser.mjs';
import * as tiny from './tiny.mjs';


const TEXTS = ['who repaired the old bridge?', 'The workshop of Ada Holm makes clocks and sells them at the market.', 'oats'];
const ITEMS = [
  { id: 'a', question: 'Who built the bridge?', passage: { title: 'The bridge', text: 'Ada Holm built the bridge in 1912.' }, answers: ['Ada Holm'] },
  { id: 'b', question: 'When was the bridge built?', passage: { title: 'The bridge', text: 'Ada Holm built the bridge in 1912.' }, answers: ['1912', 'oats'] },
];

const lines = (records) => records.map((record) => `${JSON.stringify(record)}\n`).join('');
const texts = `${TEXTS.join('\n')}\n`;
const items = lines(ITEMS);

/** Models that ship with the sample world, and tiny ones for a graphics driver in software. */
const SHIPPED = { encoder: 'world/models/encoder', llm: 'world/models/reader', steps: 2, lr: 1e-4, files: {} };
const TINY = {
  encoder: 'tiny/encoder', llm: 'tiny/llm', steps: 4, lr: 1e-2, files: { 'tiny/encoder': tiny.encoder(), 'tiny/llm': tiny.languageModel() },
};

/** The files that are there before anything is asked, as `[path, base64]`. */
const givenFiles = (models) => [
  ['texts.txt', Buffer.from(texts)],
  ['items.jsonl', Buffer.from(items)],
  ...Object.entries(models.files).flatMap(([folder, files]) => Object.entries(files).map(([name, bytes]) => [`${folder}/${name}`, bytes])),
].map(([path, bytes]) => [path, bytes.toString('base64')]);

/** What is asked, with everything below a folder: a sample world, vectors, scores, some training steps. */
function commands(folder, device, models) {
  const encoder = { folder: `${folder}/${models.encoder}`, head: null };
  const settings = {
    supervision: 'gold', stages: ['offline'], batch: 4, max_steps: models.steps, max_questions: 16, k: 5, dev_questions: 2, offline_epochs: 1,
    warmup_epochs: 0, optim: { lr: models.lr },
  };
  return [
    { command: 'open-project', folder: `${folder}/world`, sample: { passages: 120, questions: 40 } },
    {
      command: 'update-index', sources: [`${folder}/world/world/corpus.jsonl`], tokenizer: null, encoder, index: `${folder}/world/index`, memory: null,
    },
    { command: 'encode', encoder, texts: `${folder}/texts.txt`, role: 'passage', form: 'dense', top_k: 768, device },
    { command: 'score', llm: `${folder}/${models.llm}`, items: `${folder}/items.jsonl`, template: null, device },
    {
      command: 'tune', corpus: [], index: `${folder}/world/index`, questions: { path: `${folder}/world/world/qa.jsonl`, id_prefix: null, aliases: null },
      encoder, llm: null, template: null, supervision: null, stages: null, config: null, settings, out: `${folder}/run-${device}`, resume: null, seed: 3, device,
    },
  ];
}

const at = setUp();

/** What the program says. */
function inProgram(models) {
  const folder = mkdtempSync(join(tmpdir(), 'ragtune-numbers-'));
  for (const [path, base64] of givenFiles(models)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), Buffer.from(base64, 'base64'));
  }
  const transcript = join(folder, 'transcript.jsonl');
  writeFileSync(transcript, lines(commands(folder, 'cpu', models)));
  const { status, stdout, stderr } = spawnSync(program, ['replay', transcript, '--json', '--quiet'], { encoding: 'utf8', maxBuffer: 1 << 28 });
  assert.equal(status, 0, stderr);
  const records = stdout.split('\n').filter((line) => line.startsWith('{"')).map((line) => JSON.parse(line));
  const steps = readFileSync(join(folder, 'run-cpu/metrics.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  rmSync(folder, { recursive: true, force: true });
  return { records, steps };
}

/** Vectors, scores and steps, out of what either side said. */
function figures({ records, steps }) {
  const trained = steps.filter((record) => record.gradient_norm !== undefined);
  return {
    vectors: records.filter((record) => record.values).map((record) => record.values),
    scores: records.filter((record) => record.answers).flatMap(({ answers }) => answers.map((answer) => answer.log_prob)),
    losses: trained.map((step) => step.loss),
    norms: trained.map((step) => step.gradient_norm),
  };
}

/** What a tab says. */
async function inTab(device, models) {
  const page = await blank(at);
  const said = await page.evaluate(async ({ list, given, folder }) => {
    const { default: init, run, put } = await import('./api.js');
    await init();
    for (const [path, base64] of given) {
      await put(`${folder}/${path}`, Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)));
    }
    const records = [];
    const steps = [];
    const onEvent = (name, body) => {
      if (name === 'record') {
        records.push(JSON.parse(body));
      } else if (name === 'steps') {
        steps.push(...body);
      }
    };
    for (const command of list) {
      await run(command, { onEvent });
    }
    return { records, steps };
  }, { list: commands(`/${device}`, device, models), given: givenFiles(models), folder: `/${device}` });
  await page.close();
  return said;
}

async function compare(device, models) {
  const [tab, program] = [figures(await inTab(device, models)), figures(inProgram(models))];
  close('vectors', tab.vectors.flat(), program.vectors.flat(), 1e-3);
  close('scores', tab.scores, program.scores, 1e-3);
  close('losses', tab.losses, program.losses, 1e-3);
  close('gradient norms', tab.norms, program.norms, 1e-2);
  return tab;
}

test('on the processor', { skip }, () => compare('cpu', SHIPPED));

test('on WebGPU, where the loss falls too', { skip }, async () => {
  const { losses } = await compare('gpu', TINY);
  assert.ok(losses.at(-1) < losses[0], `the losses are ${losses}`);
});

const slow = process.env.RAGTUNE_WEBGPU ? false : 'a software adapter takes many minutes; with a real one: RAGTUNE_WEBGPU=1';
test('on WebGPU with the models that ship', { skip: skip || slow }, () => compare('gpu', SHIPPED));
