// A real headless Chromium with the built page, for the tests.

import assert from 'node:assert/strict';
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { homedir, tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';
import { PNG } from 'pngjs';

const target = process.env.CARGO_TARGET_DIR ?? process.env.RAGTUNE_TARGET ?? join(homedir(), '.cache/ragtune-target');
/** The command line, which the tab is held against. */
export const program = process.env.RAGTUNE_BIN ?? join(target, 'release/ragtune');

/** Why tests against it are left out; false when it is there. */
export const noProgram = existsSync(program) ? false : `no program at ${program}: cargo build --release --workspace`;

export const dist = process.env.RAGTUNE_DIST ?? new URL('../../dist', import.meta.url).pathname;

// Software for graphics and compute; without the flags in the middle a canvas stays white.
const GPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan', '--use-angle=swiftshader', '--use-vulkan=swiftshader'];
const NO_GPU = ['--disable-features=WebGPU', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'];
const QUIET = ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', '--disable-quic'];

const kinds = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.webmanifest': 'application/json' };

/** A plain static server, as any host is: no special headers. `files`: more than the built page, by their paths. */
export async function serve() {
  const files = new Map();
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    if (files.has(path)) {
      const bytes = files.get(path);
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
      if (!range) {
        response.writeHead(200, { 'Content-Type': kinds[extname(path)] ?? 'application/octet-stream', 'Content-Length': bytes.length }).end(bytes);
        return;
      }
      const [from, to] = [Number(range[1]), Math.min(Number(range[2]), bytes.length - 1)];
      const part = bytes.subarray(from, to + 1);
      response.writeHead(206, { 'Content-Length': part.length, 'Content-Range': `bytes ${from}-${to}/${bytes.length}` }).end(part);
      return;
    }
    // The sample's encoder as a folder of its own, as models lie elsewhere.
    const model = path.replace(/^\/models\/encoder\/tokenizer/, '/sample/tokenizer').replace(/^\/models\//, '/sample/');
    const file = join(dist, normalize(path === '/' ? '/index.html' : model));
    if (!existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': kinds[extname(file)] ?? 'application/octet-stream', 'Content-Length': statSync(file).size });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { files, address: `http://localhost:${server.address().port}`, close: () => server.close() };
}

/** A browser with a profile of its own, which outlives pages. */
export async function browser({ gpu = true } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'ragtune-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless=new', ...QUIET, ...(gpu ? GPU : NO_GPU)],
    viewport: { width: 1180, height: 800 },
    acceptDownloads: true,
  });
  return {
    context,
    profile,
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A server and a browser for all tests of a file: `{server, chrome}`, there when the first one begins. */
export function setUp(options) {
  const at = {};
  before(async () => {
    at.server = await serve();
    at.chrome = await browser(options);
  });
  after(async () => {
    await at.chrome?.close();
    at.server?.close();
  });
  return at;
}

/** A page of the origin without the window: scripts bring the engine along. */
export async function blank({ chrome, server }) {
  const page = await chrome.context.newPage();
  await page.goto(`${server.address}/icon.svg`);
  return page;
}

/** Opens the window and waits until the engine can take jobs. */
export async function open({ chrome, server }) {
  const page = await chrome.context.newPage();
  page.failures = [];
  page.on('pageerror', (error) => page.failures.push(error.message));
  await page.goto(server.address);
  await page.waitForFunction(() => document.documentElement.dataset.ready || !document.getElementById('broken').hidden, null, { timeout: 120_000 });
  return page;
}

/** What the window says of itself, in the text beside the canvas. */
export const says = (page) => page.locator('#status').textContent();

/** Waits until it says something. */
export async function until(page, pattern, seconds = 240) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const text = await says(page);
    if (pattern.test(text)) {
      return text;
    }
    const broken = await page.locator('#broken').isVisible();
    if (broken || Date.now() > end) {
      const reason = await page.locator('#reason').textContent();
      throw new Error(`${pattern} never came; the window says: ${text}; broken: ${broken} ${reason}; ${page.failures.join('; ')}`);
    }
    await page.waitForTimeout(50);
  }
}

/** How many colours a screenshot has, and which share its most frequent one takes: a blank canvas has few and a large one. */
async function look(page, name) {
  const bytes = await page.screenshot(process.env.RAGTUNE_SCREENS ? { path: join(process.env.RAGTUNE_SCREENS, `${name}.png`) } : {});
  const { data } = PNG.sync.read(bytes);
  const seen = new Map();
  for (let at = 0; at < data.length; at += 4) {
    const colour = (data[at] << 16) | (data[at + 1] << 8) | data[at + 2];
    seen.set(colour, (seen.get(colour) ?? 0) + 1);
  }
  return { colours: seen.size, most: Math.max(...seen.values()) / (data.length / 4) };
}

/** Drops files on the window: names with their contents. */
export async function drop(page, files) {
  await page.evaluate((files) => {
    const dataTransfer = new DataTransfer();
    files.forEach(([name, content]) => dataTransfer.items.add(new File([content], name)));
    const canvas = document.getElementById('app');
    for (const kind of ['dragover', 'drop']) {
      canvas.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
    }
  }, files);
}

/** Fails when a screenshot shows nothing but ground. */
export async function drawn(page, name) {
  const seen = await look(page, name);
  assert.ok(seen.colours > 60 && seen.most < 0.95, `nothing is drawn: ${name} ${JSON.stringify(seen)}`);
}

/** Works in a window. One at a time has the files, so it is closed, come what may. */
export async function inWindow(at, work) {
  const page = await open(at);
  try {
    await work(page);
    assert.deepEqual(page.failures, []);
  } finally {
    await page.close();
  }
}

/** Types a question on the page Query and waits for its hits. */
export async function ask(page, question) {
  await page.keyboard.press('Control+k');
  await until(page, /^Page Query/, 10);
  await page.keyboard.press('Control+a');
  await page.keyboard.type(question, { delay: 20 });
  return until(page, /Page Query\..* [1-9]\d* hits/, 60);
}

/** Where the button of the sample world is in a window of this size. */
export const SAMPLE = [238, 216];
/** Where the field for a project's name is. */
export const NAME = [300, 341];

/** Where the field for an encoder's address is on the page Models. */
export const ADDRESS = [435, 333];

/** Where the button that exports the open project is on the page Home. */
export const EXPORT = [250, 716];

/** Fails unless numbers are as near as is said, absolute and relative. */
export function close(what, found, wanted, tolerance) {
  assert.equal(found.length, wanted.length, `${what}: ${found.length} numbers and not ${wanted.length}`);
  assert.ok(wanted.length > 0, `${what}: there are none`);
  found.forEach((value, i) => {
    const off = Math.abs(value - wanted[i]);
    assert.ok(off <= tolerance * (1 + Math.abs(wanted[i])), `${what} ${i}: ${value} and not ${wanted[i]}`);
  });
}
