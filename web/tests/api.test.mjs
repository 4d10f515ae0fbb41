import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browser, serve } from './browser.mjs';

let server;
let chrome;

before(async () => {
  server = await serve();
  chrome = await browser();
});

after(async () => {
  await chrome?.close();
  server?.close();
});

async function blank() {
  const page = await chrome.context.newPage();
  // Any page of the origin will do: scripts bring the engine along.
  await page.goto(`${server.address}/icon.svg`);
  return page;
}

test('the example page finds the bridge', async () => {
  const page = await chrome.context.newPage();
  await page.goto(`${server.address}/example.html`);
  await page.locator('#hits li').first().waitFor({ timeout: 120_000 });
  assert.equal(await page.locator('#hits li').first().getAttribute('data-id'), 'bridge');
  await page.fill('#question', 'What does the school teach?');
  await page.click('button');
  await page.locator('#hits li[data-id=school]:first-child').waitFor();
  await page.close();
});

test('an explanation adds up to the score, and what is wrong is an error that says what', async () => {
  const page = await blank();
  const found = await page.evaluate(async () => {
    const { default: init, Retriever, usage, put, read } = await import('./api.js');
    await init();
    const retriever = await Retriever.load({ name: 'explained' });
    const passages = [
      { id: 'a', text: 'The ship carries oats.' },
      { id: 'b', text: 'The school teaches music.' },
    ];
    await retriever.index(passages);
    const [hit] = await retriever.search('What does the ship carry?', { mode: 'bot', k: 1 });
    const parts = await retriever.explain('What does the ship carry?', 'a', { mode: 'bot' });
    const error = await retriever.search('x', { mode: 'full' }).catch((reason) => reason.message);
    await put('/notes/a.txt', 'kept');
    const file = await read('/notes/a.txt');
    return { hit, sum: parts.reduce((sum, { product }) => sum + product, 0), error, text: await file.text(), usage: await usage() };
  });
  assert.equal(found.hit.id, 'a');
  assert.ok(Math.abs(found.sum - found.hit.score) < 1e-4, `${found.sum} ${found.hit.score}`);
  assert.match(found.error, /parametric index/);
  assert.equal(found.text, 'kept');
  assert.ok(found.usage.files > 0 && found.usage.quota > found.usage.files);
  await page.close();
});

test('training on WebGPU lowers the loss as training on the processor does', async () => {
  const page = await blank();
  const found = await page.evaluate(async () => {
    const { default: init, run } = await import('./api.js');
    const { device, listens } = await init();
    await run({ command: 'open-project', folder: '/api/gold', sample: { passages: 100, questions: 40 } });
    const encoder = { folder: '/api/gold/models/encoder', head: null };
    await run({ command: 'build-index', corpus: ['/api/gold/world/corpus.jsonl'], tokenizer: null, encoder, parametric: false, memory: null, out: '/api/gold/index', device: 'cpu' });
    const losses = {};
    for (const where of ['cpu', 'gpu']) {
      const settings = { supervision: 'gold', batch: 4, max_steps: 3, dev_questions: 0, dev_every: 1000, log_every: 1 };
      losses[where] = [];
      await run(
        {
          command: 'tune', corpus: [], index: '/api/gold/index', questions: { path: '/api/gold/world', id_prefix: null, aliases: null }, encoder,
          llm: null, template: null, supervision: 'gold', stages: ['offline'], config: null, settings, out: `/api/gold/${where}`, resume: null, seed: 7, device: where,
        },
        {
          onEvent: (name, body) => {
            if (name === 'steps') {
              losses[where].push(...body.filter(({ kind }) => kind === 'step').map(({ loss }) => loss));
            }
          },
        },
      ).catch((error) => losses[where].push(error.message));
    }
    return { device, listens, losses };
  });
  const { cpu, gpu } = found.losses;
  assert.ok(found.listens, 'this Chromium can hold WebAssembly');
  assert.equal(cpu.length, 3, JSON.stringify(found));
  assert.equal(gpu.length, 3, JSON.stringify(found));
  cpu.forEach((loss, at) => assert.ok(Math.abs(loss - gpu[at]) < 2e-3 * Math.abs(loss), JSON.stringify(found)));
  assert.ok(cpu[2] < cpu[0], JSON.stringify(found));
  await page.close();
});
