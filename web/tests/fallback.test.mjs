// A browser without WebGPU.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { blank, browser, look, open, serve, until } from './browser.mjs';

let server;
let chrome;

before(async () => {
  server = await serve();
  chrome = await browser({ gpu: false });
});

after(async () => {
  await chrome?.close();
  server?.close();
});

test('the window is painted without WebGPU, and says that the processor computes and why', async () => {
  const page = await open(chrome.context, server.address);
  await until(page, /Computes: the processor computes, one thread: .*WebGPU/);
  const seen = await look(page, 'no-webgpu');
  assert.ok(seen.colours > 60 && seen.most < 0.95, `nothing is drawn: ${JSON.stringify(seen)}`);
  assert.deepEqual(page.failures, []);
  await page.close();
});

test('a search works on the processor', async () => {
  const page = await blank(chrome.context, server.address);
  const best = await page.evaluate(async () => {
    const { default: init, Retriever } = await import('./api.js');
    const { device } = await init();
    const retriever = await Retriever.load();
    await retriever.index([{ id: 'a', text: 'The ship carries oats.' }, { id: 'b', text: 'The school teaches music.' }]);
    const [hit] = await retriever.search('What does the ship carry?', { mode: 'bot', k: 1 });
    return { device, id: hit.id };
  });
  assert.equal(best.id, 'a');
  assert.match(best.device, /processor/);
  await page.close();
});
