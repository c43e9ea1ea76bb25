//! Appliances as processes, for tests.
//!
//! ```no_run
//! # use fata_unix::testing::{Process, free_port};
//! let port = free_port();
//! let web = Process::start("target/debug/web", [format!("port={port}")]);
//! web.wait_for("web: ");
//! // ... talk to 127.0.0.1:port ...
//! assert_eq!(web.leave().code(), Some(0));
//! ```

mod namespace;

pub use namespace::Namespace;
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for anything.
const LIMIT: Duration = Duration::from_secs(20);
/// How often is looked whether a process has ended.
const PERIOD: Duration = Duration::from_millis(5);

/// What a process has said so far on stdout and stderr.
#[derive(Default)]
struct Said {
    text: Mutex<String>,
    more: Condvar,
}

impl Said {
    fn text(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes whole lines: those of two streams must not get into each other.
    fn listen(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        let said = self.clone();
        thread::spawn(move || {
            let (mut stream, mut line) = (BufReader::new(stream), Vec::new());
            while let Ok(1..) = stream.read_until(b'\n', &mut line) {
                said.text().push_str(&String::from_utf8_lossy(&line));
                said.more.notify_all();
                line.clear();
            }
        });
    }
}

/// A process that is ended when it is dropped.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Said>,
}

impl Process {
    /// Starts an appliance with its boot parameters.
    ///
    /// # Panics
    /// If it cannot be started, as everything here does where a test has failed.
    pub fn start<A: AsRef<OsStr>>(program: impl AsRef<Path>, params: impl IntoIterator<Item = A>) -> Self {
        Self::spawn(Command::new(program.as_ref()).args(params))
    }

    /// Starts a command.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn(command: &mut Command) -> Self {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let said = Arc::<Said>::default();
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            said.listen(stdout);
            said.listen(stderr);
        }
        let stdin = child.stdin.take();
        Self { child, stdin, said }
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far, line by line.
    pub fn said(&self) -> String {
        self.said.text().clone()
    }

    /// Waits until it has said this, and returns the line that it is in.
    ///
    /// # Panics
    /// If it does not say it in time.
    pub fn wait_for(&self, text: &str) -> String {
        let until = Instant::now() + LIMIT;
        let mut said = self.said.text();
        loop {
            if let Some(line) = said.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {LIMIT:?} for {text:?}; it has said:\n{said}");
            let waited = self.said.more.wait_timeout(said, left);
            said = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// Waits until it has said this, or has ended; whether it has said it.
    ///
    /// # Panics
    /// If neither comes in time.
    fn says(&mut self, text: &str) -> bool {
        let until = Instant::now() + LIMIT;
        loop {
            let has_ended = self.child.try_wait().expect("it is a child of ours").is_some();
            // What it said last is on its way to us.
            thread::sleep(PERIOD * if has_ended { 20 } else { 1 });
            if self.said().contains(text) || has_ended {
                return self.said().contains(text);
            }
            assert!(Instant::now() < until, "waited {LIMIT:?} for {text:?} or an end");
        }
    }

    /// Types a line on its console.
    pub fn type_line(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            stdin.write_all(format!("{line}\n").as_bytes()).expect("the process reads no more");
        }
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is a child of ours") {
                return status;
            }
            assert!(Instant::now() < until, "no end within {LIMIT:?}; it has said:\n{}", self.said());
            thread::sleep(PERIOD);
        }
    }

    /// Asks it to leave, as `xl shutdown` asks a guest, and waits for its end.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn leave(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("process {} has said:\n{}", self.child.id(), self.said());
        }
    }
}

/// Runs a program that a test needs to its end.
///
/// # Panics
/// If the program is not there.
pub fn run_tool<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Output {
    let output = Command::new(name).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("this test needs the program {name}: {error}"))
}

/// A TCP port of this machine that is free, and given to nobody else in this process.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    /// Below those that Linux gives to who asks for any.
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes side by side start in different places.
    let start = std::process::id().wrapping_mul(97);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    let ports = std::iter::repeat_with(|| {
        let next = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        (FIRST + next % COUNT) as u16
    });
    ports.take(COUNT as usize).find(is_free).expect("a free port")
}

/// The program of an example, which cargo builds beside the tests of its package.
///
/// # Panics
/// If it is not there.
pub fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("a test is a program");
    let profile = tests.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let path = profile.join("examples").join(name);
    assert!(path.exists(), "example {name} is not built: {} is missing", path.display());
    path
}

/// Whether this process may do what root may.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
