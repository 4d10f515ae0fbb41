//! Requests to the Hub: a model's files into the cache, in parts that a broken line does not lose, each checked against
//! the hash that the Hub names.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use sha1::Digest as _;
use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::{Agent, Body};

use ragtune_text::storage::Directory as _;

use super::choose::choose;
use super::{Cache, ModelId};
use crate::directory::Folder;
use crate::session::JobContext;
use crate::{EngineError, Result, fs, host};

/// The Hub itself.
const HUB: &str = "https://huggingface.co";
/// How often a file is asked for when the line breaks or the server is busy.
const TRIES: u32 = 6;
/// Bytes between two looks at whether the user wants to stop.
const BUFFER: usize = 1 << 18;
/// Seconds that a server may be silent.
const SILENCE: u64 = 60;
/// Longest answer about a model.
const ANSWER: u64 = 32 << 20;

/// How to speak to the Hub.
pub struct Hub {
    endpoint: String,
    token: Option<String>,
    agent: Agent,
    /// First wait after a failure.
    patience: Duration,
}

/// What is wanted of a model.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The file of weights, where there are several.
    pub file: Option<String>,
    /// Nothing is asked of the network.
    pub offline: bool,
}

/// A model that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The folder with its files.
    pub folder: PathBuf,
    /// Its files.
    pub files: Vec<String>,
    /// Bytes that came over the network.
    pub received: u64,
}

/// What the Hub says of a file before it is fetched.
struct Remote {
    etag: String,
    size: Option<u64>,
}

/// Why an attempt failed.
enum Fault {
    /// It may go better in so many seconds, or whenever.
    Again { reason: String, wait: Option<u64> },
    /// It will not.
    Final(EngineError),
}

impl Fault {
    fn again(reason: impl ToString) -> Self {
        Self::Again { reason: reason.to_string(), wait: None }
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        Self::Final(error)
    }
}

impl Hub {
    /// The one that the environment names: `HF_ENDPOINT` (or the Hub), with `HF_TOKEN` or the token that Python's
    /// `huggingface-cli login` has left.
    pub fn find() -> Self {
        let endpoint = host::variable("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned());
        let token = host::variable("HF_TOKEN").or_else(|| {
            let file = host::variable("HF_TOKEN_PATH").map(PathBuf::from);
            let file = file.or_else(|| Some(Cache::home().ok()?.join("token")))?;
            fs::read_to_string(file).ok()
        });
        Self::at(&endpoint, token.as_deref(), Duration::from_secs(1))
    }

    /// One at an address; `patience` is the first wait after a failure, which doubles.
    pub fn at(endpoint: &str, token: Option<&str>, patience: Duration) -> Self {
        let silence = Some(Duration::from_secs(SILENCE));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_connect(silence)
            .timeout_recv_response(silence)
            .timeout_per_read(silence)
            .user_agent(concat!("ragtune/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            agent: config.into(),
            patience,
        }
    }

    /// Brings a model into the cache and gives its folder. What is there whole is not fetched again; what a stopped or
    /// broken fetch left is gone on from.
    ///
    /// # Errors
    /// Bad input for a model that is not there or not open to the user; a failure for a server that does not answer, a
    /// line that stays broken, a content that is not the one that was promised.
    pub fn pull(
        &self,
        cache: &Cache,
        model: &ModelId,
        options: &Options,
        context: &mut JobContext<'_>,
    ) -> Result<Pulled> {
        if options.offline || host::variable("HF_HUB_OFFLINE").is_some_and(|value| value != "0") {
            let folder = cache.snapshot(model).ok_or_else(|| {
                EngineError::input(format!(
                    "{}: it is not in {}, and nothing may be asked of the network; fetch it once without --offline",
                    model.address(),
                    cache.root().display()
                ))
            })?;
            return Ok(Pulled { files: names(&folder), folder, received: 0 });
        }
        context.on_cancel("the same command goes on where it stopped");
        let (commit, files) = self.patiently(context, |_| self.describe(model))?;
        let wanted = choose(&files, options.file.as_deref())
            .map_err(|reason| EngineError::input(format!("{}: {reason}", model.address())))?;
        let folder = cache.folder(model);
        let snapshot = folder.join("snapshots").join(&commit);
        let mut received = 0;
        for name in &wanted {
            context.check()?;
            let link = snapshot.join(name);
            if fs::is_file(&link) {
                continue;
            }
            let url = format!("{}/{}/resolve/{commit}/{name}", self.endpoint, model.name);
            let remote = self.patiently(context, |_| self.head(model, &url))?;
            let blob = folder.join("blobs").join(&remote.etag);
            if !fs::is_file(&blob) {
                received += self.fetch(model, name, &url, &remote, &blob, context)?;
            }
            place(&blob, &link)?;
        }
        // Last, so that a revision is only known when all of it is there.
        let keep = || Folder::create(&folder)?.write(&format!("refs/{}", model.revision), commit.as_bytes());
        keep().map_err(|source| EngineError::io(&folder, source))?;
        Ok(Pulled { folder: snapshot, files: wanted, received })
    }

    /// Tries until it goes well, fails for good, or has failed too often.
    fn patiently<T>(
        &self,
        context: &mut JobContext<'_>,
        mut attempt: impl FnMut(&mut JobContext<'_>) -> std::result::Result<T, Fault>,
    ) -> Result<T> {
        let mut wait = self.patience;
        for left in (0..TRIES).rev() {
            match attempt(context) {
                Ok(value) => return Ok(value),
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Again { reason, .. }) if left == 0 => return Err(EngineError::Failed(reason)),
                Err(Fault::Again { reason, wait: asked }) => {
                    let pause = asked.map_or(wait, |seconds| Duration::from_secs(seconds.min(300)));
                    context.warn(format!("{reason}; trying again in {:.0} s", pause.as_secs_f64().ceil()));
                    rest(pause, context)?;
                    wait *= 2;
                }
            }
        }
        Err(EngineError::Failed("no attempt was made".to_owned()))
    }

    /// The files of a model, and the commit that its revision is now.
    fn describe(&self, model: &ModelId) -> std::result::Result<(String, Vec<String>), Fault> {
        let url =
            format!("{}/api/models/{}/revision/{}", self.endpoint, model.name, model.revision.replace('/', "%2F"));
        let mut response = self.call(self.agent.get(&url))?;
        self.check(model, &url, &response)?;
        let text = response.body_mut().with_config().limit(ANSWER).read_to_string().map_err(Fault::again)?;
        let wrong = || {
            let reason = format!("{url}: the answer is not that of a Hub; is HF_ENDPOINT the address of one?");
            Fault::Final(EngineError::Failed(reason))
        };
        let answer: Value = serde_json::from_str(&text).map_err(|_| wrong())?;
        let commit = answer.get("sha").and_then(Value::as_str).filter(|commit| is_hex(commit)).ok_or_else(wrong)?;
        let files = answer.get("siblings").and_then(Value::as_array).ok_or_else(wrong)?;
        let name = |file: &Value| file.get("rfilename").and_then(Value::as_str).map(str::to_owned);
        let plain = |name: &String| {
            let path = Path::new(name);
            path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
        };
        Ok((commit.to_owned(), files.iter().filter_map(name).filter(plain).collect()))
    }

    /// Etag and size of a file. They stand in the Hub's own answer, which names another server for the content.
    fn head(&self, model: &ModelId, url: &str) -> std::result::Result<Remote, Fault> {
        let mut url = url.to_owned();
        for _ in 0..5 {
            let request = self.agent.head(&url).config().max_redirects(0).max_redirects_will_error(false).build();
            let response = self.call(request)?;
            let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            let etag = header("x-linked-etag").or(header("etag"));
            // A model that has another name now.
            if let (None, Some(next)) = (etag, header("location").filter(|next| next.starts_with('/'))) {
                url = format!("{}{next}", self.endpoint);
                continue;
            }
            self.check(model, &url, &response)?;
            let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
            let etag = etag.filter(|etag| is_hex(etag)).ok_or_else(|| {
                let reason =
                    format!("{url}: the answer names no hash of the file; is HF_ENDPOINT the address of a Hub?");
                Fault::Final(EngineError::Failed(reason))
            })?;
            let size = header("x-linked-size").or(header("content-length")).and_then(|size| size.parse().ok());
            return Ok(Remote { etag, size });
        }
        Err(Fault::Final(EngineError::Failed(format!("{url}: one address leads to the next without end"))))
    }

    /// Brings a file's content to its place; the bytes that came.
    fn fetch(
        &self,
        model: &ModelId,
        name: &str,
        url: &str,
        remote: &Remote,
        blob: &Path,
        context: &mut JobContext<'_>,
    ) -> Result<u64> {
        let full = |error: io::Error| EngineError::io(blob, error);
        if let Some(folder) = blob.parent() {
            fs::create_dir_all(folder).map_err(full)?;
        }
        let half = blob.with_added_extension("incomplete");
        let mut received = 0;
        context.begin(&format!("fetching {name}"), "bytes", remote.size);
        // A content that is not the promised one is fetched anew, once.
        for attempt in 0..2 {
            self.patiently(context, |context| self.stream(model, url, remote, &half, &mut received, context))?;
            let found = hash(&half, &remote.etag).map_err(full)?;
            if found == remote.etag {
                fs::rename(&half, blob).map_err(full)?;
                return Ok(received);
            }
            fs::remove_file(&half).map_err(full)?;
            let reason = format!("{url}: its hash is {found} and not {}, which the Hub names", remote.etag);
            if attempt == 1 {
                return Err(EngineError::Failed(format!(
                    "{reason}; it was not kept. A server in between may change files"
                )));
            }
            context.warn(format!("{reason}; fetching it anew"));
        }
        Err(EngineError::Failed(format!("{url}: it did not come")))
    }

    /// One request for what is missing of a file.
    fn stream(
        &self,
        model: &ModelId,
        url: &str,
        remote: &Remote,
        half: &Path,
        received: &mut u64,
        context: &mut JobContext<'_>,
    ) -> std::result::Result<(), Fault> {
        let full = |error: io::Error| Fault::Final(EngineError::io(half, error));
        let mut done = fs::metadata(half).map_or(0, |file| file.len());
        if remote.size.is_some_and(|size| done > size) {
            fs::remove_file(half).map_err(full)?;
            done = 0;
        }
        if remote.size == Some(done) {
            // All of it is there, or it is empty.
            fs::OpenOptions::new().append(true).create(true).open(half).map_err(full)?;
            return Ok(());
        }
        let mut request = self.agent.get(url).header("Accept-Encoding", "identity");
        if done > 0 {
            request = request.header("Range", format!("bytes={done}-"));
        }
        let mut response = self.call(request)?;
        self.check(model, url, &response)?;
        // A server without ranges sends everything.
        let whole = response.status().as_u16() != 206;
        let mut options = fs::OpenOptions::new();
        let mut file = if whole { options.write(true).truncate(true) } else { options.append(true) }
            .create(true)
            .open(half)
            .map_err(full)?;
        if whole {
            done = 0;
        }
        let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; BUFFER];
        loop {
            context.check()?;
            context.advance(done);
            match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    file.write_all(&buffer[..n]).map_err(full)?;
                    done += n as u64;
                    *received += n as u64;
                }
                Err(error) => return Err(Fault::again(format!("the line broke after {done} bytes ({error})"))),
            }
        }
        file.sync_all().map_err(full)?;
        match remote.size {
            Some(size) if done < size => Err(Fault::again(format!("the line broke after {done} of {size} bytes"))),
            _ => Ok(()),
        }
    }

    fn call(
        &self,
        request: ureq::RequestBuilder<ureq::typestate::WithoutBody>,
    ) -> std::result::Result<Response<Body>, Fault> {
        let request = match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        };
        request.call().map_err(|error| {
            let reason = format!("{} does not answer ({error})", self.endpoint);
            match error {
                ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                    Fault::Final(EngineError::input(format!("{reason}; is HF_ENDPOINT an address?")))
                }
                _ => Fault::again(reason),
            }
        })
    }

    /// What an answer's status means for the user.
    fn check(&self, model: &ModelId, url: &str, response: &Response<Body>) -> std::result::Result<(), Fault> {
        let status = response.status().as_u16();
        let last = |text: String| Err(Fault::Final(EngineError::input(format!("{}: {text}", model.address()))));
        match status {
            200..=399 => Ok(()),
            401 | 403 if self.token.is_none() => last(format!(
                "{} does not give it to everyone, or has no such model ({status}); if it is one that must be asked for, ask \
                 on its page, and set HF_TOKEN to your token",
                self.endpoint
            )),
            401 | 403 => last(format!(
                "{} does not give it to the owner of this token ({status}); ask for access on its page",
                self.endpoint
            )),
            404 => last(format!("{} has no such model, revision or file ({url})", self.endpoint)),
            429 | 500..=599 => {
                let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                Err(Fault::Again { reason: format!("{} is busy ({status})", self.endpoint), wait })
            }
            _ => Err(Fault::Final(EngineError::Failed(format!("{url}: the server answered {status}")))),
        }
    }
}

/// Waits, and hears when the user wants to stop.
fn rest(pause: Duration, context: &mut JobContext<'_>) -> Result<()> {
    let step = Duration::from_millis(50);
    let mut left = pause;
    while !left.is_zero() {
        context.check()?;
        sleep(left.min(step));
        left = left.saturating_sub(step);
    }
    context.check()
}

fn is_hex(text: &str) -> bool {
    (32..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The hash of a file in the form that its etag has: SHA-256 of large files, Git's of others.
fn hash(path: &Path, etag: &str) -> io::Result<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; BUFFER];
    let mut each = |take: &mut dyn FnMut(&[u8])| -> io::Result<()> {
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                n => take(&buffer[..n]),
            }
        }
    };
    if etag.len() == 64 {
        let mut sha = sha2::Sha256::new();
        each(&mut |part| sha.update(part))?;
        Ok(hex(&sha.finalize()))
    } else {
        let mut sha = sha1::Sha1::new();
        sha.update(format!("blob {}\0", fs::metadata(path)?.len()));
        each(&mut |part| sha.update(part))?;
        Ok(hex(&sha.finalize()))
    }
}

/// Puts a content under its name: as a link, or as a copy where the system has no links for everyone.
fn place(blob: &Path, link: &Path) -> Result<()> {
    let fail = |error: io::Error| EngineError::io(link, error);
    let folder = link.parent().unwrap_or(link);
    fs::create_dir_all(folder).map_err(fail)?;
    let _ = fs::remove_file(link);
    // From the snapshot's folder up to the model's: one step for the commit, one for each folder of the name.
    let snapshots = link.ancestors().position(|at| at.ends_with("snapshots")).unwrap_or(2);
    let name = blob.file_name().unwrap_or_default();
    let target = (0..snapshots).fold(PathBuf::new(), |path, _| path.join("..")).join("blobs").join(name);
    fs::link(&target, link).or_else(|_| fs::copy(blob, link).map(|_| ())).map_err(fail)
}

/// Files of a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
