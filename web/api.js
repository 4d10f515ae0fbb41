// The engine for scripts, without the window: the same worker, the same commands as the command line sends.
//
//   import init, { Retriever } from './api.js';
//   await init();
//   const retriever = await Retriever.load({ encoder: 'sample' });
//   await retriever.index([{ id: 'a', title: 'The bridge', text: 'Ada Holm built the bridge in 1912.' }]);
//   const hits = await retriever.search('who built the bridge?', { k: 3 });

let worker = null;
let ready = null;
let jobs = 0;
const open = new Map();
const beside = [];

function hear({ data }) {
  const message = JSON.parse(data.text);
  const [[kind, value]] = Object.entries(typeof message === 'string' ? { [message]: null } : message);
  if (kind === 'event') {
    const { job, kind: what } = value.event;
    const [[name, body]] = Object.entries(typeof what === 'string' ? { [what]: null } : what);
    const one = open.get(job);
    if (!one) {
      return;
    }
    one.onEvent?.(name, body);
    if (name === 'report') {
      [one.report] = Object.values(body);
    } else if (name === 'finished') {
      open.delete(job);
      one.resolve(one.report);
    } else if (name === 'failed') {
      open.delete(job);
      one.reject(new Error(body.error));
    } else if (name === 'cancelled') {
      open.delete(job);
      one.reject(new DOMException('the job was stopped', 'AbortError'));
    }
  } else if (kind === 'ready') {
    ready.resolve(value);
  } else if (kind === 'no-files' || kind === 'crashed') {
    const error = new Error(value);
    ready.reject(error);
    open.forEach((one) => one.reject(error));
    open.clear();
    beside.splice(0).forEach((one) => one.reject(error));
    if (kind === 'crashed') {
      worker?.terminate();
      worker = null;
    }
  } else {
    const at = beside.findIndex((one) => one.kinds.includes(kind));
    if (at >= 0) {
      const [one] = beside.splice(at, 1);
      if (kind === 'failed') {
        one.reject(new Error(value));
      } else {
        one.resolve({ ...value, bytes: data.bytes });
      }
    } else if (kind === 'failed' && open.size > 0) {
      // A command that the engine cannot read is told of at once: it is the newest.
      const [job, one] = [...open].at(-1);
      open.delete(job);
      one.reject(new Error(value));
    }
  }
}

function post(what, file) {
  if (!worker) {
    throw new Error('call init() first, and again after the worker has crashed');
  }
  worker.postMessage({ text: JSON.stringify(what), file });
}

function ask(what, kinds, file) {
  return new Promise((resolve, reject) => {
    beside.push({ kinds: [...kinds, 'failed'], resolve, reject });
    post(what, file);
  });
}

/**
 * Starts the worker. Gives what computes (`device`) and whether a job can be stopped and searched beside (`listens`).
 * One tab of an origin at a time has the files.
 */
export default async function init({ worker: script = new URL('./worker.js', import.meta.url) } = {}) {
  if (!worker) {
    ready = Promise.withResolvers();
    const mine = new Worker(script, { type: 'module' });
    worker = mine;
    worker.onmessage = hear;
    // A page without a window has compiled nothing to give.
    worker.postMessage({ module: undefined });
    worker.onerror = (error) => hear({ data: { text: JSON.stringify({ crashed: error.message ?? 'the worker does not load' }) } });
    // The worker holds a lock, which the browser takes from the dead.
    ready.promise.then(({ lock }) => navigator.locks?.request(lock, () => {
      if (worker === mine) {
        hear({ data: { text: JSON.stringify({ crashed: 'its thread was ended' }) } });
      }
    }), () => {});
  }
  return ready.promise;
}

/**
 * Runs a command of the engine; gives its report. `onEvent(name, body)` hears everything on the way; `signal` stops it.
 * What commands there are: `crates/ragtune-engine/src/command.rs`; a transcript of the window holds one a line.
 */
export function run(command, { onEvent, signal } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    jobs += 1;
    const job = jobs;
    open.set(job, { resolve, reject, onEvent });
    signal?.addEventListener('abort', () => post({ flag: { session: 0, job, flag: 'cancel' } }));
    post({ submit: { session: 0, job, command, transcript: null } });
  });
}

/** Keeps a File, a Blob or a text under a path of the worker's disk. */
export function put(path, content) {
  const file = content instanceof Blob ? content : new Blob([content]);
  return ask({ import: { path } }, ['kept'], file);
}

/** Fetches a URL into the disk, in parts; what is there whole is not fetched again. */
export function fetchInto(path, url, sha256 = null) {
  return ask({ fetch: { url: String(new URL(url, location.href)), path, sha256 } }, ['kept']);
}

/** Fetches the folder of a model, as Hugging Face lays it out: weights in one file or in shards. */
export function fetchModel(path, url) {
  return ask({ 'fetch-model': { url: String(new URL(url, location.href)), path } }, ['kept']);
}

/** A file of the disk, or a folder as a zip. */
export async function read(path) {
  const { name, bytes } = await ask({ export: { path } }, ['exported']);
  return new File([bytes], name);
}

/** How full the disk is: bytes of ragtune's files, of the origin, granted; whether they are kept. */
export function usage() {
  return ask('usage', ['usage']);
}

/** An encoder with an index of passages. */
export class Retriever {
  #folder;
  #encoder;
  #device;

  constructor(folder, encoder, device) {
    this.#folder = folder;
    this.#encoder = { folder: encoder, head: null };
    this.#device = device;
  }

  /**
   * `encoder`: 'sample' for the one that ships, a URL prefix of a Hugging Face folder, or its files by name.
   * `name`: where the index lies; the same name finds it again. `device`: 'auto', 'cpu' or 'gpu'.
   */
  static async load({ encoder = 'sample', name = 'retriever', device = 'auto' } = {}) {
    const folder = `/api/${name}`;
    if (encoder === 'sample') {
      await run({ command: 'write-sample-models', out: '/api/sample' });
      return new Retriever(folder, '/api/sample/encoder', device);
    }
    const at = `${folder}/encoder`;
    if (typeof encoder === 'string' || encoder instanceof URL) {
      await fetchModel(at, encoder);
    } else {
      for (const [file, content] of Object.entries(encoder)) {
        await put(`${at}/${file}`, content);
      }
    }
    return new Retriever(folder, at, device);
  }

  /** Indexes passages `{id, title, text}`, in the place of those before. Gives the engine's report. */
  async index(passages, { parametric = false, ...options } = {}) {
    const lines = passages.map(({ id, title = '', text }) => JSON.stringify({ _id: String(id), title, text }));
    const corpus = `${this.#folder}/corpus.jsonl`;
    await put(corpus, `${lines.join('\n')}\n`);
    const command = {
      command: 'build-index',
      corpus: [corpus],
      tokenizer: null,
      encoder: this.#encoder,
      parametric,
      memory: null,
      out: `${this.#folder}/index`,
      device: this.#device,
    };
    return run(command, options);
  }

  /** The best passages, best first: `{id, rank, score, title, text, explain, marks}`. */
  async search(question, { mode = 'late', k = 10, m = 100, explain = false, ...options } = {}) {
    const command = {
      command: 'search',
      index: `${this.#folder}/index`,
      encoder: this.#encoder,
      settings: { mode, k, m: Math.max(m, k) },
      queries: { text: question },
      run_file: null,
      explain,
      device: this.#device,
    };
    const { queries } = await run(command, options);
    return queries[0].hits;
  }

  /** Which tokens make a passage's score, largest product first; the products sum to the score. */
  async explain(question, id, options = {}) {
    const hits = await this.search(question, { ...options, k: 100, explain: true });
    const hit = hits.find((one) => one.id === String(id));
    return hit ? hit.explain : [];
  }
}
