//! SIGHUP and its like: reads the configuration again and takes over what may change while sessions run.

use crate::config::{Reloaded, Settings};
use crate::export::admin::Access;
use crate::logging;
use crate::orders::AnalyzerOrder;
use crate::problem::Problem;
use crate::protection;
use crate::shared::{Current, Shared};
use pgsonde_analyzer::limits::Limits;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// What a reload reaches.
pub(crate) struct Reach<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) access: &'a Access,
    pub(crate) analyzer: &'a Sender<AnalyzerOrder>,
}

impl Reach<'_> {
    /// Takes the new configuration over, or keeps the old one and says what is wrong with the new one.
    pub(crate) async fn reload(&self) -> Result<(), Problem> {
        let outcome = self.try_reload().await;
        self.shared.reloads.note(outcome.is_ok());
        if let Err(problem) = &outcome {
            tracing::error!(
                code = problem.code_text(),
                why = problem.to_text(),
                "kept the old configuration"
            );
        }
        outcome
    }

    async fn try_reload(&self) -> Result<(), Problem> {
        let before = self.shared.current();
        let fresh = before.settings.read_again()?;
        let Reloaded { settings, changed, waiting } = before.settings.reloaded(&fresh)?;
        // Read even where no key changed: the files may have.
        let tls = protection::fresh(self.shared, &settings.proxy).await;
        let tls = tls.map_err(|problem| settings.point(problem))?;
        self.take_over(&before.settings, &settings, &changed);
        self.change_capture(&settings).await;
        self.shared.set_current(Current { settings, tls: Arc::new(tls) });
        for key in waiting {
            tracing::warn!(key, "changed in the configuration, but needs a restart");
        }
        tracing::info!(changed = changed.join(" "), "the configuration was read again");
        Ok(())
    }

    fn take_over(&self, old: &Settings, new: &Settings, changed: &[&str]) {
        self.access.change(&new.admin);
        if old.log != new.log {
            logging::change(&new.log);
        }
        if changed.contains(&"profile.mode") {
            self.set_mode(new.profile.mode);
        }
        if old.limits() != new.limits() {
            let limits = Box::new(with_moments(new.limits()));
            // The analyzer ends only with the process.
            let _ = self.analyzer.send(AnalyzerOrder::Limits(limits));
        }
    }

    /// Off this thread, which accepts clients: the old file is ended first.
    async fn change_capture(&self, new: &Settings) {
        let (events, capture) = (Arc::clone(&self.shared.events), new.capture.clone());
        let changed = tokio::task::spawn_blocking(move || events.change(&capture)).await;
        if let Ok(Err(problem)) = changed {
            let (code, why) = (problem.code_text(), problem.to_text());
            tracing::error!(code, why, "the capture could not go on with its new settings");
        }
    }

    /// Changes what is inspected, on all sessions.
    pub(crate) fn set_mode(&self, mode: crate::export::Mode) {
        use crate::export::Mode;
        self.shared.mode.set(mode);
        // As above.
        let _ = self.analyzer.send(AnalyzerOrder::CountersOnly(mode == Mode::CountersOnly));
        tracing::warn!(mode = mode.name(), "what is inspected was changed");
    }
}

/// Mutes end at a moment of the wall clock; the analyzer knows its own clock alone.
pub(crate) fn with_moments(mut limits: Limits) -> Limits {
    for mute in &mut limits.mutes {
        mute.until_us = mute.until_unix_us.map(at_own_clock);
    }
    limits
}

/// A moment in microseconds since 1970, on the clock of the records.
pub(crate) fn at_own_clock(unix_us: u64) -> u64 {
    let start = crate::clock::started_at().duration_since(std::time::UNIX_EPOCH);
    let start_us = start.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
    unix_us.saturating_sub(start_us)
}
