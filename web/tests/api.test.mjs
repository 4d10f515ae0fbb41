import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blank, setUp } from './browser.mjs';

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
