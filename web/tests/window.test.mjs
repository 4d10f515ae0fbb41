import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SAMPLE, browser, look, open, says, serve, until } from './browser.mjs';

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

test('the window opens, tunes the sample world while it is searched, and goes on after the tab was closed', async () => {
  let page = await open(chrome.context, server.address);
  await until(page, /^Page Home/);
  const start = await look(page, 'start');
  assert.ok(start.colours > 60 && start.most < 0.9, `nothing is drawn: ${JSON.stringify(start)}`);

  await page.mouse.click(...SAMPLE);
  await until(page, /Tuning “run-1”/);
  // A search in between, typed into the window.
  await page.keyboard.press('Control+6');
  await until(page, /Page Query/);
  await page.waitForTimeout(500);
  await page.keyboard.type('Who is the owner of the works?', { delay: 20 });
  await until(page, /Page Query.* [1-9][0-9]* hits/);
  const query = await look(page, 'query');
  assert.ok(query.colours > 100, 'hits with marked words are drawn');
  assert.match(await says(page), /Tuning “run-1”/, 'it tunes on');

  // The tab is closed in the middle; the next one finds the project and goes on with the run.
  await page.close();
  page = await open(chrome.context, server.address);
  await until(page, /Note: The tuning “run-1” goes on/);
  await until(page, /Tuning “run-1”: /);
  await page.keyboard.press('Control+5');
  await until(page, /Page Tune/);
  await look(page, 'tune');
  assert.deepEqual(page.failures, []);
  await page.close();
});

test('a worker that ends is started again and says so', async () => {
  const page = await open(chrome.context, server.address);
  await until(page, /^Page/);
  const [worker] = page.workers();
  await worker.evaluate(() => self.postMessage({ text: JSON.stringify({ crashed: 'a test ended it' }) }));
  await until(page, /Error: [^.]*stopped and was started again/);
  await until(page, /Project The sample world/);
  await page.close();
});
