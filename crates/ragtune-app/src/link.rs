//! The line to the engine: commands go out with an owner, events come back to it.
//!
//! There are several engines, so that a question is answered while a tuning runs: one works, one answers, one looks things
//! up, one tests devices. All take the same commands.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::TryRecvError;

use ragtune_engine::event::Progress;
use ragtune_engine::{Command, EventKind, JobId, Session};

/// Jobs that are over and still listed.
const REMEMBERED: usize = 30;

/// The error of a job whose engine stopped under it.
pub const STOPPED: &str = "the engine stopped while it worked on this. It was started again: what was saved is there, so \
                           do the same once more to go on";

/// Which of the engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Line {
    /// Long work, one job after another.
    Work,
    /// Questions, which are answered at once.
    Ask,
    /// Lists and facts, which are looked up without a word.
    Look,
    /// Tests of devices, which may take long where a driver is slow.
    Test,
}

impl Line {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Work, Self::Ask, Self::Look, Self::Test];
}

/// A job that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    line: Line,
    /// Engines are started anew after a crash, and count from 1 again.
    round: u32,
    job: JobId,
}

/// Who hears of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The window itself.
    App,
    /// The corpus page, and so on.
    Corpus,
    /// Encoder, language model, device.
    Models,
    /// Questions and answers.
    Questions,
    /// Tuning and runs.
    Tune,
    /// Search and answers.
    Query,
    /// Vectors and differences.
    Explain,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq)]
pub enum JobState {
    /// Others are before it.
    Waiting,
    /// It runs.
    Running,
    /// It is held up.
    Paused,
    /// It is done.
    Finished,
    /// It was stopped; how to go on.
    Cancelled(Option<String>),
    /// What went wrong.
    Failed(String),
}

/// A job as people see it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Which one.
    pub ticket: Ticket,
    /// Who hears of it.
    pub owner: Owner,
    /// What it does, in a few words.
    pub title: String,
    /// How far it is.
    pub state: JobState,
    /// Its newest figures.
    pub progress: Option<Progress>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Not worth a line of its own: a list that is fetched, a search while typing.
    pub quiet: bool,
}

impl Job {
    /// Whether it is not over yet.
    pub fn is_open(&self) -> bool {
        matches!(self.state, JobState::Waiting | JobState::Running | JobState::Paused)
    }
}

/// Something that an engine said, with whom it concerns.
#[derive(Debug, Clone)]
pub struct News {
    /// The job.
    pub ticket: Ticket,
    /// Who sent it.
    pub owner: Owner,
    /// What happened.
    pub kind: EventKind,
}

/// The engines with what runs on them.
pub struct Link {
    wake: Box<dyn Fn() -> Box<dyn Fn() + Send>>,
    sessions: HashMap<Line, (u32, Session)>,
    jobs: VecDeque<Job>,
    transcript: Option<PathBuf>,
    /// Engines that stopped and were started again, for a notice.
    restarted: Vec<Line>,
}

impl Link {
    /// Starts the engines. `wake` is called from their threads after every event.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(wake: impl Fn() + Send + Clone + 'static) -> io::Result<Self> {
        let wake: Box<dyn Fn() -> Box<dyn Fn() + Send>> = Box::new(move || Box::new(wake.clone()));
        let mut sessions = HashMap::new();
        for line in Line::ALL {
            sessions.insert(line, (0, Session::spawn_waking(wake())?));
        }
        Ok(Self { wake, sessions, jobs: VecDeque::new(), transcript: None, restarted: Vec::new() })
    }

    /// Writes every command from now on to a file too.
    pub fn record_to(&mut self, transcript: Option<PathBuf>) {
        for (_, session) in self.sessions.values_mut() {
            session.record_to(transcript.clone());
        }
        self.transcript = transcript;
    }

    /// Sends a command.
    pub fn send(&mut self, owner: Owner, line: Line, title: &str, command: Command) -> Ticket {
        self.submit(owner, line, title, command, false)
    }

    /// Sends a command that is not worth a line in the list of jobs unless it fails.
    pub fn send_quietly(&mut self, owner: Owner, line: Line, title: &str, command: Command) -> Ticket {
        self.submit(owner, line, title, command, true)
    }

    fn submit(&mut self, owner: Owner, line: Line, title: &str, command: Command, quiet: bool) -> Ticket {
        let (round, job) = match self.sessions.get_mut(&line) {
            Some((round, session)) => (*round, session.submit(command)),
            // It could not be started again; the job fails with the next look at the line.
            None => (u32::MAX, JobId(0)),
        };
        let ticket = Ticket { line, round, job };
        let title = title.to_owned();
        self.jobs.push_back(Job {
            ticket,
            owner,
            title,
            state: JobState::Waiting,
            progress: None,
            warnings: Vec::new(),
            quiet,
        });
        while self.jobs.len() > REMEMBERED {
            let Some(at) = self.jobs.iter().position(|job| !job.is_open()) else { break };
            self.jobs.remove(at);
        }
        ticket
    }

    /// Whether a job of theirs is not over.
    pub fn is_working_for(&self, owner: Owner) -> bool {
        self.jobs.iter().any(|job| job.owner == owner && job.is_open())
    }

    /// Asks a job to stop.
    pub fn cancel(&mut self, ticket: Ticket) {
        if let Some(session) = self.session(ticket) {
            session.cancel(ticket.job);
        }
    }

    /// Holds a job up at its next step.
    pub fn pause(&mut self, ticket: Ticket) {
        if let Some(session) = self.session(ticket) {
            session.pause(ticket.job);
        }
    }

    /// Lets a job go on.
    pub fn resume(&mut self, ticket: Ticket) {
        if let Some(session) = self.session(ticket) {
            session.resume(ticket.job);
        }
    }

    fn session(&mut self, ticket: Ticket) -> Option<&mut Session> {
        self.sessions.get_mut(&ticket.line).filter(|(round, _)| *round == ticket.round).map(|(_, session)| session)
    }

    /// All jobs that are remembered, oldest first.
    pub fn jobs(&self) -> impl DoubleEndedIterator<Item = &Job> {
        self.jobs.iter()
    }

    /// A job.
    pub fn job(&self, ticket: Ticket) -> Option<&Job> {
        self.jobs.iter().find(|job| job.ticket == ticket)
    }

    /// Whether a job is not over yet.
    pub fn is_open(&self, ticket: Option<Ticket>) -> bool {
        ticket.and_then(|ticket| self.job(ticket)).is_some_and(Job::is_open)
    }

    /// Forgets the jobs that are over.
    pub fn clear(&mut self) {
        self.jobs.retain(Job::is_open);
    }

    /// What the engines said since the last call. An engine that stopped is started again; its jobs count as failed.
    pub fn poll(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        for line in Line::ALL {
            let mut stopped = !self.sessions.contains_key(&line);
            while let Some((round, session)) = self.sessions.get(&line) {
                match session.events().try_recv() {
                    Ok(event) => {
                        let ticket = Ticket { line, round: *round, job: event.job };
                        news.extend(self.note(ticket, event.kind));
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        stopped = true;
                        break;
                    }
                }
            }
            if stopped {
                news.extend(self.restart(line));
            }
        }
        news
    }

    /// Keeps the list of jobs up to date.
    fn note(&mut self, ticket: Ticket, kind: EventKind) -> Option<News> {
        let job = self.jobs.iter_mut().find(|job| job.ticket == ticket)?;
        match &kind {
            EventKind::Started { .. } | EventKind::Resumed => job.state = JobState::Running,
            EventKind::Paused => job.state = JobState::Paused,
            EventKind::Progress(progress) => job.progress = Some(progress.clone()),
            EventKind::Warning(text) => job.warnings.push(text.clone()),
            EventKind::Finished { .. } => job.state = JobState::Finished,
            EventKind::Cancelled { resume } => job.state = JobState::Cancelled(resume.clone()),
            EventKind::Failed { error, .. } => job.state = JobState::Failed(error.clone()),
            _ => {}
        }
        Some(News { ticket, owner: job.owner, kind })
    }

    fn restart(&mut self, line: Line) -> Vec<News> {
        let round = self.sessions.get(&line).map_or(0, |(round, _)| *round);
        self.sessions.remove(&line);
        let open: Vec<Ticket> =
            self.jobs.iter().filter(|job| job.ticket.line == line && job.is_open()).map(|job| job.ticket).collect();
        let fail = |ticket| (ticket, EventKind::Failed { error: STOPPED.to_owned(), exit_code: 1 });
        let news = open.into_iter().map(fail).collect::<Vec<_>>();
        let news = news.into_iter().filter_map(|(ticket, kind)| self.note(ticket, kind)).collect();
        // Without a thread there is no engine; the next look tries again.
        if let Ok(mut session) = Session::spawn_waking((self.wake)()) {
            session.record_to(self.transcript.clone());
            self.sessions.insert(line, (round.wrapping_add(1), session));
            self.restarted.push(line);
        }
        news
    }

    /// Engines that had to be started again since the last call.
    pub fn take_restarted(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.restarted)
    }

    /// Ends an engine's thread as a crash would: the next [`Link::poll`] sees it.
    #[doc(hidden)]
    pub fn kill(&mut self, line: Line) {
        if let Some((_, session)) = self.sessions.get_mut(&line) {
            session.stop();
        }
    }
}
