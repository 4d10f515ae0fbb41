// How fast the tab is beside the program with one thread, on the processor: `npm run speed`. Nothing else should run.
// Prints a line of JSON for each figure. `RAGTUNE_DEMO=1` measures the whole demo too, which takes many minutes.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SAMPLE, ask, blank, browser, open, program, serve, until } from './browser.mjs';

const ROUNDS = 3;

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const say = (figure, values) => console.log(JSON.stringify({ figure, ...values }));
const seconds = (since) => (performance.now() - since) / 1000;

/** Runs the program with one thread; gives what it prints. */
function native(...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: { ...process.env, RAYON_NUM_THREADS: '1' }, stdio: ['ignore', 'pipe', 'ignore'] });
    let said = '';
    child.stdout.on('data', (part) => { said += part; });
    child.on('close', (code) => (code === 0 ? resolve(said) : reject(new Error(`${program} ${args.join(' ')}: ${code}`))));
  });
}

/** From an address typed into an empty browser to the first hits in the sample world. */
async function firstQuery(server) {
  const chrome = await browser();
  try {
    const begin = performance.now();
    const page = await open({ chrome, server });
    const window = seconds(begin);
    await until(page, /^Page Home/);
    await page.mouse.click(...SAMPLE);
    // While the index is being made: the hits come with it.
    await until(page, /^Page Corpus/);
    const project = seconds(begin);
    await ask(page, 'Who repaired the bridge?');
    return { window, project, hits: seconds(begin) };
  } finally {
    await chrome.close();
  }
}

/** Seconds that the tab takes for commands, one after another. */
async function inTab(at, commands, files = []) {
  const page = await blank(at);
  const said = await page.evaluate(async ({ commands, files }) => {
    const { default: init, run, put } = await import('./api.js');
    await init();
    for (const [path, text] of files) {
      await put(path, text);
    }
    const times = [];
    for (const command of commands) {
      const begin = performance.now();
      await run(command);
      times.push((performance.now() - begin) / 1000);
    }
    return times;
  }, { commands, files });
  await page.close();
  return said;
}

const server = await serve();
const chrome = await browser();
const folder = mkdtempSync(join(tmpdir(), 'ragtune-speed-'));
try {
  const loads = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    loads.push(await firstQuery(server));
  }
  say('cold load of the sample world, seconds', Object.fromEntries(Object.keys(loads[0]).map((key) => [key, median(loads.map((load) => load[key]))])));

  // The difference of two lengths leaves out what both begin with.
  await native('sample', 'generate', '--passages', '500', '--questions', '10', '--out', join(folder, 'world'));
  await native('sample', 'models', '--out', join(folder, 'models'));
  const corpus = readFileSync(join(folder, 'world/corpus.jsonl'), 'utf8').trim().split('\n');
  const texts = { few: corpus.slice(0, 100), many: corpus };
  const encoding = (name) => ({
    command: 'encode', encoder: { folder: '/speed/encoder', head: null }, texts: `/speed/${name}.jsonl`, role: 'passage', form: 's', top_k: 8, device: 'cpu',
  });
  const files = Object.entries(texts).map(([name, lines]) => [`/speed/${name}.jsonl`, `${lines.join('\n')}\n`]);
  const rounds = Array.from({ length: ROUNDS }, () => [encoding('few'), encoding('many')]).flat();
  const [, ...times] = await inTab({ chrome, server }, [{ command: 'write-sample-models', out: '/speed' }, ...rounds], files);
  const tab = median(Array.from({ length: ROUNDS }, (_, round) => times[2 * round + 1] - times[2 * round]));
  Object.entries(texts).forEach(([name, lines]) => writeFileSync(join(folder, `${name}.jsonl`), `${lines.join('\n')}\n`));
  const differences = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const times = [];
    for (const name of ['few', 'many']) {
      const begin = performance.now();
      await native('encode', '--encoder', join(folder, 'models/encoder'), '--texts', join(folder, `${name}.jsonl`), '--kind', 'passage', '--form', 's', '--top-k', '8', '--device', 'cpu');
      times.push(seconds(begin));
    }
    differences.push(times[1] - times[0]);
  }
  say('encoding 400 passages, seconds', { tab, native: median(differences), share: median(differences) / tab });

  if (process.env.RAGTUNE_DEMO) {
    // Beside each other, one core each.
    const [demo, said] = await Promise.all([
      inTab({ chrome, server }, [{ command: 'demo', out: '/demo', stages: false, seed: 0, device: 'cpu' }]),
      native('demo', '--out', join(folder, 'demo'), '--device', 'cpu', '--json', '--quiet'),
    ]);
    const { seconds: alone } = JSON.parse(said);
    say('the demo, seconds', { tab: demo[0], native: alone, times: demo[0] / alone });
  }
} finally {
  await chrome.close();
  server.close();
  rmSync(folder, { recursive: true, force: true });
}
