// Holds WebAssembly while a promise is open, where the browser can (JSPI). The module imports both functions as they
// are: see crates/ragtune-engine/src/host/web/suspend.rs.

let woken = false;
let waiting = null;

export const canSuspend = typeof WebAssembly.Suspending === 'function' && typeof WebAssembly.promising === 'function';

export function wake() {
  if (waiting) {
    waiting();
  } else {
    woken = true;
  }
}

// A message of one's own comes after those that wait already, and without the 4 ms that a timer takes.
const channel = new MessageChannel();
let turn = null;
channel.port1.onmessage = () => turn?.();

function held(milliseconds) {
  if (milliseconds === 0) {
    return new Promise((resolve) => {
      turn = resolve;
      channel.port2.postMessage(null);
    });
  }
  if (milliseconds > 0) {
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
  }
  if (woken) {
    woken = false;
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    waiting = () => {
      waiting = null;
      resolve();
    };
  });
}

export const suspend = canSuspend ? new WebAssembly.Suspending(held) : () => {};
