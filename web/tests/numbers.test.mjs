// The tab computes the same numbers as the program: the same commands go to both.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { blank, setUp } from './browser.mjs';

const target = process.env.CARGO_TARGET_DIR ?? process.env.RAGTUNE_TARGET ?? join(homedir(), '.cache/ragtune-target');
const program = process.env.RAGTUNE_BIN ?? join(target, 'release/ragtune');
const skip = existsSync(program) ? false : `no program at ${program}: cargo build --release --workspace`;

const TEXTS = ['who repaired the old bridge?', 'The workshop of Ada Holm makes clocks and sells them at the market.', 'oats'];
const ITEMS = [
  { id: 'a', question: 'Who built the bridge?', passage: { title: 'The bridge', text: 'Ada Holm built the bridge in 1912.' }, answers: ['Ada Holm'] },
  { id: 'b', question: 'When was the bridge built?', passage: { title: 'The bridge', text: 'Ada Holm built the bridge in 1912.' }, answers: ['1912', 'oats'] },
];

const lines = (records) => records.map((record) => `${JSON.stringify(record)}\n`).join('');
const texts = `${TEXTS.join('\n')}\n`;
const items = lines(ITEMS);

/** What is asked, with everything below a folder: a sample world, vectors, scores, two training steps. */
function commands(folder, device) {
  const encoder = { folder: `${folder}/world/models/encoder`, head: null };
  const settings = {
    supervision: 'gold', stages: ['offline'], batch: 4, max_steps: 2, max_questions: 16, k: 5, dev_questions: 2, offline_epochs: 1,
    warmup_epochs: 0, optim: { lr: 1e-4 },
  };
  return [
    { command: 'open-project', folder: `${folder}/world`, sample: { passages: 120, questions: 40 } },
    {
      command: 'update-index', sources: [`${folder}/world/world/corpus.jsonl`], tokenizer: null, encoder, index: `${folder}/world/index`, memory: null,
    },
    { command: 'encode', encoder, texts: `${folder}/texts.txt`, role: 'passage', form: 'dense', top_k: 768, device },
    { command: 'score', llm: `${folder}/world/models/reader`, items: `${folder}/items.jsonl`, template: null, device },
    {
      command: 'tune', corpus: [], index: `${folder}/world/index`, questions: { path: `${folder}/world/world/qa.jsonl`, id_prefix: null, aliases: null },
      encoder, llm: null, template: null, supervision: null, stages: null, config: null, settings, out: `${folder}/run-${device}`, resume: null, seed: 3, device,
    },
  ];
}

const at = setUp();
let native;

before(() => {
  if (skip) {
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'ragtune-numbers-'));
  writeFileSync(join(folder, 'texts.txt'), texts);
  writeFileSync(join(folder, 'items.jsonl'), items);
  const transcript = join(folder, 'transcript.jsonl');
  writeFileSync(transcript, lines(commands(folder, 'cpu')));
  const { status, stdout, stderr } = spawnSync(program, ['replay', transcript, '--json', '--quiet'], { encoding: 'utf8', maxBuffer: 1 << 28 });
  assert.equal(status, 0, stderr);
  const records = stdout.split('\n').filter((line) => line.startsWith('{"')).map((line) => JSON.parse(line));
  const metrics = readFileSync(join(folder, 'run-cpu/metrics.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  native = { records, steps: metrics };
  rmSync(folder, { recursive: true, force: true });
});

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

function close(what, found, wanted, tolerance) {
  assert.equal(found.length, wanted.length, `${what}: ${found.length} numbers and not ${wanted.length}`);
  assert.ok(wanted.length > 0, `${what}: there are none`);
  found.forEach((value, i) => {
    const off = Math.abs(value - wanted[i]);
    assert.ok(off <= tolerance * (1 + Math.abs(wanted[i])), `${what} ${i}: ${value} and not ${wanted[i]}`);
  });
}

async function inTab(device) {
  const page = await blank(at);
  const said = await page.evaluate(async ({ list, texts, items, folder }) => {
    const { default: init, run, put } = await import('./api.js');
    await init();
    await put(`${folder}/texts.txt`, texts);
    await put(`${folder}/items.jsonl`, items);
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
  }, { list: commands('/numbers', device), texts, items, folder: '/numbers' });
  await page.close();
  return said;
}

function compare(found, wanted) {
  const [tab, program] = [figures(found), figures(wanted)];
  close('vectors', tab.vectors.flat(), program.vectors.flat(), 1e-3);
  close('scores', tab.scores, program.scores, 1e-3);
  close('losses', tab.losses, program.losses, 1e-3);
  close('gradient norms', tab.norms, program.norms, 1e-2);
}

test('on the processor', { skip }, async () => {
  compare(await inTab('cpu'), native);
});

const slow = process.env.RAGTUNE_WEBGPU ? false : 'a software adapter takes many minutes; with a real one: RAGTUNE_WEBGPU=1';
test('on WebGPU', { skip: skip || slow }, async () => {
  compare(await inTab('gpu'), native);
});
