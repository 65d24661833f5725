//! `pgsonde tail`: each statement as one line while it happens.

mod fold;
mod paint;

use super::follow::{Followed, Follower, Message};
use crate::filter::Filter;
use crate::problem::Problem;
use clap::Args;
use fold::Fold;
use paint::Paint;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How long a line waits for its repetition.
const FOLD_WAIT: Duration = Duration::from_millis(200);
/// Exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;

/// What to show.
#[derive(Args, Debug)]
pub(crate) struct TailArgs {
    /// Admin URL of the running proxy
    #[arg(value_name = "ADMIN_URL", default_value = "http://127.0.0.1:9635")]
    source: String,
    /// Only what fits: `d>100ms svc:web route:/orders/* -op:select err n+1 words`
    #[arg(long, value_name = "EXPR", default_value = "", allow_hyphen_values = true)]
    filter: String,
    /// Most statements per second; the rest is counted
    #[arg(long, value_name = "RATE", default_value = "200/s")]
    max_rate: String,
    /// Kinds of lines: statement, transaction, connection, finding
    #[arg(long, value_name = "LIST", default_value = "statement,finding")]
    events: String,
}

/// Follows until Ctrl-C, or until nobody reads any more.
///
/// # Errors
/// PGS0204 for a URL, PGS0219 for an expression that can't be read, PGS0501 and PGS0502 where no proxy answers.
pub(crate) fn run(args: &TailArgs, json: bool) -> Result<ExitCode, Problem> {
    Filter::parse(&args.filter)
        .map_err(|why| Problem::new(219, format!("--filter: {why}")).help(FILTER_HELP))?;
    let mut query = vec![
        ("max_rate".to_owned(), args.max_rate.clone()),
        ("events".to_owned(), args.events.clone()),
    ];
    if !args.filter.trim().is_empty() {
        query.push(("q".to_owned(), args.filter.clone()));
    }
    let (messages, follower) = Follower::start(&args.source, query)?;
    let mut printer = Printer {
        out: std::io::stdout(),
        fold: Fold::default(),
        paint: Paint::new(crate::colour::of(&std::io::stdout())),
        json,
    };
    let ended = printer.follow(&messages);
    follower.end();
    match ended {
        Followed::Ended(problem) => Err(problem),
        Followed::Interrupted => Ok(ExitCode::from(INTERRUPTED)),
        // The reader had enough (`| head`).
        Followed::Unread => Ok(ExitCode::SUCCESS),
    }
}

const FILTER_HELP: &str = "terms are joined by AND, `-` negates: d>100ms rows>10 bytes>1MiB err err:23505 kind:n_plus_one \
     op:select db:shop svc:web route:/orders/* mark:test_* digest:9f2c unit:… session:42 words";

struct Printer<W> {
    out: W,
    fold: Fold,
    paint: Paint,
    json: bool,
}

impl<W: Write> Printer<W> {
    fn follow(&mut self, messages: &Receiver<Message>) -> Followed {
        loop {
            let printed = match messages.recv_timeout(FOLD_WAIT / 2) {
                Ok(Message::Line(line)) if self.json => self.raw(&line),
                Ok(Message::Line(line)) => self.line(&line),
                Ok(Message::Note(note)) => {
                    eprintln!("{note}");
                    Ok(())
                }
                Ok(Message::Interrupted) => return Followed::Interrupted,
                Ok(Message::Ended(problem)) => return Followed::Ended(problem),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Followed::Interrupted,
            };
            let printed = printed.and_then(|()| self.ripe());
            if let Err(error) = printed {
                return match error.kind() {
                    ErrorKind::BrokenPipe => Followed::Unread,
                    _ => Followed::Ended(Problem::new(102, format!("cannot write: {error}"))),
                };
            }
        }
    }

    /// The line as it came; what only keeps the connection open is no event.
    fn raw(&mut self, line: &str) -> std::io::Result<()> {
        if line.starts_with("{\"ev\":\"alive\"") || line.starts_with("{\"ev\":\"capture\"") {
            return Ok(());
        }
        self.out.write_all(line.as_bytes())?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }

    fn line(&mut self, line: &str) -> std::io::Result<()> {
        for shown in self.fold.take(line) {
            self.print(&shown)?;
        }
        Ok(())
    }

    fn ripe(&mut self) -> std::io::Result<()> {
        for shown in self.fold.ripe(FOLD_WAIT) {
            self.print(&shown)?;
        }
        Ok(())
    }

    fn print(&mut self, shown: &fold::Shown) -> std::io::Result<()> {
        let text = self.paint.line(shown);
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
