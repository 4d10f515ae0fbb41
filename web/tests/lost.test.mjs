// A graphics card that is lost in the middle of the work.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
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
    await api.put('/lost/texts.txt', 'The ship carries oats.\n'.repeat(600));
    window.encode = (options) => api.run({
      command: 'encode', encoder: { folder: '/lost/encoder', head: null }, texts: '/lost/texts.txt', role: 'query', form: 's', top_k: 4, device: 'gpu',
    }, options);
    window.again = api.default;
    window.records = 0;
    window.ended = window.encode({ onEvent: (name) => { window.records += name === 'record'; } }).then(() => 'it was done', (error) => error.message);
  });
  await page.waitForFunction(() => window.records > 0, null, { timeout: 300_000 });
  // The process that draws and computes, of this browser alone.
  const { status } = spawnSync('pkill', ['-KILL', '-f', '--', `--type=gpu-process.*${at.chrome.profile}`]);
  assert.equal(status, 0, 'no such process was found');
  const reason = await page.evaluate(() => window.ended);
  assert.match(reason, /graphics card was lost/);
  const records = await page.evaluate(async () => {
    await window.again();
    let records = 0;
    await window.encode({ onEvent: (name) => { records += name === 'record'; } });
    return records;
  });
  assert.equal(records, 600);
  await page.close();
});
