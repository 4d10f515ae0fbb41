// The engine in a worker. Messages wait in the module; one turn after another takes them.

import init, * as ragtune from './ragtune.js';
import { canSuspend } from './suspend.js';

async function graphics() {
  const none = (missing) => ({ missing });
  if (!navigator.gpu) {
    return none('this browser has no WebGPU, or the page is not on https');
  }
  try {
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) {
      return none('WebGPU finds no graphics card');
    }
    const { info = {}, limits } = adapter;
    return {
      name: info.description || [info.vendor, info.architecture].filter(Boolean).join(' '),
      software: Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) || /swiftshader|llvmpipe/i.test(`${info.description} ${info.architecture}`),
      binding_bytes: limits.maxStorageBufferBindingSize,
    };
  } catch (error) {
    return none(`WebGPU does not start: ${error.message}`);
  }
}

// Messages that come before the module is there.
const early = [];
let receive = (data) => early.push(data);
// The first one gives the compiled module, if whoever starts this worker has it.
const given = new Promise((first) => {
  self.onmessage = ({ data }) => {
    self.onmessage = ({ data: next }) => receive(next);
    first(data.module);
  };
});

function crashed(error) {
  // The panic's own words were sent before; this is for what is no panic.
  self.postMessage({ text: JSON.stringify({ crashed: String(error?.message ?? error) }) });
}

// A graphics card that is lost (its driver was reset, its process ended) takes everything on it along: the page starts
// this worker again, and work goes on from what was saved.
function watchDevices() {
  const request = self.GPUAdapter?.prototype.requestDevice;
  if (request) {
    GPUAdapter.prototype.requestDevice = async function requestDevice(...wanted) {
      const device = await request.apply(this, wanted);
      device.lost.then(({ reason, message }) => {
        if (reason !== 'destroyed') {
          crashed(`the graphics card was lost: ${message || 'the browser does not say why'}`);
        }
      });
      return device;
    };
  }
}

// Held as long as this worker lives, so that the page hears of its end even if nobody tells.
const lock = `ragtune-${crypto.randomUUID()}`;
const alive = () => new Promise((held) => {
  navigator.locks ? navigator.locks.request(lock, () => { held(); return new Promise(() => {}); }) : held();
});

// A page that was just left may still be letting go of the files: its worker ends when it has stopped computing. A tab that
// stays open has them for good, which mounting tells.
const PATIENCE = 5000;
async function letGo() {
  const { held = [] } = (await navigator.locks?.query()) ?? {};
  const others = held.map(({ name }) => name).filter((name) => name.startsWith('ragtune-') && name !== lock);
  if (others.length > 0) {
    const signal = AbortSignal.timeout(PATIENCE);
    await Promise.allSettled(others.map((name) => navigator.locks.request(name, { signal }, () => {})));
    // The files follow the lock.
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function start() {
  // While the module is on its way.
  const found = graphics();
  await alive();
  watchDevices();
  const wasm = await init({ module_or_path: await given });
  await letGo();
  if (!(await ragtune.worker_mount())) {
    return;
  }
  ragtune.worker_start(JSON.stringify(await found), canSuspend, lock);
  const takeTurn = canSuspend ? WebAssembly.promising(wasm.ragtune_take_turn) : async () => wasm.ragtune_take_turn();
  let busy = false;
  async function work() {
    if (busy) {
      return;
    }
    busy = true;
    while (ragtune.worker_has_work()) {
      await ragtune.worker_between_turns();
      await takeTurn();
    }
    busy = false;
  }
  receive = ({ text, file }) => {
    ragtune.worker_receive(text, file);
    work().catch(crashed);
  };
  early.forEach(receive);
}

start().catch(crashed);
