//! The page's side: one worker for all lines, started again when it ends.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};

use js_sys::{Function, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{ErrorEvent, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::{Flag, ToPage, ToWorker};
use crate::event::EventKind;
use crate::{Command, Event, JobId};

/// What came from the worker beside jobs, with bytes beside it.
pub type Notice = (ToPage, Option<Vec<u8>>);

struct Line {
    events: Sender<Event>,
    wake: Rc<dyn Fn()>,
}

/// A job that is not over.
struct Open {
    session: u32,
    job: JobId,
    command: Box<Command>,
    transcript: Option<PathBuf>,
    begun: bool,
}

#[derive(Default)]
struct State {
    script: String,
    /// The compiled module, if the page has one to give.
    module: JsValue,
    worker: Option<Worker>,
    /// What the worker holds as long as it lives; known once it is ready.
    lock: String,
    lines: BTreeMap<u32, Line>,
    open: Vec<Open>,
    /// Whether the worker hears messages while a job runs; known once it is ready.
    listens: Option<bool>,
    notices: VecDeque<Notice>,
    next: u32,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// What the page may ask of the worker beside jobs.
#[derive(Debug, Clone, Copy)]
pub struct Bridge;

/// The way to the worker.
pub fn bridge() -> Bridge {
    Bridge
}

impl Bridge {
    /// Takes the first worker, and says which script starts another one and which compiled module (a
    /// `WebAssembly.Module`) they get, so that none compiles it again; before the first session.
    pub fn begin(self, script: &str, worker: Worker, module: JsValue) {
        STATE.with_borrow_mut(|state| {
            script.clone_into(&mut state.script);
            state.module = module;
        });
        employ(worker);
    }

    /// Keeps a file of the user's (a JavaScript `File` or `Blob`) under a path.
    pub fn import(self, path: PathBuf, file: &JsValue) {
        post(&ToWorker::Import { path }, Some(file));
    }

    /// Asks for something that is no job.
    pub fn ask(self, what: &ToWorker) {
        post(what, None);
    }

    /// What came since the last call.
    pub fn notices(self) -> Vec<Notice> {
        STATE.with_borrow_mut(|state| state.notices.drain(..).collect())
    }

    /// Whether the worker hears messages while a job runs; none as long as nobody knows.
    pub fn listens(self) -> Option<bool> {
        STATE.with_borrow(|state| state.listens)
    }

    /// Ends the worker as a crash would; the next look at the lines starts it again.
    pub fn kill(self) {
        crashed("it was ended".to_owned());
    }
}

/// A line to the engine in the worker: takes commands, gives events; jobs of one line run one after another.
pub struct Session {
    id: u32,
    events: Receiver<Event>,
    next: u64,
    transcript: Option<PathBuf>,
}

impl Session {
    /// A line without a waker.
    pub fn spawn() -> io::Result<Self> {
        Self::spawn_waking(|| {})
    }

    /// A line; `wake` is called after every event. The worker is started with the first one.
    pub fn spawn_waking(wake: impl Fn() + 'static) -> io::Result<Self> {
        let (outbox, events) = mpsc::channel();
        let id = STATE.with_borrow_mut(|state| {
            state.next += 1;
            state.lines.insert(state.next, Line { events: outbox, wake: Rc::new(wake) });
            state.next
        });
        ensure_worker()?;
        Ok(Self { id, events, next: 0, transcript: None })
    }

    /// Appends every job that is submitted from now on to a transcript, as it begins; none stops that.
    pub fn record_to(&mut self, transcript: Option<PathBuf>) {
        self.transcript = transcript;
    }

    /// Queues a job and gives its number.
    pub fn submit(&mut self, command: Command) -> JobId {
        self.next += 1;
        let (session, job) = (self.id, JobId(self.next));
        let (command, transcript) = (Box::new(command), self.transcript.clone());
        post(&ToWorker::Submit { session, job, command: command.clone(), transcript: transcript.clone() }, None);
        STATE.with_borrow_mut(|state| {
            state.open.push(Open { session, job, command, transcript, begun: false });
        });
        job
    }

    /// Asks a job to stop. Where the worker does not listen while it works, it is ended and started again.
    pub fn cancel(&self, job: JobId) {
        let deaf = STATE.with_borrow(|state| state.listens == Some(false));
        if deaf {
            return restart_without(self.id, job);
        }
        self.flag(job, Flag::Cancel);
    }

    /// Asks a job to wait at its next step.
    pub fn pause(&self, job: JobId) {
        self.flag(job, Flag::Pause);
    }

    /// Lets a paused job go on.
    pub fn resume(&self, job: JobId) {
        self.flag(job, Flag::Resume);
    }

    fn flag(&self, job: JobId, flag: Flag) {
        post(&ToWorker::Flag { session: self.id, job, flag }, None);
    }

    /// Ends the worker, of all lines.
    pub fn stop(&mut self) {
        bridge().kill();
    }

    /// What the jobs say.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        STATE.with_borrow_mut(|state| state.lines.remove(&self.id));
    }
}

fn post(what: &ToWorker, file: Option<&JsValue>) {
    let message = Object::new();
    let text = serde_json::to_string(what).unwrap_or_default();
    let _ = Reflect::set(&message, &"text".into(), &text.into());
    if let Some(file) = file {
        let _ = Reflect::set(&message, &"file".into(), file);
    }
    STATE.with_borrow(|state| {
        if let Some(worker) = &state.worker {
            // A file that cannot be sent is not one; the worker says what is missing.
            let _ = worker.post_message(&message);
        }
    });
}

fn ensure_worker() -> io::Result<()> {
    if STATE.with_borrow(|state| state.worker.is_some()) {
        return Ok(());
    }
    let script = STATE.with_borrow(|state| state.script.clone());
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let worker = Worker::new_with_options(&script, &options)
        .map_err(|error| io::Error::other(format!("the worker cannot be started: {error:?}")))?;
    employ(worker);
    Ok(())
}

/// From now on this is the worker.
fn employ(worker: Worker) {
    let module = STATE.with_borrow(|state| state.module.clone());
    // The worker waits for this one before anything else.
    let first = Object::new();
    let _ = Reflect::set(&first, &"module".into(), &module);
    let _ = worker.post_message(&first);
    // These live as long as the page; a worker that is replaced hears nothing any more.
    let heard = Closure::<dyn FnMut(MessageEvent)>::new(|message: MessageEvent| hear(&message.data()));
    worker.set_onmessage(Some(heard.as_ref().unchecked_ref()));
    heard.forget();
    let failed = Closure::<dyn FnMut(ErrorEvent)>::new(|error: ErrorEvent| {
        error.prevent_default();
        crashed(error.message());
    });
    worker.set_onerror(Some(failed.as_ref().unchecked_ref()));
    failed.forget();
    STATE.with_borrow_mut(|state| (state.worker, state.lock) = (Some(worker), String::new()));
}

/// Hears of a worker's end that nobody tells: it holds a lock, which the browser takes from the dead.
fn watch(lock: String) {
    STATE.with_borrow_mut(|state| state.lock.clone_from(&lock));
    let of = |object: &JsValue, key: &str| Reflect::get(object, &key.into()).unwrap_or_default();
    let locks = of(&of(&js_sys::global(), "navigator"), "locks");
    let Ok(request) = of(&locks, "request").dyn_into::<Function>() else { return };
    let watched = lock.clone();
    let ended = Closure::once_into_js(move || {
        if STATE.with_borrow(|state| state.worker.is_some() && state.lock == watched) {
            crashed("its thread was ended".to_owned());
        }
    });
    let _ = request.call2(&locks, &lock.into(), &ended);
}

fn hear(data: &JsValue) {
    let text = Reflect::get(data, &"text".into()).ok().and_then(|text| text.as_string()).unwrap_or_default();
    let bytes = Reflect::get(data, &"bytes".into()).ok().and_then(|bytes| bytes.dyn_into::<Uint8Array>().ok());
    match serde_json::from_str::<ToPage>(&text) {
        Ok(ToPage::Event { session, event }) => deliver(session, *event),
        Ok(ToPage::Crashed(reason)) => crashed(reason),
        Ok(notice) => {
            if let ToPage::Ready { listens, lock, .. } = &notice {
                STATE.with_borrow_mut(|state| state.listens = Some(*listens));
                watch(lock.clone());
            }
            note(notice, bytes.map(|bytes| bytes.to_vec()));
        }
        Err(error) => note(ToPage::Failed(format!("the worker said what nobody understands: {error}")), None),
    }
}

fn note(notice: ToPage, bytes: Option<Vec<u8>>) {
    let wake = STATE.with_borrow_mut(|state| {
        state.notices.push_back((notice, bytes));
        state.lines.values().next().map(|line| line.wake.clone())
    });
    if let Some(wake) = wake {
        wake();
    }
}

fn deliver(session: u32, event: Event) {
    let wake = STATE.with_borrow_mut(|state| {
        let this = |open: &Open| open.session == session && open.job == event.job;
        if event.kind.is_end() {
            state.open.retain(|open| !this(open));
        } else if let Some(open) = state.open.iter_mut().find(|open| this(open)) {
            open.begun = true;
        }
        let line = state.lines.get(&session)?;
        // Nobody listening any more is no reason to stop.
        let _ = line.events.send(event);
        Some(line.wake.clone())
    });
    if let Some(wake) = wake {
        wake();
    }
}

fn end_worker() {
    STATE.with_borrow_mut(|state| {
        if let Some(worker) = state.worker.take() {
            worker.terminate();
        }
        state.listens = None;
    });
}

/// The worker is no more: every line ends, and whoever holds one starts a new one.
fn crashed(reason: String) {
    end_worker();
    let wakes: Vec<Rc<dyn Fn()>> = STATE.with_borrow_mut(|state| {
        state.open.clear();
        state.notices.push_back((ToPage::Crashed(reason), None));
        std::mem::take(&mut state.lines).into_values().map(|line| line.wake).collect()
    });
    wakes.iter().for_each(|wake| wake());
}

/// A new worker does what the old one was to do, but for one job, which counts as cancelled.
fn restart_without(session: u32, job: JobId) {
    let (begun, known) = STATE.with_borrow(|state| {
        let this = state.open.iter().find(|open| open.session == session && open.job == job);
        (this.is_some_and(|open| open.begun), this.is_some())
    });
    if !known {
        return;
    }
    deliver(session, Event { job, kind: EventKind::Cancelled { resume: None } });
    if !begun {
        // It still waits in the worker, which cannot be told; its end will be of no interest.
        return post(&ToWorker::Flag { session, job, flag: Flag::Cancel }, None);
    }
    end_worker();
    if ensure_worker().is_err() {
        return crashed("the worker cannot be started again".to_owned());
    }
    let again: Vec<ToWorker> = STATE.with_borrow(|state| {
        let submit = |open: &Open| ToWorker::Submit {
            session: open.session,
            job: open.job,
            command: open.command.clone(),
            transcript: open.transcript.clone(),
        };
        state.open.iter().map(submit).collect()
    });
    again.iter().for_each(|what| post(what, None));
}
