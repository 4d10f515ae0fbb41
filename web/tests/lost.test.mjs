// A graphics card that is lost in the middle of the work.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blank, setUp } from './browser.mjs';
import * as tiny from './tiny.mjs';

const at = setUp();

test('a lost graphics card ends the work with its reason, and the next worker computes again', async () => {
  Object.entries(tiny.encoder()).forEach(([name, bytes]) => at.server.files.set(`/tiny/${name}`, bytes));
  const page = await blank(at);
  await page.evaluate(async () => {
    const api = await import('./api.js');
    await api.default();
    await api.fetchModel('/lost/encoder', './tiny/');
    await api.put('/lost/texts.txt', 'The ship carries oats.\n'.repeat(2000));
    window.encode = (options) => api.run({
      command: 'encode', encoder: { folder: '/lost/encoder', head: null }, texts: '/lost/texts.txt', role: 'question', form: 's', top_k: 4, device: 'gpu',
    }, options);
    window.again = api.default;
    window.records = 0;
    window.ended = window.encode({ onEvent: (name) => { window.records += name === 'record'; } }).then(() => 'it was done', (error) => error.message);
  });
  await page.waitForFunction(() => window.records > 0, null, { timeout: 300_000 });
  // The browser's own way to end the process that draws and computes.
  const killer = await at.chrome.context.newPage();
  await killer.goto('chrome://gpucrash').catch(() => {});
  const reason = await page.evaluate(() => window.ended);
  assert.match(reason, /graphics card was lost/);
  const records = await page.evaluate(async () => {
    await window.again();
    let records = 0;
    await window.encode({ onEvent: (name) => { records += name === 'record'; } });
    return records;
  });
  assert.equal(records, 2000);
  await page.close();
});
