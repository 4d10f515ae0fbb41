//! A graphics card that is lost while it tunes: the job ends with a message that says how to go on, and the run goes on.
//!
//! A process of its own, since nothing computes on a lost device again. Needs an adapter; without one the test says so.

use std::time::Duration;

use burn::backend::wgpu::graphics::AutoGraphicsApi;
use burn::backend::wgpu::{RuntimeOptions, try_init_setup};
use burn::backend::{CubeDevice, DispatchDevice};
use burn::tensor::{Device, DeviceKind};
use ragtune_engine::command::{EncoderSource, GenerateSample, QuestionSource, Stage, Supervision, Tune, TuneSettings};
use ragtune_engine::directory::Folder;
use ragtune_engine::event::{EventKind, Record};
use ragtune_engine::{Command, DeviceChoice, Session};
use ragtune_tests::{adapter, tiny_encoder};

/// Runs a command to its end; `hear` is told every event before it.
fn run(session: &mut Session, command: Command, mut hear: impl FnMut(&EventKind)) -> EventKind {
    session.submit(command);
    loop {
        // A hang would be a failure, not a test that never ends.
        let event = session.events().recv_timeout(Duration::from_secs(300)).expect("a job says something, and ends");
        if event.kind.is_end() {
            return event.kind;
        }
        hear(&event.kind);
    }
}

#[test]
fn a_lost_device_leaves_a_run_that_goes_on() {
    // Started by hand, so that it can be taken away; whoever asks for the adapter gets this one.
    let kinds = [DeviceKind::DiscreteGpu(0), DeviceKind::IntegratedGpu(0), DeviceKind::VirtualGpu(0), DeviceKind::Cpu];
    let listed = Device::enumerate(burn::tensor::DeviceType::Wgpu);
    let first = kinds.into_iter().map(Device::wgpu).find(|device| listed.contains(device));
    let setup = first.and_then(|device| match device.as_dispatch() {
        DispatchDevice::Cube(CubeDevice::Wgpu(wgpu)) => {
            try_init_setup::<AutoGraphicsApi>(wgpu, RuntimeOptions::default()).ok()
        }
        _ => None,
    });
    let (Some(setup), Some(_)) = (setup, adapter()) else { return };

    let place = tempfile::tempdir().expect("a folder");
    let at = |name: &str| place.path().join(name);
    let mut encoder = tiny_encoder(&Device::flex());
    // A driver in software compiles for every length of a text: let them all be the same.
    (encoder.meta.question_tokens, encoder.meta.passage_tokens) = (8, 8);
    encoder.save(&Folder::create(at("encoder")).expect("a folder")).expect("saved");
    let mut session = Session::spawn().expect("a thread");
    let sample = GenerateSample { passages: 100, questions: 40, out: at("world"), seed: 1 };
    let end = run(&mut session, Command::GenerateSample(sample), |_| {});
    assert!(matches!(end, EventKind::Finished { .. }), "{end:?}");

    let settings = TuneSettings {
        supervision: Supervision::Gold,
        stages: vec![Stage::Offline],
        k: 8,
        m: 4,
        offline_epochs: 50,
        max_steps: 12,
        batch: 2,
        dev_mode: ragtune_engine::command::SearchMode::Own,
        dev_questions: 1,
        checkpoint_steps: 1,
        ..TuneSettings::default()
    };
    let tune = |device, resume| Tune {
        corpus: vec![at("world")],
        questions: Some(QuestionSource { path: at("world"), id_prefix: None, aliases: None }),
        encoder: Some(EncoderSource { folder: at("encoder"), head: None }),
        config: Some(at("config.toml")),
        settings: Some(Box::new(settings.clone())),
        out: Some(at("run")),
        resume,
        device,
        ..Tune::default()
    };
    std::fs::write(at("config.toml"), "[evaluation]\nmode = \"own\"\nquestions = 1\n").expect("written");
    let mut steps = 0;
    let lost = Command::Tune(Box::new(tune(DeviceChoice::Gpu(None), None)));
    let end = run(&mut session, lost, |kind| {
        if let EventKind::Steps(records) = kind {
            steps += records.iter().filter(|record| matches!(record, Record::Step(_))).count();
            if steps == 3 {
                setup.device.destroy();
            }
        }
    });
    let EventKind::Failed { error, exit_code } = end else { panic!("{end:?}") };
    eprintln!("{error}");
    assert_eq!(exit_code, 1);
    let goes_on = format!("ragtune tune --resume {}", at("run").display());
    assert!(error.contains("lost") && error.contains(&goes_on), "{error}");

    let resumed = Command::Tune(Box::new(tune(DeviceChoice::Cpu, Some(at("run")))));
    let mut first = None;
    let end = run(&mut session, resumed, |kind| {
        if let EventKind::Steps(records) = kind {
            let step = records.iter().find_map(|r| if let Record::Step(step) = r { Some(step.step) } else { None });
            first = first.or(step);
        }
    });
    assert!(matches!(end, EventKind::Finished { .. }), "{end:?}");
    // The job may have taken another step until it noticed.
    assert!(first.is_some_and(|first| first >= 3), "{first:?}: from the last checkpoint");
}
