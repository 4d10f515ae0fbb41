// Loads the module with a bar that tells how far it is, and opens the window.

import { broken } from './broken.js';

const build = '%BUILD%';

addEventListener('error', ({ message }) => broken(message));
addEventListener('unhandledrejection', ({ reason }) => broken(reason?.message ?? reason));

document.getElementById('reload').addEventListener('click', () => location.reload());
document.getElementById('forget').addEventListener('click', async () => {
  // Settings only: what is remembered of the window may be what breaks it.
  localStorage.clear();
  location.reload();
});

if ('serviceWorker' in navigator) {
  // Without one the page works as well, only not offline.
  navigator.serviceWorker.register('./sw.js').catch(() => {});
}

// Asked once; browsers answer by themselves or ask the user.
navigator.storage?.persist?.();

async function module() {
  const response = await fetch(`./ragtune_bg.wasm?${build}`);
  if (!response.ok) {
    throw new Error(`the module cannot be loaded: ${response.status} ${response.statusText}`);
  }
  const bar = document.getElementById('bar');
  const total = Number(document.documentElement.dataset.wasm) || 0;
  let done = 0;
  const counted = new TransformStream({
    transform(part, out) {
      done += part.byteLength;
      if (total) {
        bar.value = Math.min(done / total, 1);
      }
      out.enqueue(part);
    },
  });
  const whole = new Response(response.body.pipeThrough(counted), { headers: { 'Content-Type': 'application/wasm' } });
  return WebAssembly.compileStreaming(whole);
}

// Those for text first.
const FONTS = ['Ubuntu-Light', 'Hack', 'egui-icons', 'NotoEmoji-Regular', 'emoji-icon-font'];

async function fonts() {
  const files = await Promise.all(FONTS.map((name) => fetch(`./fonts/${name}.ttf`)));
  const missing = files.find((file) => !file.ok);
  if (missing) {
    throw new Error(`a font cannot be loaded: ${missing.url}: ${missing.status} ${missing.statusText}`);
  }
  const bytes = await Promise.all(files.map((file) => file.arrayBuffer()));
  return Object.fromEntries(FONTS.map((name, at) => [name, new Uint8Array(bytes[at])]));
}

async function start() {
  const missing = [
    ['WebAssembly', typeof WebAssembly === 'object'],
    ['module workers', typeof Worker === 'function'],
    ['a file system of its own (OPFS)', Boolean(navigator.storage?.getDirectory)],
  ].filter(([, there]) => !there);
  if (missing.length > 0) {
    throw new Error(`this browser lacks ${missing.map(([name]) => name).join(', ')}; a current Chrome, Edge, Firefox or Safari has them`);
  }
  // It loads while the module does; the window sends it that.
  const worker = new Worker('./worker.js', { type: 'module' });
  worker.onerror = ({ message }) => broken(message ?? 'the worker does not load');
  const [ragtune, compiled, given] = await Promise.all([import('./ragtune.js'), module(), fonts()]);
  await ragtune.default({ module_or_path: compiled });
  // The worker runs the same module, and need not compile it again.
  await ragtune.start_page(document.getElementById('app'), './worker.js', worker, compiled, given);
  document.getElementById('loading').remove();
  document.documentElement.dataset.ready = 'yes';
}

start().catch((error) => broken(error?.message ?? error));
