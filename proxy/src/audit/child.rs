//! The command under audit: started with its own output untouched, told of signals, waited for.

use super::snapshot::SnapshotOrder;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// What to run.
pub(super) struct Order<'a> {
    pub(super) command: &'a [OsString],
    /// What changes in the environment; `None` = the variable goes.
    pub(super) environment: &'a BTreeMap<String, Option<String>>,
    /// SIGUSR1 asks for it.
    pub(super) snapshot: &'a SnapshotOrder,
}

/// How it ended, as a shell's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) code: u8,
    /// It never ran.
    pub(super) started: bool,
}

/// Whom a signal is for.
///
/// With a terminal the child stays in our process group, which the terminal sends its Ctrl-C to; a group of its own
/// would have to be put into the foreground, or it could not read. Without one it gets a group of its own, so that all
/// of it can be reached.
#[derive(Clone, Copy)]
struct Child {
    pid: Pid,
    own_group: bool,
}

impl Child {
    fn send(self, signal: Signal) {
        // It may have ended just now.
        let _ = if self.own_group {
            kill_process_group(self.pid, signal)
        } else {
            kill_process(self.pid, signal)
        };
    }
}

/// Runs the command to its end.
///
/// # Errors
/// Signals can't be waited for.
pub(super) fn run(order: &Order<'_>) -> io::Result<(Ended, Option<io::Error>)> {
    let own_group = !io::stdin().is_terminal();
    let Some((program, arguments)) = order.command.split_first() else {
        return Ok((Ended { code: 127, started: false }, None));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, value) in order.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if own_group {
        command.process_group(0);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before the child is there, so that no signal is missed.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut snapshot = signal(SignalKind::user_defined1())?;
        let _ignored = signal(SignalKind::hangup())?;
        let mut process = match command.spawn() {
            Ok(process) => process,
            Err(error) => {
                let missing = error.kind() == io::ErrorKind::NotFound;
                let code = if missing { 127 } else { 126 };
                return Ok((Ended { code, started: false }, Some(error)));
            }
        };
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        let (tell, mut ended) = oneshot::channel();
        std::thread::spawn(move || tell.send(process.wait()));
        let mut asked = false;
        let status = loop {
            let wanted = tokio::select! {
                status = &mut ended => break status,
                _ = terminate.recv() => Signal::TERM,
                _ = interrupt.recv() => Signal::INT,
                _ = snapshot.recv() => {
                    order.snapshot.carry_out();
                    continue;
                }
            };
            let Some(child) = pid.map(|pid| Child { pid, own_group }) else { continue };
            if asked {
                child.send(Signal::KILL);
            } else if own_group || wanted == Signal::TERM {
                child.send(wanted);
            }
            asked = true;
        };
        let status = status.map_err(io::Error::other)??;
        Ok((Ended { code: code(status), started: true }, None))
    })
}

/// The code as a shell says it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}
