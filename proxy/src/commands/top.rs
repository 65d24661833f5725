//! `pgsonde top`: a live table of what costs the most.

mod data;
mod draw;
mod state;

use super::follow::{Message, interrupts};
use crate::filter::Filter;
use crate::problem::Problem;
use base64::Engine as _;
use clap::Args;
use data::{Data, Source};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use state::{State, Wish};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Longest wait for a key before something else is looked at.
const KEY_WAIT: Duration = Duration::from_millis(100);
/// Exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;

/// What to show.
#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// Admin URL of the running proxy
    #[arg(value_name = "ADMIN_URL", default_value = "http://127.0.0.1:9635")]
    source: String,
    /// Order: time, calls, mean, p99, rows, errors
    #[arg(long, value_name = "COLUMN", default_value = "time", value_parser = state::SORTS)]
    sort: String,
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = refresh)]
    refresh: Duration,
    /// Only what fits, as in `tail`
    #[arg(long, value_name = "EXPR", default_value = "", allow_hyphen_values = true)]
    filter: String,
}

fn refresh(text: &str) -> Result<Duration, String> {
    let us = crate::config::units::duration_us(text).ok();
    let us = us.filter(|us| (200_000..=3_600_000_000).contains(us));
    us.map(Duration::from_micros).ok_or_else(|| "a duration from 200ms to 1h, as in 2s".to_owned())
}

/// Shows until `q` or Ctrl-C.
///
/// # Errors
/// PGS0204 for the URL or the filter, PGS0501 and PGS0502 where no proxy answers, PGS0102 without a terminal.
pub(crate) fn run(args: &TopArgs) -> Result<ExitCode, Problem> {
    let filter =
        Filter::parse(&args.filter).map_err(|why| Problem::new(219, format!("--filter: {why}")))?;
    let source = Source::new(&args.source)?;
    let first = source.read()?;
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Problem::new(102, "`pgsonde top` needs a terminal")
            .help("`pgsonde report URL` prints the same figures once"));
    }
    let (sender, interrupted) = sync_channel(1);
    interrupts(sender)?;
    let mut state = State::new(&args.sort, args.filter.clone(), filter);
    state.take(first);
    // Restores the terminal before the message of a panic is printed.
    let mut terminal = ratatui::init();
    let ended = show(&mut terminal, &mut state, &source, args.refresh, &interrupted);
    ratatui::restore();
    ended
}

fn show(
    terminal: &mut DefaultTerminal,
    state: &mut State,
    source: &Source,
    refresh: Duration,
    interrupted: &Receiver<Message>,
) -> Result<ExitCode, Problem> {
    let broken = |error: std::io::Error| Problem::new(102, format!("the terminal: {error}"));
    let mut due = Instant::now() + refresh;
    loop {
        terminal.draw(|frame| draw::frame(frame, state)).map_err(broken)?;
        if interrupted.try_recv().is_ok() {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let wait = KEY_WAIT.min(due.saturating_duration_since(Instant::now()));
        if event::poll(wait).map_err(broken)?
            && let Event::Key(key) = event::read().map_err(broken)?
            && key.kind == KeyEventKind::Press
        {
            match state.key(key) {
                Wish::Nothing => {}
                Wish::Quit => return Ok(ExitCode::SUCCESS),
                Wish::Interrupt => return Ok(ExitCode::from(INTERRUPTED)),
                Wish::Copy(text) => copy(&text).map_err(broken)?,
            }
        }
        if Instant::now() >= due {
            due = Instant::now() + refresh;
            if !state.is_paused() {
                look(state, source);
            }
        }
    }
}

/// A proxy that doesn't answer leaves the last figures standing, and says so.
fn look(state: &mut State, source: &Source) {
    match source.read() {
        Ok(data) => state.take(data),
        Err(problem) => state.lost(problem.what()),
    }
}

/// Into the clipboard of the terminal (OSC 52), also over ssh.
fn copy(text: &str) -> std::io::Result<()> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    let mut out = std::io::stdout();
    write!(out, "\x1b]52;c;{encoded}\x07")?;
    out.flush()
}

#[cfg(test)]
mod tests;
