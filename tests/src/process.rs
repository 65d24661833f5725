//! Running a program to its end, with its output, inside a time limit.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a finished program left.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Whether the exit code is 0.
    pub fn is_ok(&self) -> bool {
        self.code == Some(0)
    }
}

/// Runs `command` with `stdin` as its input.
///
/// # Panics
/// If it can't be started, or runs longer than `limit` (it is killed then).
pub fn run(command: &mut Command, stdin: &str, limit: Duration) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.process_group(0).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let feeder = feed(&mut child, stdin.to_owned());
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child, limit);
    let output = Output {
        code: status.and_then(|status| status.code()),
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    };
    feeder.join().unwrap_or_default();
    assert!(status.is_some(), "{command:?} ran longer than {limit:?}: {output:?}");
    output
}

/// As [`run`], for programs that must end with exit code 0.
///
/// # Panics
/// As [`run`], and if the exit code is another.
pub fn run_ok(command: &mut Command, stdin: &str, limit: Duration) -> Output {
    let output = run(command, stdin, limit);
    assert!(output.is_ok(), "{command:?} failed: {output:?}");
    output
}

/// utime and stime of a `stat` below `/proc`, in seconds.
#[must_use]
pub fn processor_seconds(stat: &str) -> Option<f64> {
    let fields = stat.rsplit(')').next()?.split_whitespace();
    let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<f64>().ok());
    // A tick is a hundredth of a second.
    ticks.sum::<Option<f64>>().map(|ticks| ticks / 100.0)
}

/// Sends `signal` ("TERM", "INT", "KILL") to one process, or to a group if `pid` starts with `-`.
pub fn signal(signal: &str, pid: &str) {
    let script = format!("kill -{signal} {pid} 2>/dev/null");
    // A process that is gone already is what the caller wants.
    let _gone = Command::new("sh").args(["-c", &script]).status();
}

/// Waits for the end; kills the whole group and gives `None` when the time is up.
fn wait(child: &mut Child, limit: Duration) -> Option<std::process::ExitStatus> {
    let started = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if started.elapsed() > limit {
            signal("KILL", &format!("-{}", child.id()));
            let _reaped = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn feed(child: &mut Child, text: String) -> JoinHandle<()> {
    let pipe = child.stdin.take();
    std::thread::spawn(move || {
        if let Some(mut pipe) = pipe {
            // A program may end without reading all of its input.
            let _unread = pipe.write_all(text.as_bytes());
        }
    })
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _partial = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
