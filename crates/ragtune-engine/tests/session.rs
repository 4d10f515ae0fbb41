//! Every job ends exactly once, however it ends.

use std::path::Path;

use ragtune_engine::command::{BuildIndex, Command, GenerateSample, IndexPath};
use ragtune_engine::{CancelFlag, DeviceChoice, Event, EventKind, JobId, Session, Shelf, run};

fn sample(out: &Path, passages: u64) -> Command {
    Command::GenerateSample(GenerateSample { passages, questions: 10, out: out.to_owned(), seed: 1 })
}

/// Runs a job here; `watch` sees every event and may set the flag.
fn events(command: &Command, cancel: &CancelFlag, watch: &dyn Fn(&Event)) -> Vec<EventKind> {
    let mut events = Vec::new();
    let mut emit = |event: Event| {
        watch(&event);
        assert_eq!(event.job, JobId(5));
        events.push(event.kind);
    };
    run(JobId(5), command, &mut emit, cancel, &mut Shelf::default());
    assert_eq!(events.iter().filter(|event| event.is_end()).count(), 1, "{events:?}");
    assert!(events.last().is_some_and(EventKind::is_end), "{events:?}");
    assert!(matches!(events.first(), Some(EventKind::Started { .. })), "{events:?}");
    events
}

#[test]
fn a_job_finishes_fails_or_is_cancelled() {
    let temp = tempfile::tempdir().unwrap();
    let world = temp.path().join("world");
    let done = events(&sample(&world, 60), &CancelFlag::default(), &|_| ());
    assert!(matches!(done.last(), Some(EventKind::Finished { .. })));
    assert!(done.iter().any(|event| matches!(event, EventKind::Report(_))));

    let missing = Command::IndexInfo(IndexPath { index: temp.path().join("none") });
    let failed = events(&missing, &CancelFlag::default(), &|_| ());
    let Some(EventKind::Failed { error, exit_code: 2 }) = failed.last() else { panic!("{failed:?}") };
    assert!(error.contains("none"), "{error}");

    let cancel = CancelFlag::default();
    cancel.set();
    let cancelled = events(&sample(&world, 60), &cancel, &|_| ());
    assert!(matches!(cancelled.last(), Some(EventKind::Cancelled { .. })));
}

#[test]
fn a_job_stops_in_the_middle_and_leaves_no_file() {
    let temp = tempfile::tempdir().unwrap();
    let world = temp.path().join("world");
    let cancel = CancelFlag::default();
    let stop = |event: &Event| {
        if matches!(event.kind, EventKind::Progress(_)) {
            cancel.set();
        }
    };
    let stopped = events(&sample(&world, 100_000), &cancel, &stop);
    assert!(matches!(stopped.last(), Some(EventKind::Cancelled { .. })));
    assert!(!stopped.iter().any(|event| matches!(event, EventKind::Report(_))));
    assert!(!world.join("corpus.jsonl").exists());

    let done = events(&sample(&world, 5000), &CancelFlag::default(), &|_| ());
    assert!(matches!(done.last(), Some(EventKind::Finished { .. })), "{done:?}");
    std::fs::write(temp.path().join("tokenizer.json"), include_str!("tokenizer.json")).unwrap();
    let index = temp.path().join("index");
    let build = Command::BuildIndex(BuildIndex {
        corpus: vec![world],
        tokenizer: Some(temp.path().join("tokenizer.json")),
        encoder: None,
        parametric: false,
        memory: None,
        out: index.clone(),
        device: DeviceChoice::Cpu,
    });
    let cancel = CancelFlag::default();
    let stop = |event: &Event| {
        if matches!(event.kind, EventKind::Progress(_)) {
            cancel.set();
        }
    };
    let stopped = events(&build, &cancel, &stop);
    assert!(matches!(stopped.last(), Some(EventKind::Cancelled { .. })));
    assert!(!index.exists());
    let done = events(&build, &CancelFlag::default(), &|_| ());
    assert!(matches!(done.last(), Some(EventKind::Finished { .. })), "{done:?}");
    assert!(index.join("meta.json").exists());
}

#[test]
fn a_session_runs_its_jobs_in_order_and_stops_the_one_that_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let mut session = Session::spawn().unwrap();
    let first = session.submit(sample(&temp.path().join("a"), 60));
    let second = session.submit(sample(&temp.path().join("b"), 3_000_000));
    let third = session.submit(sample(&temp.path().join("c"), 60));
    session.cancel(second);
    let mut ends = Vec::new();
    while ends.len() < 3 {
        let event = session.events().recv().unwrap();
        if event.kind.is_end() {
            ends.push((event.job, event.kind));
        }
    }
    assert_eq!(ends.iter().map(|end| end.0).collect::<Vec<_>>(), [first, second, third]);
    assert!(matches!(ends[0].1, EventKind::Finished { .. }));
    assert!(matches!(ends[1].1, EventKind::Cancelled { .. }));
    assert!(matches!(ends[2].1, EventKind::Finished { .. }));
}

#[test]
fn a_paused_job_waits_goes_on_and_can_be_stopped() {
    let temp = tempfile::tempdir().unwrap();
    let world = temp.path().join("world");
    events(&sample(&world, 3000), &CancelFlag::default(), &|_| ());
    std::fs::write(temp.path().join("tokenizer.json"), include_str!("tokenizer.json")).unwrap();
    let build = Command::BuildIndex(BuildIndex {
        corpus: vec![world],
        tokenizer: Some(temp.path().join("tokenizer.json")),
        encoder: None,
        parametric: false,
        memory: None,
        out: temp.path().join("index"),
        device: DeviceChoice::Cpu,
    });
    // The first progress asks for a pause; whoever waits is let go by another thread.
    let paused_by = |end: fn(&CancelFlag)| {
        let cancel = CancelFlag::default();
        let once = std::cell::Cell::new(true);
        events(&build, &cancel, &|event: &Event| match event.kind {
            EventKind::Progress(_) if once.take() => cancel.pause(),
            EventKind::Paused => {
                let theirs = cancel.clone();
                std::thread::spawn(move || end(&theirs));
            }
            _ => {}
        })
    };
    let done = paused_by(CancelFlag::resume);
    let at = done.iter().position(|event| *event == EventKind::Paused).expect("the index's loop pauses");
    assert_eq!(done[at + 1], EventKind::Resumed);
    assert!(matches!(done.last(), Some(EventKind::Finished { .. })), "{done:?}");
    let stopped = paused_by(CancelFlag::set);
    assert!(stopped.contains(&EventKind::Paused) && !stopped.contains(&EventKind::Resumed), "{stopped:?}");
    assert!(matches!(stopped.last(), Some(EventKind::Cancelled { .. })));
}

#[test]
fn a_session_pauses_the_job_that_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let mut session = Session::spawn().unwrap();
    // The first keeps the thread busy until the second is told to wait.
    let first = session.submit(sample(&temp.path().join("a"), 3_000_000));
    let second = session.submit(sample(&temp.path().join("b"), 60));
    session.pause(second);
    session.cancel(first);
    let until = |kind: fn(&EventKind) -> bool| loop {
        let event = session.events().recv().unwrap();
        if event.job == second && kind(&event.kind) {
            return event.kind;
        }
    };
    until(|kind| *kind == EventKind::Paused);
    assert!(!temp.path().join("b").exists(), "it waits before it has begun");
    session.resume(second);
    assert!(matches!(until(EventKind::is_end), EventKind::Finished { .. }));
}

#[test]
fn events_and_commands_survive_the_way_to_another_thread_or_page() {
    let temp = tempfile::tempdir().unwrap();
    let command = sample(&temp.path().join("world"), 60);
    let text = serde_json::to_string(&command).unwrap();
    assert_eq!(serde_json::from_str::<Command>(&text).unwrap(), command);
    for kind in events(&command, &CancelFlag::default(), &|_| ()) {
        let event = Event { job: JobId(1), kind };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
    }
}
