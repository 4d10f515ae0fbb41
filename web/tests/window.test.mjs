import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SAMPLE, browser, look, open, serve, until } from './browser.mjs';

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

test('the window opens, and one click indexes the sample world and begins to tune', async () => {
  const page = await open(chrome.context, server.address);
  await until(page, /^Page Home/);
  const start = await look(page, 'start');
  assert.ok(start.colours > 60 && start.most < 0.9, `nothing is drawn: ${JSON.stringify(start)}`);

  await page.mouse.click(...SAMPLE);
  await until(page, /Tuning “run-1”/);
  await until(page, /Tuning “run-1”: /);
  const tune = await look(page, 'tune');
  assert.ok(tune.colours > 60 && tune.most < 0.95, `nothing is drawn: ${JSON.stringify(tune)}`);
  assert.deepEqual(page.failures, []);
});
