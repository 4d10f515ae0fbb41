import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SAMPLE, ask, drawn, inWindow, says, setUp, until } from './browser.mjs';

const at = setUp();

test('the sample world: one click indexes and tunes, and a search is answered meanwhile', () => inWindow(at, async (page) => {
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
}));

test('a tab that was closed in the middle of a tuning goes on when it is opened again', () => inWindow(at, async (page) => {
  await until(page, /Tuning “run-1”: /);
  await page.reload();
  await until(page, /Tuning “run-1”: /);
}));

test('an engine that is killed is started again and tunes on, and the window says so', () => inWindow(at, async (page) => {
  await until(page, /Tuning “run-1”: /);
  const [worker] = page.workers();
  await worker.evaluate(() => self.close());
  await until(page, /Error: .*started again/);
  await until(page, /Note: The tuning “run-1” goes on/);
  await until(page, /Tuning “run-1”: /);
  await ask(page, 'What does the workshop make?');
}));

test('what breaks the window is shown as a page with a way out', () => inWindow(at, async (page) => {
  await page.evaluate(async () => (await import('./broken.js')).broken('the test broke it'));
  assert.ok(await page.locator('#broken').isVisible());
  assert.match(await page.locator('#reason').textContent(), /the test broke it/);
  await page.click('#reload');
  await until(page, /^Page /);
}));
