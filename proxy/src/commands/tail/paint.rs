//! How one line looks: columns of fixed width, colours where they help and never alone.

use super::fold::{Run, Shown};
use crate::commands::plain;
use crate::export::clock::rfc3339_unix;
use crate::export::text::{duration, short_count};

const RED: &str = "31";
const YELLOW: &str = "33";
const DIM: &str = "2";
const BOLD: &str = "1";
/// A statement from here on is slow enough to be marked.
const SLOW_US: u64 = 100_000;
/// Statements in a row from here on are marked.
const MANY: u64 = 5;

/// With or without colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    colours: bool,
}

impl Paint {
    pub(super) fn new(colours: bool) -> Self {
        Self { colours }
    }

    fn with(self, style: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn line(self, shown: &Shown) -> String {
        match shown {
            Shown::Run(run) => self.run(run),
            Shown::Finding { at_us, state, title, proof, sentence } => format!(
                "{} {} {}",
                self.with(DIM, &time(*at_us)),
                self.with(
                    YELLOW,
                    &format!("finding {} · {} · {proof} —", plain(state), plain(title))
                ),
                plain(sentence),
            ),
            Shown::Gap { at_us, dropped, reason } => {
                self.with(DIM, &format!("{} … {dropped} skipped ({})", time(*at_us), plain(reason)))
            }
            Shown::Other { at_us, words } => {
                format!("{} {}", self.with(DIM, &time(*at_us)), plain(words))
            }
        }
    }

    fn run(self, run: &Run) -> String {
        #[allow(clippy::cast_precision_loss)]
        let took = format!("{:>8}", duration(run.duration_us as f64 / 1e3));
        let took = if run.duration_us >= SLOW_US { self.with(BOLD, &took) } else { took };
        let times = match run.times {
            1 => String::new(),
            times => format!("  ×{times}"),
        };
        let times = if run.times >= MANY { self.with(YELLOW, &times) } else { times };
        let failed = run.failed.as_deref().map(|why| self.with(RED, &format!("  {}", plain(why))));
        format!(
            "{} {took} {:>6} {:<12} {:<20} {}{times}{}",
            self.with(DIM, &time(run.at_us)),
            short_count(run.rows),
            plain(&run.service),
            plain(&run.route),
            plain(&run.summary),
            failed.unwrap_or_default(),
        )
    }
}

/// `12:03:04.567`, UTC.
fn time(unix_us: u64) -> String {
    rfc3339_unix(unix_us).get(11..23).unwrap_or_default().to_owned()
}
