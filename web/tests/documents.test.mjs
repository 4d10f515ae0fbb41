// A project of the user's own documents.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ADDRESS, EXPORT, NAME, ask, drawn, drop, inWindow, open, setUp, until } from './browser.mjs';

const at = setUp();

test('dropped files are indexed, and a bad one is named while the others go on', () => inWindow(at, async (page) => {
  await until(page, /^Page Home/);
  await page.mouse.click(...NAME);
  await page.keyboard.type('lighthouses');
  await page.keyboard.press('Enter');
  await until(page, /Project lighthouses/);
  await page.keyboard.press('Control+4');
  await until(page, /^Page Models/);
  // The list of models comes a moment later, and moves what is below it.
  await page.waitForTimeout(1000);
  await page.mouse.click(...ADDRESS);
  await page.waitForTimeout(500);
  await page.keyboard.type(`${at.server.address}/models/encoder`);
  await page.keyboard.press('Enter');
  await until(page, /Encoder encoder\./);
  await drop(page, [
    ['lighthouse.md', '# The lighthouse\n\nOld Maren kept the lighthouse of Skagen for forty years.\n'],
    ['school.txt', 'The school teaches music to all children of the island.\n'],
    ['broken.pdf', 'this is no pdf'],
  ]);
  await until(page, /Last: Indexing documents: Finished/, 60);
  await drawn(page, 'corpus');
  await ask(page, 'Who kept the lighthouse of Skagen?');
  await drawn(page, 'documents');
}));

test('what was indexed is there after a reload, and leaves as a zip', () => inWindow(at, async (page) => {
  await until(page, /Project lighthouses/);
  await ask(page, 'What does the school teach?');
  await page.keyboard.press('Control+1');
  await until(page, /^Page Home/);
  await drawn(page, 'home');
  const [download] = await Promise.all([page.waitForEvent('download'), page.mouse.click(...EXPORT)]);
  assert.equal(download.suggestedFilename(), 'lighthouses.zip');
  const zip = readFileSync(await download.path());
  assert.equal(zip.subarray(0, 2).toString(), 'PK');
  for (const name of ['lighthouses/project.json', 'lighthouses/index/meta.json']) {
    assert.ok(zip.includes(name), `${name} is not in it`);
  }
}));

test('a full storage is an error in words, and nothing is lost', () => inWindow(at, async (page) => {
  await until(page, /Project lighthouses/);
  const devtools = await at.chrome.context.newCDPSession(page);
  const { usage } = await devtools.send('Storage.getUsageAndQuota', { origin: at.server.address });
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: at.server.address, quotaSize: Math.round(usage) + (1 << 20) });
  await drop(page, [['large.txt', 'a sentence about oats. '.repeat(1 << 18)]]);
  await until(page, /Error: .*storage is full/);
  await drawn(page, 'full');
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: at.server.address });
  await ask(page, 'Who kept the lighthouse of Skagen?');
}));

test('a second visit needs no network', async () => {
  const page = await open(at);
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.close();
  await at.chrome.context.setOffline(true);
  try {
    await inWindow(at, (again) => until(again, /Project lighthouses/));
  } finally {
    await at.chrome.context.setOffline(false);
  }
});
