// A browser without WebGPU.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blank, drawn, inWindow, setUp, until } from './browser.mjs';

const at = setUp({ gpu: false });

test('the window is painted without WebGPU, and says that the processor computes and why', () => inWindow(at, async (page) => {
  await until(page, /Computes: the processor computes, one thread: .*WebGPU/);
  await drawn(page, 'no-webgpu');
}));

test('a search works on the processor', async () => {
  const page = await blank(at);
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
