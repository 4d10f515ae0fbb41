import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blank, setUp } from './browser.mjs';
import * as tiny from './tiny.mjs';

const at = setUp();

test('the example page finds the bridge', async () => {
  const page = await at.chrome.context.newPage();
  await page.goto(`${at.server.address}/example.html`);
  await page.locator('#hits li').first().waitFor({ timeout: 120_000 });
  assert.equal(await page.locator('#hits li').first().getAttribute('data-id'), 'bridge');
  await page.fill('#question', 'What does the school teach?');
  await page.click('button');
  await page.locator('#hits li[data-id=school]:first-child').waitFor();
  await page.close();
});

test('an explanation adds up to the score, and what is wrong is an error that says what', async () => {
  const page = await blank(at);
  const found = await page.evaluate(async () => {
    const { default: init, Retriever, usage, put, read, run } = await import('./api.js');
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
    const unknown = await run({ command: 'encode', role: 'nobody' }).catch((reason) => reason.message);
    await put('/notes/a.txt', 'kept');
    const file = await read('/notes/a.txt');
    return { hit, sum: parts.reduce((sum, { product }) => sum + product, 0), error, unknown, text: await file.text(), usage: await usage() };
  });
  assert.equal(found.hit.id, 'a');
  assert.ok(Math.abs(found.sum - found.hit.score) < 1e-4, `${found.sum} ${found.hit.score}`);
  assert.match(found.error, /parametric index/);
  assert.match(found.unknown, /nobody understands/);
  assert.equal(found.text, 'kept');
  assert.ok(found.usage.files > 0 && found.usage.quota > found.usage.files);
  await page.close();
});

test('a model comes from an address, whole or in shards, and one that is not there is named', async () => {
  const whole = tiny.languageModel();
  for (const [folder, files] of [['whole', whole], ['shards', tiny.inShards(whole)]]) {
    Object.entries(files).forEach(([name, bytes]) => at.server.files.set(`/${folder}/${name}`, bytes));
  }
  at.server.files.set('/half/config.json', whole['config.json']);
  at.server.files.set('/half/tokenizer.json', whole['tokenizer.json']);
  const page = await blank(at);
  const said = await page.evaluate(async () => {
    const { default: init, run, fetchModel } = await import('./api.js');
    await init();
    const texts = [];
    for (const folder of ['whole', 'shards']) {
      await fetchModel(`/models/${folder}`, `./${folder}/`);
      const command = { command: 'generate', llm: `/models/${folder}`, prompt: 'The bridge', max_new_tokens: 5, temperature: 0, seed: 0, device: 'cpu' };
      texts.push((await run(command)).tokens);
    }
    const error = await fetchModel('/models/half', './half').catch((reason) => reason.message);
    return { texts, error };
  });
  assert.equal(said.texts[0].length, 5);
  assert.deepEqual(said.texts[0], said.texts[1]);
  assert.match(said.error, /half\/model\.safetensors.*404/);
  await page.close();
});
