//! The worker's side: takes orders, does them one after another, and short ones in between.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use js_sys::{Array, Function, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

use super::suspend::{allow, give_way};
use super::{Flag, ToPage, ToWorker};
use crate::clock::Clock;
use crate::device::{Graphics, set_graphics};
use crate::event::EventKind;
use crate::{CancelFlag, Command, DeviceChoice, Event, JobId, Shelf, device, fs, run, transcript};

/// Seconds of computing between two looks at the messages.
const TURN: f64 = 0.02;
/// Bytes of a file that are read at once.
const PART: usize = 4 << 20;

/// Something to do.
enum Order {
    Job { session: u32, job: JobId, command: Box<Command>, cancel: CancelFlag, transcript: Option<PathBuf> },
    Beside { what: ToWorker, file: JsValue },
}

#[derive(Default)]
struct Worker {
    orders: VecDeque<Order>,
    running: HashMap<(u32, JobId), CancelFlag>,
    /// Lines that a job is being done for, the one below first.
    busy: Vec<u32>,
    shelves: BTreeMap<u32, Shelf>,
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
    static LAST_TURN: Cell<Option<Clock>> = const { Cell::new(None) };
}

/// Begins: the disk is mounted. `listens` says whether this browser can hold WebAssembly, `lock` what this worker holds.
pub fn start(graphics: Graphics, listens: bool, lock: String) {
    allow(listens);
    ragtune_kernels::wait_with(|future| super::block_on(future));
    ragtune_kernels::pause_with(breathe);
    ragtune_kernels::product::pack_on_the_cpu();
    ragtune_sample::models::fetch_with(super::fetch::sample);
    if graphics.binding_bytes > 0 {
        ragtune_kernels::bind_at_most(graphics.binding_bytes);
    }
    set_graphics(graphics);
    tell(&ToPage::Ready { listens, device: device_in_words(), lock }, None);
}

fn device_in_words() -> String {
    let adapters = device::adapters();
    match adapters.iter().find(|adapter| adapter.kind != device::AdapterKind::Software) {
        Some(_) => "WebGPU".to_owned(),
        // Only looked up: it is the CPU, with the reason.
        None => match device::choose(&DeviceChoice::Auto) {
            Ok(chosen) => chosen.note.unwrap_or(chosen.name),
            Err(error) => error.to_string(),
        },
    }
}

/// Sends something to the page, with bytes beside it.
pub fn tell(what: &ToPage, bytes: Option<&[u8]>) {
    let message = Object::new();
    let text = serde_json::to_string(what).unwrap_or_default();
    let _ = Reflect::set(&message, &"text".into(), &text.into());
    let transfer = Array::new();
    if let Some(bytes) = bytes {
        let bytes = Uint8Array::from(bytes);
        transfer.push(&bytes.buffer());
        let _ = Reflect::set(&message, &"bytes".into(), &bytes);
    }
    let global = js_sys::global();
    if let Ok(post) = Reflect::get(&global, &"postMessage".into()).and_then(|post| post.dyn_into::<Function>()) {
        // A page that is gone hears nothing.
        let _ = post.call2(&global, &message, &transfer);
    }
}

/// Takes a message of the page; what is to be done waits for its turn.
pub fn receive(text: &str, file: JsValue) {
    let order = match serde_json::from_str(text) {
        Ok(order) => order,
        Err(error) => return tell(&ToPage::Failed(format!("a message that nobody understands: {error}")), None),
    };
    WORKER.with_borrow_mut(|worker| match order {
        ToWorker::Submit { session, job, command, transcript } => {
            let cancel = CancelFlag::default();
            worker.running.insert((session, job), cancel.clone());
            worker.orders.push_back(Order::Job { session, job, command, cancel, transcript });
        }
        ToWorker::Flag { session, job, flag } => {
            if let Some(cancel) = worker.running.get(&(session, job)) {
                match flag {
                    Flag::Cancel => cancel.set(),
                    Flag::Pause => cancel.pause(),
                    Flag::Resume => cancel.resume(),
                }
            }
        }
        what => worker.orders.push_back(Order::Beside { what, file }),
    });
}

/// Whether something waits to be done.
pub fn has_work() -> bool {
    WORKER.with_borrow(|worker| !worker.orders.is_empty())
}

/// Does the next order.
pub fn take_turn() {
    if let Some(order) = WORKER.with_borrow_mut(|worker| worker.orders.pop_front()) {
        carry_out(order);
    }
}

/// Gives the page's messages a turn, and does short orders of other lines.
pub fn breathe() {
    let due = LAST_TURN.get().is_none_or(|last| last.seconds() > TURN);
    if !due || !super::can_wait() {
        return;
    }
    give_way();
    others();
    LAST_TURN.set(Some(Clock::start()));
}

/// Orders that need not wait for the job that runs: those of lines that nobody is busy for, and what lies beside jobs.
pub(super) fn others() {
    loop {
        let next = WORKER.with_borrow_mut(|worker| {
            // One job on top of another is enough: the stack is small.
            if worker.busy.len() != 1 {
                return None;
            }
            // A long job on top would keep all others out until its end, and jobs of a line stay in their order.
            let mut passed = Vec::new();
            let busy = &worker.busy;
            let at = worker.orders.iter().position(|order| match order {
                Order::Job { session, command, .. } => {
                    let free = command.is_short() && !busy.contains(session) && !passed.contains(session);
                    passed.push(*session);
                    free
                }
                Order::Beside { what, .. } => !matches!(what, ToWorker::Usage | ToWorker::Wipe),
            })?;
            worker.orders.remove(at)
        });
        match next {
            Some(order) => carry_out(order),
            None => return,
        }
    }
}

fn carry_out(order: Order) {
    match order {
        Order::Job { session, job, command, cancel, transcript } => {
            let mut emit = |event| tell(&ToPage::Event { session, event: Box::new(event) }, None);
            if let Some(path) = transcript
                && let Err(error) = transcript::append(&path, &command)
            {
                let text = format!("{}: this command is not on record: {error}", path.display());
                emit(Event { job, kind: EventKind::Warning(text) });
            }
            let mut shelf = WORKER.with_borrow_mut(|worker| {
                worker.busy.push(session);
                worker.shelves.remove(&session).unwrap_or_default()
            });
            run(job, &command, &mut emit, &cancel, &mut shelf);
            WORKER.with_borrow_mut(|worker| {
                worker.shelves.insert(session, shelf);
                worker.busy.retain(|busy| *busy != session);
                worker.running.remove(&(session, job));
            });
        }
        Order::Beside { what, file } => {
            if let Err(error) = beside(what, &file) {
                tell(&ToPage::Failed(error), None);
            }
        }
    }
}

fn beside(what: ToWorker, file: &JsValue) -> Result<(), String> {
    match what {
        ToWorker::Import { path } => import(&path, file),
        ToWorker::Fetch { url, path, sha256 } => super::fetch::fetch(&url, &path, sha256.as_deref()),
        ToWorker::FetchModel { url, path } => super::fetch::model(&url, &path),
        ToWorker::Export { path } => super::export::export(&path),
        ToWorker::Remove { path } => {
            let removed = if fs::is_dir(&path) { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|error| format!("{}: {error}", path.display()))
        }
        // These wait for promises, which the caller of a turn does: see `between_turns`.
        ToWorker::Usage | ToWorker::Wipe | ToWorker::Submit { .. } | ToWorker::Flag { .. } => Ok(()),
    }
}

/// Copies a file of the user's into the disk, part by part.
fn import(path: &Path, file: &JsValue) -> Result<(), String> {
    let said = |error: JsValue| format!("{}: the browser does not give this file: {error:?}", path.display());
    let full = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => {
            format!(
                "{}: this browser's storage is full ({error}); remove projects or models, then drop it again",
                path.display()
            )
        }
        _ => format!("{}: {error}", path.display()),
    };
    let size = Reflect::get(file, &"size".into()).map_err(said)?.as_f64().unwrap_or(0.0) as u64;
    let reader = new("FileReaderSync").map_err(said)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(full)?;
    }
    // A file that comes half way is no file: it gets its name at the end.
    let half = path.with_added_extension("part");
    let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).open(&half).map_err(full)?;
    let mut done = 0;
    while done < size {
        let end = size.min(done + PART as u64);
        let slice =
            method(file, "slice", &[JsValue::from_f64(done as f64), JsValue::from_f64(end as f64)]).map_err(said)?;
        let buffer = method(&reader, "readAsArrayBuffer", &[slice]).map_err(said)?;
        let bytes = Uint8Array::new(&buffer).to_vec();
        if let Err(error) = out.write_all(&bytes) {
            drop(out);
            let _ = fs::remove_file(&half);
            return Err(full(error));
        }
        done = end;
        tell(&ToPage::Received { path: path.to_owned(), done, total: Some(size) }, None);
        breathe();
    }
    drop(out);
    fs::rename(&half, path).map_err(full)?;
    tell(&ToPage::Kept { path: path.to_owned() }, None);
    Ok(())
}

pub(super) fn new(class: &str) -> Result<JsValue, JsValue> {
    let class: Function = Reflect::get(&js_sys::global(), &class.into())?.dyn_into()?;
    Reflect::construct(&class, &Array::new())
}

pub(super) fn method(object: &JsValue, name: &str, args: &[JsValue]) -> Result<JsValue, JsValue> {
    let function: Function = Reflect::get(object, &name.into())?.dyn_into()?;
    function.apply(object, &args.iter().collect::<Array>())
}

/// What a turn left to wait for: to be awaited between turns. Opens files for the jobs to come.
pub async fn between_turns() -> Result<(), String> {
    let waiting: Vec<ToWorker> = WORKER.with_borrow_mut(|worker| {
        let is_waiting = |order: &Order| matches!(order, Order::Beside { what: ToWorker::Usage | ToWorker::Wipe, .. });
        let (waiting, rest): (Vec<_>, Vec<_>) = worker.orders.drain(..).partition(is_waiting);
        worker.orders = rest.into();
        waiting
            .into_iter()
            .filter_map(|order| match order {
                Order::Beside { what, .. } => Some(what),
                _ => None,
            })
            .collect()
    });
    for what in waiting {
        match what {
            ToWorker::Wipe => {
                fs::wipe().await?;
                tell(&ToPage::Wiped, None);
                return Ok(());
            }
            _ => tell(&ToPage::Usage(fs::usage().await), None),
        }
    }
    fs::prepare().await
}
