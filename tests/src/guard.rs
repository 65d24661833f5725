//! A long-running program that can't outlive the test process.
//!
//! The program is started by a small shell, which waits for the end of its own standard input. That input is a
//! pipe we hold: dropping the guard closes it, and so does any end of the test process, a panic, an abort, a
//! Ctrl-C or a kill. The shell then sends the program its stop signal, waits for it, and removes its folder.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest time a program may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);

const SCRIPT: &str = include_str!("../../scripts/guard.sh");

/// Who runs the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// User and group id to change to; `None` = as we are.
    pub ids: Option<(u32, u32)>,
}

/// One guarded program.
#[derive(Debug)]
pub struct Guard {
    shell: Child,
    pid: u32,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Guard {
    /// Starts `program`; on the end of the guard it gets `signal`, and `folder` is removed.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start(
        program: &Path,
        args: &[String],
        signal: &str,
        folder: Option<&Path>,
        owner: Owner,
    ) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "guard", signal]).arg(folder.unwrap_or(Path::new("")));
        command.arg(program).args(args).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some((user, group)) = owner.ids {
            command.uid(user).gid(group);
        }
        let mut shell = command.spawn().expect("sh starts");
        let pid = first_line(&mut shell).parse().expect("the guard prints the process id");
        let lines = collect_stderr(&mut shell);
        Self { shell, pid, lines }
    }

    /// The process id of the program.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the program has written to standard error so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the program still runs (a zombie does not).
    pub fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
        state.is_some_and(|state| state != 'Z')
    }

    /// Lets the program end and gives its exit code (128 + n after signal n).
    ///
    /// # Panics
    /// If it had to be killed.
    pub fn stop(&mut self) -> i32 {
        let status = self.end();
        status.and_then(|status| status.code()).unwrap_or_else(|| {
            panic!("process {} did not stop within {STOP_LIMIT:?}: {:?}", self.pid, self.lines())
        })
    }

    fn end(&mut self) -> Option<ExitStatus> {
        drop(self.shell.stdin.take());
        let started = Instant::now();
        let mut killed = false;
        loop {
            if let Ok(Some(status)) = self.shell.try_wait() {
                return (!killed).then_some(status);
            }
            if !killed && started.elapsed() > STOP_LIMIT {
                killed = true;
                crate::process::signal("KILL", &self.pid.to_string());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end();
    }
}

fn first_line(shell: &mut Child) -> String {
    let mut line = String::new();
    let pipe = shell.stdout.take().expect("the guard's output is a pipe");
    BufReader::new(pipe).read_line(&mut line).expect("the guard's output is readable");
    line.trim().to_owned()
}

fn collect_stderr(shell: &mut Child) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let pipe = shell.stderr.take().expect("the guard's errors are a pipe");
    let sink = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    lines
}
