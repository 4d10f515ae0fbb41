//! What goes wrong is named in place, and the rest goes on.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::Window;
use ragtune_app::link::{JobState, Line};
use ragtune_app::pages::Page;

/// An empty project that has the sample world's models.
fn project(temp: &Path) -> PathBuf {
    let folder = temp.join("project");
    let models = folder.join("models");
    for name in ["encoder", "reader"] {
        fs::create_dir_all(models.join(name)).unwrap();
    }
    let at = |name: &str| ragtune_engine::Folder::create(models.join(name)).unwrap();
    ragtune_sample::models::write_encoder(&at("encoder")).unwrap();
    ragtune_sample::models::write_reader(&at("reader")).unwrap();
    let json = r#"{"name": "a test", "encoder": "models/encoder", "llm": "models/reader"}"#;
    fs::write(folder.join("project.json"), json).unwrap();
    folder
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_broken_file_among_good_ones_is_named_and_the_others_are_read() {
    let temp = tempfile::tempdir().unwrap();
    let folder = project(temp.path());
    let good =
        write(temp.path(), "docs/bridge.md", "# The bridge\n\nAda Holm built the bridge in 1912. It has six arches.\n");
    let bad = write(temp.path(), "docs/broken.pdf", b"%PDF-1.7\nthis is no pdf at all");
    let mut window = Window::open(temp.path(), Some(&folder));
    window.wait_for("a test");
    window.drop_files(&[good, bad]);
    assert_eq!(window.app().page(), Page::Corpus);
    window.wait_for("1 failed");
    assert!(window.shows("1 indexed") && window.shows("broken.pdf"), "{}", window.text());
    window.wait_for("Ada Holm built the bridge");
    window.wait_for_rest();

    // The passage is found, too.
    window.go(Page::Query);
    window.write("Question", "who built the bridge?");
    window.wait_for("Explain passage 1 in bot");

    // A source that is taken away comes back by undo.
    window.go(Page::Corpus);
    window.click(&format!("Remove {}", temp.path().join("docs/broken.pdf").display()));
    window.wait_for_rest();
    assert_eq!(window.app().project().unwrap().project.sources.len(), 1);
    window.click("Undo remove");
    window.wait_for_rest();
    assert_eq!(window.app().project().unwrap().project.sources.len(), 2);
}

#[test]
fn documents_that_came_before_any_model_are_found_with_the_shipped_ones() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("new");
    let file = write(temp.path(), "docs/bridge.txt", "Ada Holm built the bridge in 1912. It has six arches.");
    let mut window = Window::open(temp.path(), Some(&folder));
    window.wait("the project", |window| window.shows("new"));
    window.wait_for_rest();
    window.drop_files(&[file]);
    window.wait_for("First an encoder");
    window.click("Use the shipped models");
    window.wait_for("Ada Holm built the bridge");
    window.wait_for_rest();
    let project = &window.app().project().unwrap().project;
    assert_eq!(project.encoder.as_deref(), Some(&*folder.join("models/encoder")));
    assert_eq!(project.llm.as_deref(), Some(&*folder.join("models/reader")));
    window.go(Page::Query);
    window.write("Question", "who built the bridge?");
    window.wait_for("Explain passage 1 in bot");

    // A model that was chosen stays; only what is missing is taken.
    window.app().go(Page::Models);
    window.wait_for_rest();
    assert!(!window.shows("No model at hand?"), "{}", window.text());
}

#[test]
fn a_file_of_two_gigabytes_that_is_no_text_is_named_at_once_and_the_other_is_read() {
    let temp = tempfile::tempdir().unwrap();
    let folder = project(temp.path());
    let good = write(temp.path(), "docs/bridge.txt", "Ada Holm built the bridge in 1912. It has six arches.");
    let huge = write(temp.path(), "docs/huge.txt", "This begins as a text does.\n");
    // Zeros that take no room on the disk.
    fs::File::options().write(true).open(&huge).unwrap().set_len(2 << 30).unwrap();
    let mut window = Window::open(temp.path(), Some(&folder));
    window.wait_for("a test");
    let before = ragtune_engine::host::resident_bytes();
    window.drop_files(&[huge, good]);
    window.wait_for("1 failed");
    window.wait_for("1 indexed");
    window.wait_for("Ada Holm built the bridge");
    window.wait_for_rest();
    assert!(window.shows("huge.txt") && window.shows("zero byte"), "{}", window.text());
    if let (Some(before), Some(after)) = (before, ragtune_engine::host::resident_bytes()) {
        assert!(after < before + (512 << 20), "{before} bytes of memory became {after}");
    }
}

/// Set in the process that has a full disk, to the project's folder.
#[cfg(unix)]
const FULL_DISK: &str = "RAGTUNE_TEST_FULL_DISK";

#[cfg(unix)]
#[test]
fn a_disk_that_is_full_stops_a_tuning_in_place_and_with_room_it_goes_on() {
    if let Some(folder) = std::env::var_os(FULL_DISK) {
        return tune_on_a_full_disk(Path::new(&folder));
    }
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("sample-world");
    common::sample_world(&folder);
    common::shorten(&folder);
    // The same test in a process whose files may not grow beyond 1,024 blocks of 512 bytes: a checkpoint's weights do
    // not fit.
    let name = "a_disk_that_is_full_stops_a_tuning_in_place_and_with_room_it_goes_on";
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" --exact --nocapture \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(FULL_DISK, &folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert!(folder.join("runs/run-1/config.toml").is_file() && !folder.join("runs/run-1/report.json").exists());

    let mut window = Window::open(temp.path(), Some(&folder));
    window.go(Page::Tune);
    // A notice that comes in between would move the button away.
    window.wait_for("Resume run-1");
    window.wait_for_rest();
    window.click("Resume run-1");
    window.wait("the run", |window| window.shows("finished"));
    window.wait_for_rest();
    assert!(!window.shows("Error"), "{}", window.text());
    assert!(folder.join("runs/run-1/best/model.safetensors").is_file());
}

/// The error stands on the page, and everything else works.
#[cfg(unix)]
fn tune_on_a_full_disk(folder: &Path) {
    let mut window = Window::open(folder.parent().unwrap(), Some(folder));
    window.wait_for("The sample world");
    window.go(Page::Tune);
    window.click("Start tuning");
    window.wait_for("make room");
    assert!(window.shows("Error") && window.shows("model.safetensors"), "{}", window.text());
    window.wait_for_rest();
    assert!(window.shows("stopped") && window.shows("run-1"), "{}", window.text());
    window.go(Page::Query);
    window.write("Question", "who built the bridge?");
    window.wait_for("Explain passage 1 in bot");
    window.go(Page::Corpus);
    window.click("Update the index");
    window.wait_for("1 unchanged");
}

#[test]
fn stopping_in_the_middle_keeps_what_is_read_and_goes_on_from_there() {
    let temp = tempfile::tempdir().unwrap();
    let folder = project(temp.path());
    let sentence = "The mill by the river ground the corn of nine villages until the great flood came. ";
    for n in 0..60 {
        write(temp.path(), &format!("many/{n:02}.txt"), sentence.repeat(1500));
    }
    let mut window = Window::open(temp.path(), Some(&folder));
    window.wait_for("a test");
    window.drop_files(&[temp.path().join("many")]);
    window.wait("the first file", |window| window.shows("indexed"));
    window.click("Stop");
    window.wait_for_rest();
    let stopped = window.app().link().jobs().any(|job| matches!(job.state, JobState::Cancelled(_)));
    assert!(stopped, "sixty files take longer than a click");
    window.click("Update the index");
    window.wait_for_rest();
    assert!(window.shows("unchanged") && !window.shows("failed"), "{}", window.text());
    let passages = window.app().project().unwrap().passages.unwrap();
    // The same files read in one go.
    let whole = Window::open(temp.path(), Some(&project(&temp.path().join("whole"))));
    let mut whole = whole;
    whole.wait_for("a test");
    whole.drop_files(&[temp.path().join("many")]);
    whole.wait("the index", |window| window.shows("indexed"));
    whole.wait_for_rest();
    assert_eq!(whole.app().project().unwrap().passages, Some(passages));
}

#[test]
fn three_broken_lines_of_questions_are_listed_and_the_others_are_used() {
    let temp = tempfile::tempdir().unwrap();
    let folder = project(temp.path());
    let lines = [
        r#"{"id": "a", "question": "Who built the bridge?", "answers": ["Ada Holm"]}"#,
        r#"{"id": "b", "question": "When"#,
        r#"{"id": "c", "question": "How many arches?", "answers": ["six"]}"#,
        r#"{"id": "d", "question": "Where is it?"}"#,
        r#"{"id": "a", "question": "Who else?", "answers": ["nobody"]}"#,
    ];
    let file = write(temp.path(), "qa.jsonl", lines.join("\n"));
    let mut window = Window::open(temp.path(), Some(&folder));
    window.wait_for("a test");
    window.go(Page::Questions);
    window.drop_files(&[file]);
    window.wait_for("3 lines left out");
    for line in ["line 2", "line 4", "line 5"] {
        assert!(window.shows(line), "{line}: {}", window.text());
    }
    assert!(window.shows("Question 1: Who built the bridge?") && window.shows("Question 2: How many arches?"));

    // What is good can be changed, saved, and is there in the next window.
    window.click("New question");
    window.write("Text", "What is it made of?");
    window.write("Answers, one a line; any of them is right", "steel");
    window.click("Save questions");
    window.wait_for("Saved.");
    window.wait_for_rest();
    assert_eq!(fs::read_to_string(folder.join("questions.jsonl")).unwrap().lines().count(), 3);
    drop(window);
    let mut window = Window::open(temp.path(), Some(&folder));
    window.wait_for("a test");
    window.go(Page::Questions);
    window.wait_for("What is it made of?");
    window.click("Question 3: What is it made of?");
    window.click("Delete question");
    assert!(!window.shows("Question 3"), "{}", window.text());
    window.click("Undo");
    assert!(window.shows("Question 3: What is it made of?"), "{}", window.text());
}

#[test]
fn a_question_without_an_answer_is_not_saved_and_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let folder = project(temp.path());
    let mut window = Window::open(temp.path(), Some(&folder));
    window.wait_for("a test");
    window.go(Page::Questions);
    window.click("Write the first one");
    window.write("Text", "Who built it?");
    window.click("Save questions");
    assert!(window.shows("row 1: it has no answer"), "{}", window.text());
    assert!(!folder.join("questions.jsonl").exists());
}

#[test]
fn a_model_folder_without_weights_is_named_and_nothing_changes() {
    let temp = tempfile::tempdir().unwrap();
    let folder = project(temp.path());
    let broken = temp.path().join("broken");
    fs::create_dir_all(&broken).unwrap();
    fs::copy(folder.join("models/encoder/config.json"), broken.join("config.json")).unwrap();
    let mut window = Window::open(temp.path(), Some(&folder));
    window.wait_for("a test");
    let before = window.app().project().unwrap().project.encoder.clone();
    window.go(Page::Models);
    window.wait_for_rest();
    window.write("Folder of an encoder", broken.to_str().unwrap());
    window.click("Use this Encoder");
    window.wait_for("Error");
    assert!(window.shows("model.safetensors") && window.shows("broken"), "{}", window.text());
    assert_eq!(window.app().project().unwrap().project.encoder, before);

    // A language model is no encoder.
    window.click("Close");
    window.wait_for_rest();
    window.write("Folder of an encoder", folder.join("models/reader").to_str().unwrap());
    window.click("Use this Encoder");
    window.wait_for("this is a language model, not an encoder");
}

#[test]
fn an_address_that_names_no_model_of_the_hub_is_said_to() {
    let temp = tempfile::tempdir().unwrap();
    let folder = project(temp.path());
    let mut window = Window::open(temp.path(), Some(&folder));
    window.wait_for("a test");
    let before = window.app().project().unwrap().project.clone();
    window.go(Page::Models);
    window.wait_for_rest();
    window.write("Folder of a language model", "hf:not/a/model");
    window.click("Use this Language model");
    window.wait_for("write OWNER/NAME");
    window.wait_for_rest();
    assert!(window.shows("Error") && !window.shows("It is being fetched"), "{}", window.text());
    assert_eq!(window.app().project().unwrap().project, before);
}

#[test]
fn without_a_gpu_of_its_own_the_processor_computes_and_the_page_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let folder = project(temp.path());
    let mut window = Window::open(temp.path(), Some(&folder));
    window.wait_for("a test");
    window.go(Page::Models);
    window.wait_for("Automatic:");
    // A machine with a GPU of its own computes with it; everywhere else the page says why it does not.
    if window.shows("Automatic: CPU computes") {
        assert!(window.shows("No GPU of its own computes here"), "{}", window.text());
    } else {
        assert!(!window.shows("No GPU of its own computes here"), "{}", window.text());
    }
    assert!(window.shows("M parameters") && window.shows("Memory, on any device"), "{}", window.text());
}

#[test]
fn an_engine_that_stops_is_started_again_and_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let folder = project(temp.path());
    let document = write(temp.path(), "a.txt", "The bridge was built in 1912 by Ada Holm. It has six arches.");
    let mut window = Window::open(temp.path(), Some(&folder));
    window.wait_for("a test");
    window.app().link().kill(Line::Work);
    window.wait_for("stopped and was started again");
    window.drop_files(&[document]);
    window.wait_for("1 indexed");
    window.wait_for("Ada Holm");
}

#[test]
fn a_broken_project_file_is_named_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("mine");
    let broken = write(&folder, "project.json", "{\"name\": ");
    let mut window = Window::open(temp.path(), Some(&folder));
    window.wait_for("project.json, line 1");
    assert_eq!(fs::read_to_string(broken).unwrap(), "{\"name\": ");
    window.click("Close");
    assert!(!window.shows("project.json, line 1"));
}

#[test]
fn the_keyboard_reaches_every_page() {
    use eframe::egui::Key;
    let temp = tempfile::tempdir().unwrap();
    let mut window = Window::open(temp.path(), None);
    let keys = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7];
    for ((page, _), key) in Page::ALL.into_iter().zip(keys) {
        window.press_command(key);
        assert_eq!(window.app().page(), page);
    }
    window.press(Key::F1);
    assert!(window.shows("About ragtune") && window.shows("MIT or Apache-2.0"));
    window.press(Key::Escape);
    assert!(!window.shows("It stands on"));
    window.press_command(Key::J);
    assert!(window.shows("Nothing has run yet.") || window.shows("Clear"));
}
