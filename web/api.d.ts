// Types of api.js.

/** What the worker says when it is ready. */
export interface Ready {
  /** Whether a job can be stopped, and searched beside, while it runs. */
  listens: boolean;
  /** What computes, in words. */
  device: string;
}

/** Starts the worker. One tab of an origin at a time has the files. */
export default function init(options?: { worker?: string | URL }): Promise<Ready>;

export interface Options {
  /** Hears everything that a job says on the way: its progress, warnings, records. */
  onEvent?: (name: string, body: unknown) => void;
  /** Stops the job. */
  signal?: AbortSignal;
}

/** Runs a command of the engine, as a line of a transcript holds it; gives its report. */
export function run(command: { command: string; [setting: string]: unknown }, options?: Options): Promise<any>;

/** Keeps a File, a Blob, bytes or a text under a path of the worker's disk. */
export function put(path: string, content: Blob | BufferSource | string): Promise<{ path: string }>;

/** Fetches a URL into the disk, in parts; what is there whole is not fetched again. `sha256`: hex digits. */
export function fetchInto(path: string, url: string | URL, sha256?: string | null): Promise<{ path: string }>;

/** Fetches the folder of a model, as Hugging Face lays it out: weights in one file or in shards. */
export function fetchModel(path: string, url: string | URL): Promise<{ path: string }>;

/** A file of the disk, or a folder as a zip. */
export function read(path: string): Promise<File>;

/** Bytes of ragtune's files, of the origin, granted; whether the browser keeps them. */
export function usage(): Promise<{ files: number; used: number; quota: number; persistent: boolean }>;

export interface Passage {
  id: string | number;
  title?: string;
  text: string;
}

export interface Hit {
  id: string;
  rank: number;
  score: number;
  title: string;
  text: string;
  explain?: Product[] | null;
}

/** A token's part in a score. */
export interface Product {
  token: string;
  id: number;
  query_weight: number;
  passage_weight: number;
  product: number;
}

export type Mode = 'bot' | 'own' | 'full' | 'alpha' | 'late';

/** An encoder with an index of passages. */
export class Retriever {
  /**
   * `encoder`: 'sample' for the one that ships, the address of a Hugging Face folder, or its files by name.
   * `name`: where the index lies; the same name finds it again.
   */
  static load(options?: {
    encoder?: 'sample' | string | URL | Record<string, Blob | BufferSource | string>;
    name?: string;
    device?: 'auto' | 'cpu' | 'gpu';
  }): Promise<Retriever>;

  /** Indexes passages in the place of those before; with `parametric` an encoder reads them, for `full` and `alpha`. */
  index(passages: Passage[], options?: Options & { parametric?: boolean }): Promise<any>;

  /** The best passages, best first. */
  search(question: string, options?: Options & { mode?: Mode; k?: number; m?: number; explain?: boolean }): Promise<Hit[]>;

  /** The parts of the score of one of the best hundred passages; they add up to it. */
  explain(question: string, id: string, options?: Options & { mode?: Mode; m?: number }): Promise<Product[]>;
}
