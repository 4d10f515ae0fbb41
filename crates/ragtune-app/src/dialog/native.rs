//! The system's dialogs. They wait in a thread of their own, and tell the page that asked.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use super::Purpose;

/// Open dialogs.
pub struct Dialogs {
    sender: Sender<(Purpose, Vec<PathBuf>)>,
    answers: Receiver<(Purpose, Vec<PathBuf>)>,
    wake: Box<dyn Fn() -> Box<dyn Fn() + Send>>,
}

impl Dialogs {
    /// None open yet. `wake` is called when one is answered.
    pub fn new(wake: impl Fn() + Send + Clone + 'static) -> Self {
        let (sender, answers) = mpsc::channel();
        Self { sender, answers, wake: Box::new(move || Box::new(wake.clone())) }
    }

    /// Opens a dialog.
    pub fn open(&self, purpose: Purpose) {
        let dialog = rfd::AsyncFileDialog::new();
        match purpose {
            Purpose::CorpusFiles => {
                let kinds = ["txt", "md", "markdown", "html", "htm", "pdf", "docx", "jsonl", "json", "tsv", "gz"];
                let dialog = dialog.set_title("Add documents").add_filter("Documents and corpora", &kinds);
                self.wait(purpose, async { paths(dialog.add_filter("All files", &["*"]).pick_files().await) });
            }
            Purpose::CorpusFolder => self.folder(purpose, dialog.set_title("Add a folder of documents")),
            Purpose::Project => self.folder(purpose, dialog.set_title("Open a project folder")),
            Purpose::Encoder => self.folder(purpose, dialog.set_title("Folder of an encoder")),
            Purpose::LanguageModel => self.folder(purpose, dialog.set_title("Folder of a language model")),
            Purpose::ExportModel => self.folder(purpose, dialog.set_title("A new folder for the encoder")),
            Purpose::ImportModel => self.folder(purpose, dialog.set_title("A new folder for the language model")),
            Purpose::ExportRun => self.folder(purpose, dialog.set_title("Folder for the encoder and its report")),
            Purpose::Questions => {
                let dialog = dialog
                    .set_title("Import questions")
                    .add_filter("Questions", &["jsonl", "json", "tsv", "csv", "txt", "gz"])
                    .add_filter("All files", &["*"]);
                self.wait(purpose, async { paths(dialog.pick_file().await.map(|file| vec![file])) });
            }
            Purpose::ExportHits => {
                let dialog = dialog.set_title("Export the hits").set_file_name("hits.json");
                self.wait(purpose, async { paths(dialog.save_file().await.map(|file| vec![file])) });
            }
        }
    }

    fn folder(&self, purpose: Purpose, dialog: rfd::AsyncFileDialog) {
        self.wait(purpose, async { paths(dialog.pick_folder().await.map(|folder| vec![folder])) });
    }

    fn wait(&self, purpose: Purpose, dialog: impl Future<Output = Vec<PathBuf>> + Send + 'static) {
        let (sender, wake) = (self.sender.clone(), (self.wake)());
        // Without a thread nothing opens; the path can be typed too.
        let _ = thread::Builder::new().name("ragtune-dialog".to_owned()).spawn(move || {
            let chosen = block_on(dialog);
            if !chosen.is_empty() && sender.send((purpose, chosen)).is_ok() {
                wake();
            }
        });
    }

    /// What was chosen since the last call.
    pub fn poll(&self) -> Vec<(Purpose, Vec<PathBuf>)> {
        self.answers.try_iter().collect()
    }
}

fn paths(files: Option<Vec<rfd::FileHandle>>) -> Vec<PathBuf> {
    files.unwrap_or_default().iter().map(|file| file.path().to_owned()).collect()
}

/// Sleeps until a future is done.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(std::sync::Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
