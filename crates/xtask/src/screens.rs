//! The real window on a screen in memory (Xvfb), driven by keys and clicks: pictures of every page for the README, and
//! a test that it opens, works, and survives sizes.
//!
//! Needs `Xvfb`, `xdotool` and ImageMagick's `import` and `identify`, and a graphics driver, which may be one in software.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The screen's number; high, so that it is nobody's.
const DISPLAY: &str = ":93";
/// Size of the window in pictures.
const SIZE: (u32, u32) = (1180, 800);
/// Where the button of the sample world is at that size.
const SAMPLE_BUTTON: (u32, u32) = (238, 216);

/// Where “Compare” is at the first and the second passage of the page Query's first column, for the question of the pictures.
const COMPARE_BUTTONS: [(u32, u32); 2] = [(278, 468), (278, 669)];

/// Where the button that updates the index is on the page Corpus, below what is said of an engine that ended.
const UPDATE_BUTTON: (u32, u32) = (293, 409);

struct Options {
    out: PathBuf,
    /// Only the test: a small world, no pictures kept.
    quick: bool,
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut options = Options { out: PathBuf::from("docs/screens"), quick: false };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => options.quick = true,
            "--out" => options.out = PathBuf::from(args.next().context("--out needs a folder")?),
            other => bail!("unknown argument {other}; there are --quick and --out DIR"),
        }
    }
    let programs = std::env::current_exe()?.parent().context("no folder")?.to_owned();
    let home = temp_folder("ragtune-screens")?;
    let result = if options.quick { test(&programs, &home) } else { pictures(&programs, &home, &options.out) };
    fs::remove_dir_all(&home)?;
    result
}

fn temp_folder(name: &str) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A screen with the window on it.
struct Screen {
    xvfb: Child,
    app: Child,
}

impl Screen {
    fn open(programs: &Path, home: &Path, size: (u32, u32), args: &[&str]) -> Result<Self> {
        let geometry = format!("{}x{}x24", size.0, size.1);
        let xvfb = Command::new("Xvfb")
            .args([DISPLAY, "-screen", "0", &geometry, "-nolisten", "tcp"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("Xvfb cannot be started; install the package xvfb")?;
        sleep(Duration::from_secs(1));
        let app = Command::new(programs.join("ragtune-app"))
            .args(args)
            .env("DISPLAY", DISPLAY)
            .env("HOME", home)
            .env("XDG_RUNTIME_DIR", home)
            // Ctrl+Shift+F12 ends the engine that works.
            .env("RAGTUNE_CRASH_KEY", "1")
            .env_remove("WAYLAND_DISPLAY")
            .spawn()
            .context("ragtune-app cannot be started; build the workspace first")?;
        let screen = Self { xvfb, app };
        let window = screen.wait("the window", || {
            let found = xdotool(&["search", "--name", "^ragtune$"])?;
            Ok(found.lines().last().map(str::to_owned))
        })?;
        // Without a window manager nobody gives it the keyboard.
        sleep(Duration::from_secs(2));
        xdotool(&["windowfocus", &window])?;
        xdotool(&["windowmove", &window, "0", "0"])?;
        xdotool(&["windowsize", &window, &size.0.to_string(), &size.1.to_string()])?;
        sleep(Duration::from_secs(1));
        Ok(screen)
    }

    /// Asks again and again, until there is an answer, the program ends, or minutes have passed.
    fn wait<T>(&self, what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(900) {
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            if !Path::new(&format!("/proc/{}", self.app.id())).exists() {
                bail!("the program ended before {what}");
            }
            sleep(Duration::from_millis(300));
        }
        bail!("{what} never came")
    }

    fn keys(&self, keys: &str) -> Result<()> {
        xdotool(&["key", keys])?;
        sleep(Duration::from_millis(1500));
        Ok(())
    }

    fn click(&self, at: (u32, u32)) -> Result<()> {
        xdotool(&["mousemove", &at.0.to_string(), &at.1.to_string(), "click", "1"])?;
        sleep(Duration::from_millis(1500));
        Ok(())
    }

    /// Saves what the screen shows; a picture of one colour or two is no window.
    fn picture(&self, file: &Path) -> Result<()> {
        run_tool("import", &["-display", DISPLAY, "-window", "root", "-depth", "8", &file.display().to_string()])?;
        let colours: u32 = run_tool("identify", &["-format", "%k", &file.display().to_string()])?.trim().parse()?;
        if colours < 40 {
            bail!("{}: {colours} colours: nothing is drawn", file.display());
        }
        Ok(())
    }

    fn alive(&mut self) -> Result<()> {
        match self.app.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the program ended: {status}"),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        for child in [&mut self.app, &mut self.xvfb] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn run_tool(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .env("DISPLAY", DISPLAY)
        .output()
        .with_context(|| format!("{program} cannot be started; install the packages xdotool and imagemagick"))?;
    if !output.status.success() && program != "xdotool" {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn xdotool(args: &[&str]) -> Result<String> {
    run_tool("xdotool", args)
}

/// The window opens, makes the sample world by one click, goes through its pages, and survives sizes.
fn test(programs: &Path, home: &Path) -> Result<()> {
    let mut screen = Screen::open(programs, home, (3840, 2160), &[])?;
    let window = xdotool(&["search", "--name", "^ragtune$"])?.lines().last().context("no window")?.to_owned();
    let resize = |width: &str, height: &str| -> Result<()> {
        xdotool(&["windowsize", &window, width, height])?;
        sleep(Duration::from_secs(2));
        Ok(())
    };
    resize("1180", "800")?;
    screen.click(SAMPLE_BUTTON)?;
    let project = home.join("ragtune-projects/sample-world");
    screen.wait("the index", || Ok(project.join("index/meta.json").is_file().then_some(())))?;
    screen.wait("the tuning", || Ok(project.join("runs/run-1/config.toml").is_file().then_some(())))?;
    for (width, height) in [("800", "600"), ("3840", "2160"), ("500", "400"), ("1180", "800")] {
        resize(width, height)?;
        for page in 1..=7 {
            screen.keys(&format!("ctrl+{page}"))?;
        }
        screen.picture(&home.join(format!("{width}.png")))?;
        screen.alive()?;
    }
    // Searching while it tunes.
    screen.keys("ctrl+6")?;
    xdotool(&["type", "--delay", "40", "Who built the bridge?"])?;
    sleep(Duration::from_secs(3));
    let transcript = fs::read_to_string(project.join("transcript.jsonl"))?;
    for command in ["update-index", "tune", "search"] {
        if !transcript.contains(&format!("\"command\":\"{command}\"")) {
            bail!("the window sent no {command}");
        }
    }
    screen.alive()?;
    crash(&mut screen, &project, home)?;
    eprintln!("the window opens, works, and survives sizes and the end of its engine");
    Ok(())
}

/// The engine that tunes ends; the window goes on, and the next engine does what is asked of it.
fn crash(screen: &mut Screen, project: &Path, home: &Path) -> Result<()> {
    screen.keys("ctrl+shift+F12")?;
    if project.join("runs/run-1/report.json").exists() {
        bail!("the tuning was over before its engine was ended");
    }
    // The engine ends at its next step, and the page draws what became of it.
    sleep(Duration::from_secs(5));
    screen.keys("ctrl+2")?;
    screen.picture(&home.join("crash.png"))?;
    screen.alive()?;
    let index = project.join("index/meta.json");
    let before = fs::read(&index)?;
    let corpus = project.join("world/corpus.jsonl");
    let passage = "{\"_id\": \"added\", \"text\": \"This passage came after the crash.\"}\n";
    fs::write(&corpus, fs::read_to_string(&corpus)? + passage)?;
    screen.click(UPDATE_BUTTON)?;
    screen.wait("the index with one more passage", || Ok((fs::read(&index)? != before).then_some(())))?;
    screen.alive()
}

/// Pictures of every page over a tuned sample world.
fn pictures(programs: &Path, home: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out)?;
    let out = fs::canonicalize(out)?;
    let project = home.join("sample-world");
    {
        let screen = Screen::open(programs, home, SIZE, &[])?;
        screen.picture(&out.join("home.png"))?;
        screen.click(SAMPLE_BUTTON)?;
        let made = home.join("ragtune-projects/sample-world");
        let metrics = made.join("runs/run-1/metrics.jsonl");
        screen.wait("some steps", || {
            Ok(fs::read_to_string(&metrics).ok().filter(|text| text.lines().count() > 40).map(|_| ()))
        })?;
        sleep(Duration::from_secs(1));
        screen.picture(&out.join("tune-live.png"))?;
        screen.wait("the tuned encoder", || Ok(made.join("runs/run-1/report.json").is_file().then_some(())))?;
        sleep(Duration::from_secs(4));
        fs::rename(&made, &project)?;
    }
    let folder = project.display().to_string();
    let screen = Screen::open(programs, home, SIZE, &["--project", &folder])?;
    sleep(Duration::from_secs(2));
    for (page, name) in [(2, "corpus"), (3, "questions"), (4, "models"), (5, "tune")] {
        screen.keys(&format!("ctrl+{page}"))?;
        if name == "models" {
            // Devices answer a test first.
            sleep(Duration::from_secs(60));
        }
        screen.picture(&out.join(format!("{name}.png")))?;
    }
    screen.keys("ctrl+6")?;
    xdotool(&["type", "--delay", "40", "Who was the builder of Rerengath Bridge?"])?;
    screen.keys("Return")?;
    sleep(Duration::from_secs(8));
    screen.picture(&out.join("query.png"))?;
    for button in COMPARE_BUTTONS {
        screen.click(button)?;
    }
    sleep(Duration::from_secs(3));
    screen.picture(&out.join("explain.png"))?;
    Ok(())
}
