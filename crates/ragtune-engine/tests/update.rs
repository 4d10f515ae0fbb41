//! An index that is brought up to date equals one that is built anew, whatever happened to the files in between.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ragtune_engine::command::{BuildIndex, Command, EncoderSource, IndexPath, ListPassages, UpdateIndex};
use ragtune_engine::event::{FileState, IndexReport, PassageList, UpdateReport};
use ragtune_engine::{CancelFlag, DeviceChoice, Event, EventKind, Folder, JobId, Report, Shelf, run};

/// More passages than are written at once.
const MANY: usize = 3000;

/// A folder with documents, a tokenizer and an index.
struct Place(tempfile::TempDir);

/// How an update ended.
struct Ran {
    events: Vec<EventKind>,
}

impl Ran {
    fn report(&self) -> &UpdateReport {
        let report = self.events.iter().find_map(|event| match event {
            EventKind::Report(report) => match &**report {
                Report::Updated(report) => Some(report),
                _ => None,
            },
            _ => None,
        });
        report.unwrap_or_else(|| panic!("{:?}", self.events))
    }

    /// Every file's name with its state in a word, without the folder.
    fn states(&self) -> Vec<(String, &'static str)> {
        let word = |state: &FileState| match state {
            FileState::Indexed { .. } => "indexed",
            FileState::Unchanged { .. } => "unchanged",
            FileState::Skipped { .. } => "skipped",
            FileState::Failed { .. } => "failed",
            FileState::Removed => "removed",
        };
        let files = self.report().files.iter();
        files.map(|file| (file.file.rsplit('/').next().unwrap().to_owned(), word(&file.state))).collect()
    }

    /// Why a file was skipped or failed.
    fn reason(&self, name: &str) -> &str {
        let file = self.report().files.iter().find(|file| file.file.ends_with(name)).unwrap();
        match &file.state {
            FileState::Skipped { reason } | FileState::Failed { reason } => reason,
            state => panic!("{name}: {state:?}"),
        }
    }

    fn warnings(&self) -> String {
        let warning =
            |event: &EventKind| if let EventKind::Warning(text) = event { text.clone() } else { String::new() };
        self.events.iter().map(warning).collect()
    }

    fn failure(&self) -> &str {
        match self.events.last() {
            Some(EventKind::Failed { error, exit_code: 2 }) => error,
            end => panic!("{end:?}"),
        }
    }

    fn resume(&self) -> &str {
        match self.events.last() {
            Some(EventKind::Cancelled { resume: Some(resume) }) => resume,
            end => panic!("{end:?}"),
        }
    }
}

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("tokenizer.json", include_str!("tokenizer.json"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file as if it had been written some time ago, so that its time tells.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        thread_local!(static AGE: Cell<u64> = const { Cell::new(100_000) });
        AGE.set(AGE.get() - 10);
        let time = SystemTime::now() - Duration::from_secs(AGE.get());
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn command(&self, sources: &[&str]) -> UpdateIndex {
        UpdateIndex {
            sources: sources.iter().map(|name| self.path(name)).collect(),
            tokenizer: Some(self.path("tokenizer.json")),
            encoder: None,
            memory: None,
            index: self.path("index"),
        }
    }

    fn update(&self, sources: &[&str]) -> Ran {
        events(&Command::UpdateIndex(self.command(sources)), &CancelFlag::default(), &|_| ())
    }

    /// An update that is stopped once an event says so.
    fn stopped(&self, sources: &[&str], when: impl Fn(&EventKind) -> bool) -> Ran {
        let cancel = CancelFlag::default();
        let watch = |event: &EventKind| {
            if when(event) {
                cancel.set();
            }
        };
        events(&Command::UpdateIndex(self.command(sources)), &cancel, &watch)
    }

    /// Asserts that the index equals one that is built anew over the same files, to the last byte.
    #[track_caller]
    fn is_fresh(&self, sources: &[&str]) {
        let _ = fs::remove_dir_all(self.path("fresh"));
        let build = BuildIndex {
            corpus: sources.iter().map(|name| self.path(name)).collect(),
            tokenizer: Some(self.path("tokenizer.json")),
            encoder: None,
            parametric: false,
            memory: None,
            out: self.path("fresh"),
            device: DeviceChoice::Cpu,
        };
        events(&Command::BuildIndex(build), &CancelFlag::default(), &|_| ());
        assert_eq!(self.index("index").meta, self.index("fresh").meta);
        assert!(!self.path("index/.update").exists());
    }

    /// What an index holds, after every byte was checked.
    #[track_caller]
    fn index(&self, name: &str) -> IndexReport {
        let ran = events(&Command::VerifyIndex(IndexPath { index: self.path(name) }), &CancelFlag::default(), &|_| ());
        let report = ran.events.iter().find_map(|event| match event {
            EventKind::Report(report) => match &**report {
                Report::Index(report) => Some(report.clone()),
                _ => None,
            },
            _ => None,
        });
        report.unwrap_or_else(|| panic!("{:?}", ran.events))
    }

    fn list(&self, list: ListPassages) -> PassageList {
        let list = ListPassages { index: self.path("index"), ..list };
        let ran = events(&Command::ListPassages(list), &CancelFlag::default(), &|_| ());
        let report = ran.events.iter().find_map(|event| match event {
            EventKind::Report(report) => match &**report {
                Report::Passages(list) => Some(list.clone()),
                _ => None,
            },
            _ => None,
        });
        report.unwrap_or_else(|| panic!("{:?}", ran.events))
    }
}

fn events(command: &Command, cancel: &CancelFlag, watch: &dyn Fn(&EventKind)) -> Ran {
    let mut events = Vec::new();
    let mut emit = |event: Event| {
        watch(&event.kind);
        events.push(event.kind);
    };
    run(JobId(1), command, &mut emit, cancel, &mut Shelf::default());
    Ran { events }
}

/// Lines of a corpus, of passages with ids from `first` on.
fn lines(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("{{\"_id\": \"p{n}\", \"text\": \"the price of {n}\"}}\n")).collect()
}

fn states(states: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    states.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect()
}

#[test]
fn files_come_change_go_and_move_and_the_index_is_as_if_built_anew() {
    let place = Place::new();
    let sources = ["docs", "list.jsonl", "more.jsonl"];
    place.write("docs/b.md", "# Oil\n\nThe price of oil.\n\n# Tea\n\nThe price of tea.");
    place.write("docs/d.txt", "the end of the story");
    place.write("list.jsonl", lines(0, 5));
    place.write("more.jsonl", lines(5, MANY));
    let ran = place.update(&sources);
    let all = ["b.md", "d.txt", "list.jsonl", "more.jsonl"];
    assert_eq!(ran.states(), states(&all.map(|name| (name, "indexed"))));
    place.is_fresh(&sources);

    // Nothing: no file of the index is written again.
    let before = fs::metadata(place.path("index/meta.json")).unwrap().modified().unwrap();
    let ran = place.update(&sources);
    assert_eq!(ran.states(), states(&all.map(|name| (name, "unchanged"))));
    assert_eq!(ran.report().built.passages, 3 + 5 + MANY as u64);
    assert_eq!(fs::metadata(place.path("index/meta.json")).unwrap().modified().unwrap(), before);

    // One new in the middle, one changed, one gone, at once.
    place.write("docs/c.html", "<h1>Leaf</h1><p>the leaf of tea</p>");
    place.write("list.jsonl", lines(0, 7).replace("p5", "x5").replace("p6", "x6"));
    place.remove("docs/d.txt");
    let ran = place.update(&sources);
    let expected = [
        ("b.md", "unchanged"),
        ("c.html", "indexed"),
        ("list.jsonl", "indexed"),
        ("more.jsonl", "unchanged"),
        ("d.txt", "removed"),
    ];
    assert_eq!(ran.states(), states(&expected));
    place.is_fresh(&sources);

    // Another order, and the last of the old index gone.
    let turned = ["list.jsonl", "docs"];
    let ran = place.update(&turned);
    let expected =
        [("list.jsonl", "unchanged"), ("b.md", "unchanged"), ("c.html", "unchanged"), ("more.jsonl", "removed")];
    assert_eq!(ran.states(), states(&expected));
    place.is_fresh(&turned);

    // Only the last gone.
    let ran = place.update(&["list.jsonl"]);
    assert_eq!(ran.states(), states(&[("list.jsonl", "unchanged"), ("b.md", "removed"), ("c.html", "removed")]));
    place.is_fresh(&["list.jsonl"]);
}

#[test]
fn bytes_decide_when_the_time_says_nothing() {
    let place = Place::new();
    place.write("docs/a.txt", "the price of oil");
    place.write("docs/b.txt", "the price of tea");
    place.update(&["docs"]);
    // Saved again as it was; and changed without changing its size.
    place.write("docs/a.txt", "the price of oil");
    place.write("docs/b.txt", "the price of ink");
    let ran = place.update(&["docs"]);
    assert_eq!(ran.states(), states(&[("a.txt", "unchanged"), ("b.txt", "indexed")]));
    place.is_fresh(&["docs"]);
    // Written just now, twice within one tick of the clock, for all that the times say.
    fs::write(place.path("docs/a.txt"), "the price of ale").unwrap();
    let time = fs::metadata(place.path("docs/a.txt")).unwrap().modified().unwrap();
    place.update(&["docs"]);
    fs::write(place.path("docs/a.txt"), "the price of ice").unwrap();
    fs::File::options().write(true).open(place.path("docs/a.txt")).unwrap().set_modified(time).unwrap();
    assert_eq!(place.update(&["docs"]).states(), states(&[("a.txt", "indexed"), ("b.txt", "unchanged")]));
    place.is_fresh(&["docs"]);
}

#[test]
fn a_file_that_fails_does_not_stop_the_others_and_leaves_nothing_stale() {
    let place = Place::new();
    place.write("docs/a.txt", "the price of oil");
    place.write("docs/b.txt", "the price of tea");
    place.write("docs/c.txt", "the price of ink");
    place.update(&["docs"]);
    place.write("docs/b.txt", b"caf\xe9 of the town");
    place.write("docs/d.pdf", b"%PDF-1.4 no more");
    place.write("docs/e.docx", b"PK no more");
    place.write("docs/f.txt", "");
    place.write("docs/g.txt", "");
    place.write("docs/h.txt", b"the \0 price");
    place.write("docs/i.png", "x");
    place.write("docs/.hidden/j.txt", "the price");
    let ran = place.update(&["docs", "none.md"]);
    let expected = [
        (".hidden", "skipped"),
        ("a.txt", "unchanged"),
        ("b.txt", "failed"),
        ("c.txt", "unchanged"),
        ("d.pdf", "failed"),
        ("e.docx", "failed"),
        ("f.txt", "skipped"),
        ("g.txt", "skipped"),
        ("h.txt", "skipped"),
        ("i.png", "skipped"),
        ("none.md", "failed"),
    ];
    assert_eq!(ran.states(), states(&expected));
    for (name, parts) in [
        ("b.txt", ["not UTF-8 at byte 3", "Its 1 passage from before left the index"]),
        ("d.pdf", ["not a readable PDF", "again"]),
        ("e.docx", ["not a readable Word file", "again"]),
        ("f.txt", ["no text", "no text"]),
        ("h.txt", ["zero byte", "Leave it out"]),
        ("i.png", ["not read in folders", ".pdf"]),
        (".hidden", ["hidden", "hidden"]),
        ("none.md", ["no such file", "check"]),
    ] {
        let reason = ran.reason(name);
        assert!(parts.iter().all(|part| reason.contains(part)), "{name}: {reason}");
        assert!(!reason.contains(name), "{name} stands beside: {reason}");
    }
    assert!(ran.warnings().contains("4 files could not be read"), "{}", ran.warnings());
    let told: usize =
        ran.events.iter().map(|event| if let EventKind::Files(files) = event { files.len() } else { 0 }).sum();
    assert_eq!(told, expected.len(), "every file is told of once");
    place.is_fresh(&["docs/a.txt", "docs/c.txt"]);
    // Mended, it comes back; and named itself, a file that is no text has failed.
    place.write("docs/b.txt", "the price of tea");
    let ran = place.update(&["docs/a.txt", "docs/b.txt", "docs/h.txt"]);
    let expected = [("a.txt", "unchanged"), ("b.txt", "indexed"), ("h.txt", "failed"), ("c.txt", "removed")];
    assert_eq!(ran.states(), states(&expected));
}

#[cfg(unix)]
#[test]
fn what_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.write("docs/a.txt", "the price of oil");
    place.write("docs/b.txt", "the price of tea");
    fs::set_permissions(place.path("docs/b.txt"), fs::Permissions::from_mode(0o0)).unwrap();
    if fs::read(place.path("docs/b.txt")).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let ran = place.update(&["docs"]);
    assert_eq!(ran.states(), states(&[("a.txt", "indexed"), ("b.txt", "failed")]));
    assert!(ran.reason("b.txt").contains("permission"), "{}", ran.reason("b.txt"));
}

#[test]
fn a_bad_line_far_down_takes_its_whole_file_back_and_no_other() {
    let place = Place::new();
    place.write("a.jsonl", lines(0, 10));
    place.write("bad.jsonl", format!("{}{{oops\n{}", lines(10, MANY), lines(10 + MANY, 10)));
    // The ids of the file that failed are free again.
    place.write("c.jsonl", lines(10, MANY));
    place.write("d.txt", "the end");
    let sources = ["a.jsonl", "bad.jsonl", "c.jsonl", "d.txt"];
    let ran = place.update(&sources);
    let expected = [("a.jsonl", "indexed"), ("bad.jsonl", "failed"), ("c.jsonl", "indexed"), ("d.txt", "indexed")];
    assert_eq!(ran.states(), states(&expected));
    assert!(
        ran.reason("bad.jsonl").starts_with(&format!("line {}: not valid JSON", MANY + 1)),
        "{}",
        ran.reason("bad.jsonl")
    );
    place.is_fresh(&["a.jsonl", "c.jsonl", "d.txt"]);
    // As the first file too, when nothing comes before it.
    fs::remove_dir_all(place.path("index")).unwrap();
    place.update(&["bad.jsonl", "c.jsonl"]);
    place.is_fresh(&["c.jsonl"]);
}

#[test]
fn of_two_files_with_one_id_the_later_fails() {
    let place = Place::new();
    place.write("a.jsonl", lines(0, MANY));
    place.write("b.jsonl", format!("{}\n{}", lines(MANY, MANY), lines(7, 1)));
    place.write("c.jsonl", format!("{}{}", lines(90_000, 1), lines(90_000, 1)));
    place.write("d.jsonl", lines(MANY, 3));
    let sources = ["a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl"];
    let ran = place.update(&sources);
    let expected = [("a.jsonl", "indexed"), ("b.jsonl", "failed"), ("c.jsonl", "failed"), ("d.jsonl", "indexed")];
    assert_eq!(ran.states(), states(&expected));
    let reason = ran.reason("b.jsonl");
    assert!(reason.contains(&format!("line {}", MANY + 2)) && reason.contains("\"p7\""), "{reason}");
    assert!(ran.reason("c.jsonl").contains("line 2"), "{}", ran.reason("c.jsonl"));
    place.is_fresh(&["a.jsonl", "d.jsonl"]);
    // The same file under two names is no clash.
    let ran = place.update(&["a.jsonl", "./a.jsonl", "a.jsonl"]);
    assert_eq!(ran.report().failed, 0, "{:?}", ran.report().files);
}

#[test]
fn stopped_it_keeps_whole_files_and_goes_on_to_the_same_end() {
    let place = Place::new();
    place.write("a.jsonl", lines(0, MANY));
    place.write("b.jsonl", lines(MANY, 5 * MANY));
    place.write("c.txt", "the end");
    let sources = ["a.jsonl", "b.jsonl", "c.txt"];
    // Before anything is read whole: as if nothing had been.
    let ran =
        place.stopped(&sources, |event| matches!(event, EventKind::Progress(at) if at.label.starts_with("indexing")));
    assert!(ran.resume().contains("same command"), "{}", ran.resume());
    assert!(!place.path("index").exists());

    // In the middle of the second, when its first passages are written together with the last ones of the first.
    let told = |event: &EventKind, name: &str| matches!(event, EventKind::Files(files) if files.iter().any(|file| file.file.ends_with(name)));
    let ran = place.stopped(&sources, |event| told(event, "a.jsonl"));
    assert!(ran.resume().contains("1 of 3 files are in the index"), "{}", ran.resume());
    place.is_fresh(&["a.jsonl"]);

    let ran = place.update(&sources);
    assert_eq!(ran.states(), states(&[("a.jsonl", "unchanged"), ("b.jsonl", "indexed"), ("c.txt", "indexed")]));
    place.is_fresh(&sources);

    // What was not reached and is as it was stays, wherever it stands.
    place.write("a.jsonl", lines(0, MANY + 1).replace(&format!("p{MANY}"), "last"));
    place.write("aa.jsonl", lines(100_000, MANY));
    let longer = ["aa.jsonl", "a.jsonl", "b.jsonl", "c.txt"];
    let ran = place.stopped(&longer, |event| told(event, "aa.jsonl"));
    assert!(ran.resume().contains("3 of 4 files"), "{}", ran.resume());
    place.is_fresh(&["aa.jsonl", "b.jsonl", "c.txt"]);
    place.update(&longer);
    place.is_fresh(&longer);
}

#[test]
fn without_a_single_passage_the_old_index_stays() {
    let place = Place::new();
    place.write("a.txt", "the price of oil");
    place.write("bad.jsonl", "{oops\n");
    place.write("empty.txt", "");
    for sources in [&["bad.jsonl", "empty.txt"][..], &["none"], &["empty.txt"]] {
        let ran = place.update(sources);
        assert!(ran.failure().contains("nothing to index"), "{}", ran.failure());
        assert!(!place.path("index").exists());
    }
    place.update(&["a.txt"]);
    let ran = place.update(&["bad.jsonl"]);
    assert!(ran.failure().contains("line 1") && ran.failure().contains("as it was"), "{}", ran.failure());
    place.is_fresh(&["a.txt"]);
    assert!(place.update(&[]).failure().contains("--corpus"));
}

#[test]
fn another_tokenizer_or_length_reads_everything_again() {
    let place = Place::new();
    place.write("a.txt", "the price of oil. ".repeat(40));
    place.update(&["a.txt"]);
    let mut shorter = place.command(&["a.txt"]);
    place.write("encoder/ragtune.json", "{\"passage_tokens\": 32}");
    place.write("encoder/tokenizer.json", include_str!("tokenizer.json"));
    shorter.encoder = Some(EncoderSource { folder: place.path("encoder"), head: None });
    shorter.tokenizer = None;
    let ran = events(&Command::UpdateIndex(shorter.clone()), &CancelFlag::default(), &|_| ());
    assert_eq!(ran.states(), states(&[("a.txt", "indexed")]));
    assert_eq!(place.index("index").meta.max_tokens, 32);
    place.write("encoder/tokenizer.json", include_str!("tokenizer.json").replace("\"is\": 3", "\"oil\": 3"));
    let ran = events(&Command::UpdateIndex(shorter.clone()), &CancelFlag::default(), &|_| ());
    assert_eq!(ran.states(), states(&[("a.txt", "indexed")]));
    let ran = events(&Command::UpdateIndex(shorter), &CancelFlag::default(), &|_| ());
    assert_eq!(ran.states(), states(&[("a.txt", "unchanged")]));
    // An index that was changed by other means has no list that could be believed.
    let list = fs::read(place.path("index/sources.json")).unwrap();
    place.write("b.txt", "the price of tea");
    place.update(&["b.txt"]);
    fs::write(place.path("index/sources.json"), list).unwrap();
    assert_eq!(place.update(&["a.txt"]).states(), states(&[("a.txt", "indexed")]));
}

#[test]
fn the_parametric_part_stays_as_long_as_nothing_changes() {
    let place = Place::new();
    ragtune_sample::models::write_encoder(&Folder::create(place.path("encoder")).unwrap()).unwrap();
    place.write("a.txt", "the price of oil");
    let encoder = Some(EncoderSource { folder: place.path("encoder"), head: None });
    let update = |sources: &[&str]| {
        let update = UpdateIndex { tokenizer: None, encoder: encoder.clone(), ..place.command(sources) };
        events(&Command::UpdateIndex(update), &CancelFlag::default(), &|_| ())
    };
    update(&["a.txt"]);
    let build = BuildIndex {
        corpus: Vec::new(),
        tokenizer: None,
        encoder: encoder.clone(),
        parametric: true,
        memory: None,
        out: place.path("index"),
        device: DeviceChoice::Cpu,
    };
    events(&Command::BuildIndex(build), &CancelFlag::default(), &|_| ());
    assert!(place.index("index").parametric_weights.is_some());
    let ran = update(&["a.txt"]);
    assert_eq!((ran.states(), ran.warnings().as_str()), (states(&[("a.txt", "unchanged")]), ""));
    assert!(ran.report().built.parametric_weights.is_some() && place.index("index").parametric_weights.is_some());
    place.write("b.txt", "the price of tea");
    let ran = update(&["a.txt", "b.txt"]);
    assert_eq!(ran.states(), states(&[("a.txt", "unchanged"), ("b.txt", "indexed")]));
    assert!(ran.warnings().contains("no parametric part"), "{}", ran.warnings());
    assert_eq!(place.index("index").parametric_weights, None);
}

#[test]
fn passages_are_found_by_words_and_files() {
    let place = Place::new();
    place.write("a.jsonl", lines(0, 20_000));
    place.write("docs/b.md", "# Ärger\n\nThe PRICE of tea.");
    place.write("docs/c.txt", "the end");
    place.update(&["a.jsonl", "docs"]);
    let all = place.list(ListPassages { offset: 19_999, limit: 2, ..ListPassages::default() });
    assert_eq!((all.total, all.offset, all.passages.len()), (20_002, 19_999, 2));
    assert_eq!((all.passages[0].ordinal, all.passages[0].id.as_str()), (19_999, "p19999"));
    let files: Vec<_> = all.files.iter().map(|(file, n)| (file.rsplit('/').next().unwrap(), *n)).collect();
    // Passages of a list have no file that they were cut from.
    assert_eq!(files, [("b.md", 1), ("c.txt", 1)]);
    let find = |find: &str, file: Option<&str>| {
        let file = file.map(|file| place.path(file).display().to_string());
        let list = place.list(ListPassages { find: find.to_owned(), file, limit: 3, ..ListPassages::default() });
        (list.total, list.passages.into_iter().map(|passage| passage.text).collect::<Vec<_>>())
    };
    assert_eq!(
        find("PRICE OF 1999", None),
        (11, ["1999", "19990", "19991"].map(|n| format!("the price of {n}")).to_vec())
    );
    assert_eq!(find("price", Some("docs/b.md")), (1, vec!["The PRICE of tea.".to_owned()]));
    assert_eq!(find("ärger", None).0, 1);
    assert_eq!(find("c.txt#0", None), (1, vec!["the end".to_owned()]));
    assert_eq!(find("price", Some("docs/c.txt")).0, 0);
}
