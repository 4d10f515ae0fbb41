//! Models from a Hub: a server of the test's own with the Hub's layout, its redirects, and everything that goes wrong.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ragtune_engine::command::ModelPath;
use ragtune_engine::hub::{Cache, Hub, ModelId, Options, Pulled};
use ragtune_engine::session::with_context;
use ragtune_engine::{CancelFlag, Command, DeviceChoice, EngineError, EventKind};
use sha1::Digest as _;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server does beside serving.
#[derive(Default, Clone)]
struct Faults {
    /// So many answers are 429 before the first good one.
    busy: usize,
    /// So many contents break off in the middle.
    broken: usize,
    /// Contents are changed on the way.
    damaged: usize,
    /// Only who has this token is served.
    token: Option<&'static str>,
    /// Parts are not given: always the whole content.
    no_ranges: bool,
}

struct Server {
    address: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    faults: Arc<Mutex<Faults>>,
    asked: Arc<Asked>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash that the Hub names: SHA-256 of weights, Git's of others.
fn etag(name: &str, content: &[u8]) -> String {
    if name.ends_with(".safetensors") {
        return hex(&sha2::Sha256::digest(content));
    }
    let mut sha = sha1::Sha1::new();
    sha.update(format!("blob {}\0", content.len()));
    sha.update(content);
    hex(&sha.finalize())
}

impl Server {
    fn start(files: &[(&str, Vec<u8>)], faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            files: Arc::new(Mutex::new(
                files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect(),
            )),
            faults: Arc::new(Mutex::new(faults)),
            asked: Arc::default(),
        };
        let (files, faults, asked) = (server.files.clone(), server.faults.clone(), server.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(stream, &files, &faults, &asked);
            }
        });
        server
    }

    fn pull(
        &self,
        cache: &Path,
        model: &str,
        token: Option<&str>,
        options: &Options,
    ) -> (Result<Pulled, EngineError>, Vec<String>) {
        self.pull_until(cache, model, token, options, &CancelFlag::default())
    }

    fn pull_until(
        &self,
        cache: &Path,
        model: &str,
        token: Option<&str>,
        options: &Options,
        cancel: &CancelFlag,
    ) -> (Result<Pulled, EngineError>, Vec<String>) {
        let hub = Hub::at(&self.address, token, Duration::from_millis(5));
        let model = ModelId::parse(model).unwrap();
        let mut warnings = Vec::new();
        let mut result = None;
        let mut emit = |event: ragtune_engine::Event| {
            if let EventKind::Warning(text) = event.kind {
                warnings.push(text);
            }
        };
        with_context(&mut emit, cancel, |context| {
            result = Some(hub.pull(&Cache::at(cache), &model, options, context));
        });
        (result.unwrap(), warnings)
    }

    fn contents_asked(&self) -> Vec<(String, Option<String>)> {
        let asked = self.asked.lock().unwrap();
        let contents = asked.iter().filter(|(method, path, ..)| method == "GET" && path.starts_with("/cdn/"));
        contents.map(|(_, path, range, _)| (path.clone(), range.clone())).collect()
    }
}

/// Method, path, range and token of every request.
type Asked = Mutex<Vec<(String, String, Option<String>, Option<String>)>>;

fn answer(mut stream: TcpStream, files: &Mutex<BTreeMap<String, Vec<u8>>>, faults: &Mutex<Faults>, asked: &Asked) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let headers: BTreeMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let mut parts = first.split(' ').map(str::to_owned);
    let (method, path) = (parts.next().unwrap(), parts.next().unwrap());
    let token = headers.get("authorization").cloned();
    asked.lock().unwrap().push((method.clone(), path.clone(), headers.get("range").cloned(), token.clone()));
    let mut say = |status: &str, headers: &[(&str, String)], body: &[u8]| {
        let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
        headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
        let _ = stream.write_all((text + "\r\n").as_bytes());
        let _ = stream.write_all(body);
    };
    let length = |n: usize| ("Content-Length", n.to_string());
    let mut faults = faults.lock().unwrap();
    if faults.busy > 0 {
        faults.busy -= 1;
        return say("429 Too Many Requests", &[length(0), ("Retry-After", "0".to_owned())], b"");
    }
    let files = files.lock().unwrap();
    if let Some(wanted) = faults.token.filter(|_| !path.starts_with("/cdn/"))
        && token != Some(format!("Bearer {wanted}"))
    {
        return say("401 Unauthorized", &[length(0)], b"");
    }
    if let Some(revision) = path.strip_prefix("/api/models/owner/model/revision/") {
        if !["main", COMMIT].contains(&revision) {
            return say("404 Not Found", &[length(0)], b"");
        }
        let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
        let body = serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string();
        return say("200 OK", &[length(body.len())], body.as_bytes());
    }
    if let Some(rest) = path.strip_prefix("/old/name/resolve/") {
        return say("307 Temporary Redirect", &[length(0), ("Location", format!("/owner/model/resolve/{rest}"))], b"");
    }
    if path.starts_with("/api/models/old/name/") {
        let to = path.replace("old/name", "owner/model");
        return say("307 Temporary Redirect", &[length(0), ("Location", to)], b"");
    }
    if let Some(name) = path.strip_prefix(&format!("/owner/model/resolve/{COMMIT}/")) {
        let Some(content) = files.get(name) else { return say("404 Not Found", &[length(0)], b"") };
        let large = name.ends_with(".safetensors");
        let hash = (if large { "X-Linked-Etag" } else { "ETag" }, format!("\"{}\"", etag(name, content)));
        let size = ("X-Linked-Size", content.len().to_string());
        return say("302 Found", &[length(0), hash, size, ("Location", format!("/cdn/{name}"))], b"");
    }
    let Some((name, content)) = path.strip_prefix("/cdn/").and_then(|name| Some((name, files.get(name)?))) else {
        return say("404 Not Found", &[length(0)], b"");
    };
    let mut content = content.clone();
    if faults.damaged > 0 && name.ends_with(".safetensors") {
        faults.damaged -= 1;
        content[0] ^= 1;
    }
    let range = headers.get("range").filter(|_| !faults.no_ranges);
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let part = &content[from.unwrap_or(0)..];
    let mut said = vec![length(part.len())];
    let status = match from {
        Some(from) => {
            said.push(("Content-Range", format!("bytes {from}-{}/{}", content.len() - 1, content.len())));
            "206 Partial Content"
        }
        None => "200 OK",
    };
    let breaks = faults.broken > 0 && name.ends_with(".safetensors");
    if breaks {
        faults.broken -= 1;
    }
    say(status, &said, if breaks { &part[..part.len() / 2] } else { part });
}

/// The sample's encoder as files of a Hub.
fn model() -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let directory = ragtune_engine::Folder::create(folder.path()).unwrap();
    ragtune_sample::models::write_encoder(&directory).unwrap();
    ["config.json", "tokenizer.json", "ragtune.json", "model.safetensors"]
        .into_iter()
        .map(|name| (name, std::fs::read(folder.path().join(name)).unwrap()))
        .chain([("README.md", b"---\nlicense: mit\n---\n# A model\n".to_vec()), ("pytorch_model.bin", vec![1; 10])])
        .collect()
}

fn same_bytes(folder: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files.iter().filter(|(name, _)| *name != "pytorch_model.bin") {
        assert!(std::fs::read(folder.join(name)).unwrap() == *bytes, "{name} differs");
    }
    assert!(!folder.join("pytorch_model.bin").exists(), "pickled weights are not wanted where there are others");
}

#[test]
fn a_model_comes_once_lies_where_pythons_tools_look_and_works() {
    let (temp, files) = (tempfile::tempdir().unwrap(), model());
    let server = Server::start(&files, Faults::default());
    let (pulled, warnings) = server.pull(temp.path(), "owner/model", None, &Options::default());
    let pulled = pulled.unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let snapshot = temp.path().join("models--owner--model/snapshots").join(COMMIT);
    assert_eq!(pulled.folder, snapshot);
    same_bytes(&snapshot, &files);
    assert_eq!(std::fs::read_to_string(temp.path().join("models--owner--model/refs/main")).unwrap(), COMMIT);
    let weights = files.iter().find(|(name, _)| *name == "model.safetensors").unwrap();
    let blob = temp.path().join("models--owner--model/blobs").join(etag(weights.0, &weights.1));
    assert!(blob.is_file());
    #[cfg(unix)]
    assert_eq!(
        std::fs::canonicalize(snapshot.join("model.safetensors")).unwrap(),
        std::fs::canonicalize(blob).unwrap()
    );

    // A second time nothing comes, with and without the network.
    let before = server.contents_asked().len();
    let (again, _) = server.pull(temp.path(), "hf:owner/model", None, &Options::default());
    assert_eq!((again.unwrap().received, server.contents_asked().len()), (0, before));
    let offline = Options { offline: true, ..Options::default() };
    let requests = server.asked.lock().unwrap().len();
    assert_eq!(server.pull(temp.path(), "owner/model", None, &offline).0.unwrap().folder, snapshot);
    assert_eq!(server.asked.lock().unwrap().len(), requests);
    let error = server.pull(temp.path(), "owner/another", None, &offline).0.unwrap_err().to_string();
    assert!(error.contains("without --offline"), "{error}");

    // It is a model.
    let command = Command::VerifyModel(ModelPath { model: snapshot, device: DeviceChoice::Cpu });
    let mut session = ragtune_engine::Session::spawn().unwrap();
    session.submit(command);
    let events: Vec<EventKind> =
        session.events().iter().map(|event| event.kind).take_while(|kind| !kind.is_end()).collect();
    let text = format!("{events:?}");
    assert!(text.contains("licence: Some(\"mit\")") && text.contains("verified: true"), "{text}");

    // And it can be removed, once.
    let (cache, model) = (Cache::at(temp.path()), ModelId::parse("owner/model").unwrap());
    let all: usize = files.iter().map(|(_, content)| content.len()).sum();
    let freed = cache.remove(&model).unwrap() as usize;
    assert!(freed >= weights.1.len() && freed <= all, "{freed} of {all}");
    assert!(cache.snapshot(&model).is_none() && !cache.folder(&model).exists());
    let error = cache.remove(&model).unwrap_err().to_string();
    assert!(error.contains("hf:owner/model") && error.contains("not in the cache"), "{error}");
}

#[test]
fn a_busy_server_a_broken_line_and_an_old_name_do_not_stop_it() {
    let (temp, files) = (tempfile::tempdir().unwrap(), model());
    let server = Server::start(&files, Faults { busy: 2, broken: 3, ..Faults::default() });
    let (pulled, warnings) = server.pull(temp.path(), "old/name", None, &Options::default());
    same_bytes(&pulled.unwrap().folder, &files);
    assert!(warnings.iter().any(|text| text.contains("429")), "{warnings:?}");
    assert!(warnings.iter().any(|text| text.contains("the line broke")), "{warnings:?}");
    let size = files.iter().find(|(name, _)| *name == "model.safetensors").unwrap().1.len();
    let ranges: Vec<_> = server.contents_asked().into_iter().filter_map(|(_, range)| range).collect();
    // Each time half of what was left had come.
    let wanted = [size / 2, size / 2 + size.div_ceil(2) / 2];
    assert_eq!(ranges[..2], wanted.map(|from| format!("bytes={from}-")), "{ranges:?}");
}

#[test]
fn a_server_without_parts_sends_everything_again() {
    let (temp, files) = (tempfile::tempdir().unwrap(), model());
    let server = Server::start(&files, Faults { broken: 1, no_ranges: true, ..Faults::default() });
    same_bytes(&server.pull(temp.path(), "owner/model", None, &Options::default()).0.unwrap().folder, &files);
}

#[test]
fn a_content_that_was_changed_on_the_way_is_not_kept() {
    let (temp, files) = (tempfile::tempdir().unwrap(), model());
    let server = Server::start(&files, Faults { damaged: 1, ..Faults::default() });
    let (pulled, warnings) = server.pull(temp.path(), "owner/model", None, &Options::default());
    same_bytes(&pulled.unwrap().folder, &files);
    assert!(warnings.iter().any(|text| text.contains("its hash is")), "{warnings:?}");

    let temp = tempfile::tempdir().unwrap();
    let server = Server::start(&files, Faults { damaged: 9, ..Faults::default() });
    let error = server.pull(temp.path(), "owner/model", None, &Options::default()).0.unwrap_err().to_string();
    assert!(error.contains("it was not kept"), "{error}");
    let snapshot = temp.path().join("models--owner--model/snapshots").join(COMMIT);
    assert!(!snapshot.join("model.safetensors").exists());
    assert!(!temp.path().join("models--owner--model/refs/main").exists(), "half a model is none");
}

#[test]
fn a_token_opens_what_is_closed_and_goes_nowhere_else() {
    let (temp, files) = (tempfile::tempdir().unwrap(), model());
    let server = Server::start(&files, Faults { token: Some("secret"), ..Faults::default() });
    let error = server.pull(temp.path(), "owner/model", None, &Options::default()).0.unwrap_err();
    assert!(matches!(&error, EngineError::Input(text) if text.contains("HF_TOKEN")), "{error}");
    let error = server.pull(temp.path(), "owner/model", Some("wrong"), &Options::default()).0.unwrap_err().to_string();
    assert!(error.contains("owner of this token"), "{error}");
    same_bytes(&server.pull(temp.path(), "owner/model", Some("secret"), &Options::default()).0.unwrap().folder, &files);
}

#[test]
fn what_is_not_there_is_said_and_a_server_that_stays_silent_too() {
    let (temp, files) = (tempfile::tempdir().unwrap(), model());
    let server = Server::start(&files, Faults::default());
    let error = server.pull(temp.path(), "owner/model@nowhere", None, &Options::default()).0.unwrap_err();
    assert!(matches!(&error, EngineError::Input(text) if text.contains("no such model, revision")), "{error}");
    // Pickled weights serve where there are no others.
    server.files.lock().unwrap().remove("model.safetensors");
    let pulled = server.pull(temp.path(), "owner/model", None, &Options::default()).0.unwrap();
    assert!(pulled.folder.join("pytorch_model.bin").is_file());
    server.files.lock().unwrap().remove("pytorch_model.bin");
    let error = server.pull(temp.path(), "owner/model", None, &Options::default()).0.unwrap_err().to_string();
    assert!(error.contains("no weights as safetensors, GGUF or pytorch_model.bin"), "{error}");
    let nobody = Server { address: "http://127.0.0.1:1".to_owned(), ..server };
    let error = nobody.pull(temp.path(), "owner/model", None, &Options::default()).0.unwrap_err();
    assert!(matches!(&error, EngineError::Failed(text) if text.contains("does not answer")), "{error}");
}

#[test]
fn a_fetch_that_is_stopped_goes_on_where_it_was() {
    let (temp, files) = (tempfile::tempdir().unwrap(), model());
    let server = Server::start(&files, Faults { broken: 1, ..Faults::default() });
    let cancel = CancelFlag::default();
    cancel.set();
    let (stopped, _) = server.pull_until(temp.path(), "owner/model", None, &Options::default(), &cancel);
    assert!(matches!(stopped, Err(EngineError::Cancelled)));
    // What a stopped fetch leaves.
    let (name, weights) = files.iter().find(|(name, _)| *name == "model.safetensors").unwrap();
    let half = temp.path().join("models--owner--model/blobs").join(etag(name, weights) + ".incomplete");
    std::fs::create_dir_all(half.parent().unwrap()).unwrap();
    std::fs::write(half, &weights[..1000]).unwrap();
    same_bytes(&server.pull(temp.path(), "owner/model", None, &Options::default()).0.unwrap().folder, &files);
    let ranges: Vec<_> = server.contents_asked().into_iter().filter_map(|(_, range)| range).collect();
    assert_eq!(ranges[0], "bytes=1000-");
}
