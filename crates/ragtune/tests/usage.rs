//! The command line itself: help, exit codes, interruption.

mod common;

use common::Place;

#[test]
fn help_is_there_for_every_command_and_needs_no_paper() {
    let place = Place::new();
    for command in [
        &["--help"][..],
        &["demo", "--help"],
        &["sample", "generate", "--help"],
        &["sample", "models", "--help"],
        &["index", "build", "--help"],
        &["index", "update", "--help"],
        &["index", "passages", "--help"],
        &["index", "info", "--help"],
        &["search", "--help"],
        &["encode", "--help"],
        &["score", "--help"],
        &["generate", "--help"],
        &["answer", "--help"],
        &["questions", "--help"],
        &["questions", "check", "--help"],
        &["questions", "draft", "--help"],
        &["tune", "--help"],
        &["runs", "--help"],
        &["runs", "export", "--help"],
        &["eval", "--help"],
        &["models", "--help"],
        &["devices", "--help"],
        &["bench", "--help"],
    ] {
        let help = place.run(&command[..command.len() - 1].iter().chain(&["--help"]).copied().collect::<Vec<_>>());
        assert_eq!(help.code, 0, "{command:?}: {}", help.err);
        assert!(help.out.contains("Usage:") && help.out.len() > 300, "{command:?}");
    }
    assert!(place.run(&["--version"]).out.starts_with("ragtune "));
}

#[test]
fn bad_usage_ends_with_two() {
    let place = Place::new();
    for arguments in
        [&[][..], &["serach"], &["search"], &["generate", "--llm"], &["index", "build", "--memory", "much"]]
    {
        assert_eq!(place.run(arguments).code, 2, "{arguments:?}");
    }
    let wrong = place.command(&["models", "list", "--device", "cuda"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let place = Place::small();
    place.write("many.txt", "the price of oil\n".repeat(20_000));
    let mut command = place.command(&["encode", "--encoder", "encoder", "--texts", "many.txt"]);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut first).unwrap();
    assert!(first.starts_with("{\"id\":\"0\""), "{first}");
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(!err.contains("panicked") && !err.contains("error"), "{err}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_with_130_and_leaves_nothing_half_written() {
    let place = Place::new();
    let mut command =
        place.command(&["sample", "generate", "--passages", "3000000", "--questions", "10", "--out", "world"]);
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // The work has begun when its first file is open.
    while place.files("world").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(err.contains("interrupted") && err.contains("again"), "{err}");
    assert!(place.files("world").is_empty(), "{:?}", place.files("world"));
}
