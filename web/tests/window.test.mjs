import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SAMPLE, browser, drop, look, open, says, serve, until } from './browser.mjs';

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

async function drawn(page, name) {
  const seen = await look(page, name);
  assert.ok(seen.colours > 60 && seen.most < 0.95, `nothing is drawn: ${name} ${JSON.stringify(seen)}`);
}

/** Types a question on the page Query and waits for its hits. */
async function ask(page, question) {
  await page.keyboard.press('Control+k');
  await until(page, /^Page Query/, 10);
  await page.keyboard.press('Control+a');
  await page.keyboard.type(question, { delay: 20 });
  return until(page, /Page Query\..* [1-9]\d* hits/, 60);
}

test('the sample world: one click indexes and tunes, and a search is answered meanwhile', async () => {
  const page = await open(chrome.context, server.address);
  await until(page, /^Page Home/);
  await drawn(page, 'start');
  await page.mouse.click(...SAMPLE);
  await until(page, /Tuning “run-1”: /);
  await drawn(page, 'tune');
  await ask(page, 'Who repaired the bridge?');
  assert.match(await says(page), /Tuning “run-1”/, 'the search came after the tuning');
  await drawn(page, 'query');
  // Half a phone's size: the search box and the hits are there.
  await page.setViewportSize({ width: 400, height: 780 });
  await page.waitForTimeout(500);
  await drawn(page, 'query-narrow');
  await page.setViewportSize({ width: 1180, height: 800 });
  assert.deepEqual(page.failures, []);
  await page.close({ runBeforeUnload: false });
});

test('a tab that was closed in the middle of a tuning goes on when it is opened again', async () => {
  const page = await open(chrome.context, server.address);
  await until(page, /Tuning “run-1”: /);
  await page.reload();
  await until(page, /Tuning “run-1”: /);
  assert.deepEqual(page.failures, []);
  await page.close();
});

test('an engine that is killed is started again, and the window says so', async () => {
  const page = await open(chrome.context, server.address);
  await until(page, /Project /);
  const [worker] = page.workers();
  await worker.evaluate(() => self.close());
  await until(page, /Error: .*started again/);
  await ask(page, 'What does the workshop make?');
  assert.deepEqual(page.failures, []);
  await page.close();
});

test('dropped files are indexed, and a bad one is named while the others go on', async () => {
  const page = await open(chrome.context, server.address);
  await until(page, /Project /);
  await drop(page, [
    ['lighthouse.md', '# The lighthouse\n\nOld Maren kept the lighthouse of Skagen for forty years.\n'],
    ['broken.pdf', 'this is no pdf'],
  ]);
  await until(page, /Last: [^.]*index[^.]*: Finished/i);
  await drawn(page, 'corpus');
  await ask(page, 'Who kept the lighthouse of Skagen?');
  assert.deepEqual(page.failures, []);
  await page.close();
});

test('a full storage is an error in words, and nothing is lost', async () => {
  const page = await open(chrome.context, server.address);
  await until(page, /Project /);
  const devtools = await chrome.context.newCDPSession(page);
  const { usage } = await devtools.send('Storage.getUsageAndQuota', { origin: server.address });
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: server.address, quotaSize: Math.round(usage) + (1 << 20) });
  await drop(page, [['large.txt', 'a sentence about oats. '.repeat(1 << 18)]]);
  await until(page, /Error: .*storage is full/);
  await drawn(page, 'full');
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: server.address });
  await ask(page, 'Who kept the lighthouse of Skagen?');
  await page.close();
});

test('a second visit needs no network', async () => {
  const page = await open(chrome.context, server.address);
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.close();
  await chrome.context.setOffline(true);
  const again = await open(chrome.context, server.address);
  await until(again, /^Page /);
  await chrome.context.setOffline(false);
  await again.close();
});

test('what breaks the window is shown as a page with a way out', async () => {
  const page = await open(chrome.context, server.address);
  await page.evaluate(async () => (await import('./broken.js')).broken('the test broke it'));
  assert.ok(await page.locator('#broken').isVisible());
  assert.match(await page.locator('#reason').textContent(), /the test broke it/);
  await page.click('#reload');
  await until(page, /^Page /);
  await page.close();
});
