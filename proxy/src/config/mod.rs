//! Settings: flag before environment before file before default, every value held against one table of keys.
//!
//! Every source is checked, also where a stronger one overrides it: a typing error must not sleep in a file.

mod address;
mod contradictions;
mod export;
mod file;
mod findings;
mod given;
mod keys;
mod missing_index;
pub(crate) mod mutes;
mod reference;
mod refusals;
pub(crate) mod sample;
pub(crate) mod schema;
mod secret;
mod tls;
pub(crate) mod units;
mod upstream;

pub use address::{Address, Listen};
pub(crate) use export::pairs as header_pairs;
pub use export::{ClickHouseSettings, ExportSettings, OtlpSettings};
pub(crate) use file::ConfigFile;
pub(crate) use given::{Reloaded, Shown};
pub(crate) use keys::nearest;
pub use missing_index::{AdvisorSettings, WhatIf};
pub use secret::Secret;
pub use tls::{Auth, MinVersion, TlsSettings};
pub(crate) use units::{duration_us, size_bytes};
pub use upstream::{DEFAULT_PORT, Endpoint, RootCertificates, SslMode, Upstream};

use crate::capture::Kinds;
use crate::export::Mode;
use crate::problem::Problem;
use findings::FINDING_KEYS;
use given::{Given, Origin};
use keys::{Raw, Value};
use pgsonde_analyzer::Redaction;
use pgsonde_analyzer::finding::{Kind as FindingKind, MuteRule};
use pgsonde_analyzer::limits::Limits;
use pgsonde_analyzer::text::TagKeys;
use refusals::{missing_upstream, open_admin, refused, source_words, unknown_variable};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that can be set, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `[proxy]`
    pub proxy: ProxySettings,
    /// `[admin]`
    pub admin: AdminSettings,
    /// `[profile]`
    pub profile: ProfileSettings,
    /// `[findings]`
    pub findings: FindingSettings,
    /// `[metrics]`
    pub metrics: MetricSettings,
    /// `[capture]`
    pub capture: CaptureSettings,
    /// `[export]`
    pub export: ExportSettings,
    /// `[log]`
    pub log: LogSettings,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Every value as it was written, and by whom.
    given: BTreeMap<&'static str, Given>,
    /// What the command line said; absent where nothing can be read again.
    flags: Option<Flags>,
}

/// The forwarding side.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxySettings {
    /// Where applications connect, 1 to 8 addresses.
    pub listen: Vec<Listen>,
    /// Where the sessions go.
    pub upstream: Upstream,
    /// Sessions at once.
    pub max_connections: usize,
    /// To the server.
    pub connect_timeout: Duration,
    /// Client start-up and authentication.
    pub startup_timeout: Duration,
    /// Unauthenticated connections at once of one address; loopback and Unix sockets are exempt.
    pub startups_per_address: usize,
    /// Sessions that are idle outside a transaction for this long are ended; `None` = never.
    pub idle_timeout: Option<Duration>,
    /// On SIGTERM.
    pub drain_timeout: Duration,
    /// Both legs; `None` = off.
    pub tcp_keepalive: Option<Duration>,
    /// Of the read buffer that a worker lends to its sessions.
    pub buffer_bytes: usize,
    /// `[proxy.tls]`
    pub tls: TlsSettings,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq)]
pub struct AdminSettings {
    /// Loopback, or protected by a token.
    pub listen: Address,
    /// What a request must bring for writes, and from elsewhere for reads too; absent = random.
    pub token: Option<Secret>,
    /// False: only `/live`, `/ready` and `/metrics`.
    pub api: bool,
    /// Names, beside IP literals and `localhost`, by which it may be asked.
    pub allowed_hosts: Vec<String>,
}

/// The analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileSettings {
    /// What is inspected.
    pub mode: Mode,
    /// What is kept of texts, values and names.
    pub redact: Redaction,
    /// Digests tracked.
    pub max_digests: usize,
    /// Batches between the forwarding side and the analyzer.
    pub queue_batches: usize,
    /// Bytes of a statement text that are looked at.
    pub max_statement_text_bytes: usize,
    /// Bytes of all that the analyzer holds.
    pub memory_limit_bytes: usize,
    /// Keys of SQL comments that are kept.
    pub tags: Vec<String>,
    /// Pause that ends a unit without trace id or transaction.
    pub unit_gap: Duration,
    /// How far back the history goes …
    pub history: Duration,
    /// … in steps of this length.
    pub history_step: Duration,
}

/// Steps of the history, whatever its length: a step holds up to 200 digests of 56 bytes.
const HISTORY_STEPS_MAX: u128 = 2_000;

impl ProfileSettings {
    fn history_steps(&self) -> usize {
        let steps = self.history.as_micros() / self.history_step.as_micros().max(1);
        steps.clamp(1, HISTORY_STEPS_MAX) as usize
    }
}

/// Thresholds of findings.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingSettings {
    /// Not seen for this long: resolved.
    pub close_after: Duration,
    /// Distinct values in one unit.
    pub n_plus_one_min_repeats: usize,
    /// Loops of look-ups are told of only where the data flow is proved.
    pub n_plus_one_require_proof: bool,
    /// Rows of a result that are hashed.
    pub n_plus_one_result_rows: usize,
    /// Whether missing indexes are looked for.
    pub missing_index_enabled: bool,
    /// Who is asked about them.
    pub advisor: AdvisorSettings,
    /// Kinds that are not reported.
    pub disabled: Vec<FindingKind>,
    /// File of mutes, if there is one.
    pub mutes_file: Option<PathBuf>,
    /// What it says.
    pub mutes: Vec<MuteRule>,
    /// Values of the thresholds, in the order of their table.
    thresholds: Vec<u64>,
}

/// Ceilings of the exported tables, in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricSettings {
    /// Digests with series of their own.
    pub digests: usize,
    /// Histograms of their times too.
    pub digest_histograms: bool,
    /// (service, route) rows.
    pub routes: usize,
    /// Findings with a series of their own.
    pub findings: usize,
    /// (database, service) pairs.
    pub pairs: usize,
    /// (database, service, operation) sets.
    pub statement_sets: usize,
    /// (database, service, SQLSTATE class) sets.
    pub error_sets: usize,
}

/// Recorded events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureSettings {
    /// Where the files go; `None` = off.
    pub dir: Option<PathBuf>,
    /// A crash loses at most this much.
    pub flush_interval: Duration,
    /// Bytes of a file from which the next one is begun.
    pub rotate_bytes: u64,
    /// Bytes of all files together; the oldest go first.
    pub bytes_max: u64,
    /// Of zstd.
    pub level: i32,
    /// Share of the units of work that are kept, in parts per million.
    pub sample_millionths: u64,
    /// Which lines are written.
    pub kinds: Kinds,
}

/// The log on stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// One JSON object per event instead of text.
    pub json: bool,
    /// `PGSONDE_LOG`: a filter in place of the level.
    pub filter: Option<String>,
}

/// What the command line sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// (key, flag as typed, value).
    pub values: Vec<(&'static str, &'static str, String)>,
}

impl Settings {
    /// Reads flags, the process environment and the configuration file.
    ///
    /// # Errors
    /// One [`Problem`] of the range PGS02 (or PGS0708), all with exit code 2.
    pub fn load(flags: &Flags) -> Result<Self, Problem> {
        let env: Vec<(String, String)> = std::env::vars_os()
            .map(|(key, value)| {
                (key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .filter(|(key, _)| key.starts_with("PGSONDE_") || key == "XDG_CONFIG_HOME")
            .collect();
        let path = file::locate(flags.config.as_deref(), &env);
        let file = path.as_deref().map(ConfigFile::read).transpose()?;
        let mut settings = Self::from_sources(flags, &env, file.as_ref())?;
        if let Some(path) = &settings.findings.mutes_file {
            settings.findings.mutes = mutes::read(path)?;
        }
        if let Some(Given { raw: Raw::Text(place), .. }) = settings.given.get("admin.token") {
            let variable = |name: &str| std::env::var(name).ok();
            settings.admin.token = Some(secret::read_token(place, variable)?);
        }
        let given = &settings.given;
        settings.export.read_secrets(|key| match &given.get(key)?.raw {
            Raw::Text(place) => Some(place),
            _ => None,
        })?;
        settings.read_side_connection()?;
        settings.flags = Some(flags.clone());
        Ok(settings)
    }

    /// Reads the same sources once more.
    pub(crate) fn read_again(&self) -> Result<Self, Problem> {
        match &self.flags {
            Some(flags) => Self::load(flags),
            None => Err(Problem::new(705, "there is no configuration file to read again")),
        }
    }

    /// Reads the text of a configuration file alone, without flags and environment.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let file = ConfigFile { name: "pgsonde.toml".to_owned(), text: text.to_owned() };
        Self::from_sources(&Flags::default(), &[], Some(&file))
    }

    fn from_sources(
        flags: &Flags,
        env: &[(String, String)],
        file: Option<&ConfigFile>,
    ) -> Result<Self, Problem> {
        let mut values = Values::defaults()?;
        if let Some(file) = file {
            values.take_file(file)?;
        }
        values.take_env(env)?;
        for (key, flag, text) in &flags.values {
            values.take(key, &Raw::Text(text.clone()), Origin::Flag(flag))?;
        }
        let filter = env.iter().find(|(key, _)| key == "PGSONDE_LOG").map(|(_, text)| text.clone());
        let path = file.map(|file| Path::new(&file.name).to_owned());
        let given = values.given.clone();
        let settings = values.into_settings(filter, path);
        settings.map_err(|problem| Values::with_origins(&given, problem, file))
    }

    /// From values that were taken before; secrets and the file of mutes are not read.
    fn from_given(
        given: BTreeMap<&'static str, Given>,
        filter: Option<String>,
        file: Option<PathBuf>,
    ) -> Result<Self, Problem> {
        let mut values = Values::defaults()?;
        for (name, given) in given {
            values.take(name, &given.raw, given.origin)?;
        }
        let given = values.given.clone();
        let settings = values.into_settings(filter, file);
        settings.map_err(|problem| Values::with_origins(&given, problem, None))
    }

    /// The analyzer's limits as these settings set them; what has no key keeps its default.
    pub fn limits(&self) -> Limits {
        let mut limits = Limits {
            redaction: self.profile.redact,
            memory_bytes_max: self.profile.memory_limit_bytes,
            tags: TagKeys::of(self.profile.tags.iter().map(String::as_str)),
            digests_max: self.profile.max_digests,
            pairs_max: self.metrics.pairs,
            statement_sets_max: self.metrics.statement_sets,
            error_sets_max: self.metrics.error_sets,
            routes_max: self.metrics.routes,
            unit_gap_us: micros(self.profile.unit_gap),
            history_step_us: micros(self.profile.history_step),
            history_steps_max: self.profile.history_steps(),
            close_after_us: micros(self.findings.close_after),
            ..Limits::default()
        };
        limits.flow.distinct_values_min = self.findings.n_plus_one_min_repeats;
        limits.flow.executions_min = self.findings.n_plus_one_min_repeats;
        limits.missing_index.enabled = self.findings.missing_index_enabled;
        limits.disabled.clone_from(&self.findings.disabled);
        if self.findings.n_plus_one_require_proof {
            // The look-ups whose values come from nowhere that was seen.
            limits.disabled.push(FindingKind::LoopedLookup);
        }
        limits.mutes.clone_from(&self.findings.mutes);
        for (finding, value) in FINDING_KEYS.iter().zip(&self.findings.thresholds) {
            (finding.set)(&mut limits, *value);
        }
        limits
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Every value as it was written, and by whom.
type AllGiven = BTreeMap<&'static str, Given>;

/// Checked values by key; starts as the defaults, so every key but the upstream is always there.
struct Values {
    values: BTreeMap<&'static str, Value>,
    upstream: Option<Upstream>,
    given: BTreeMap<&'static str, Given>,
}

impl Values {
    fn defaults() -> Result<Self, Problem> {
        let mut values = Self { values: BTreeMap::new(), upstream: None, given: BTreeMap::new() };
        for key in keys::all().filter(|key| !key.default.is_empty()) {
            values.take(key.name, &Raw::Text(key.default.to_owned()), Origin::Default)?;
        }
        Ok(values)
    }

    fn take_file(&mut self, file: &ConfigFile) -> Result<(), Problem> {
        for entry in file.entries()? {
            let origin = Origin::File(file.name.clone(), file.line(entry.span.start));
            let taken = self.take(&entry.key, &entry.value, origin);
            taken.map_err(|problem| file.point(problem, entry.span, "here"))?;
        }
        Ok(())
    }

    fn take_env(&mut self, env: &[(String, String)]) -> Result<(), Problem> {
        for (variable, text) in env {
            let Some(path) = variable.strip_prefix("PGSONDE_").filter(|rest| rest.contains("__"))
            else {
                continue;
            };
            let name = path.to_ascii_lowercase().replace("__", ".");
            let Some(key) = keys::find(&name) else {
                return Err(unknown_variable(variable, &name));
            };
            let origin = Origin::Environment(variable.clone());
            self.take(key.name, &Raw::Text(text.clone()), origin)?;
        }
        Ok(())
    }

    /// Checks one value and puts it in place; `origin` names the source in messages.
    fn take(&mut self, name: &str, raw: &Raw, origin: Origin) -> Result<(), Problem> {
        let Some(key) = keys::find(name) else {
            return Err(Problem::new(201, format!("unknown key `{name}`")));
        };
        let source = source_words(name, &origin);
        let value = key.check(raw).map_err(|refusal| refused(key, &source, refusal))?;
        if let (keys::Kind::Url, Value::Text(text)) = (key.kind, &value) {
            self.upstream = Some(Upstream::parse(text, &source)?);
        } else {
            self.values.insert(key.name, value);
        }
        self.given.insert(key.name, Given { raw: raw.clone(), origin });
        Ok(())
    }

    fn number(&self, name: &str) -> u64 {
        match self.values.get(name) {
            Some(Value::Number(value)) => *value,
            _ => 0,
        }
    }

    fn count(&self, name: &str) -> usize {
        usize::try_from(self.number(name)).unwrap_or(usize::MAX)
    }

    fn duration(&self, name: &str) -> Duration {
        units::duration(self.number(name))
    }

    fn text(&self, name: &str) -> String {
        match self.values.get(name) {
            Some(Value::Text(value)) => value.clone(),
            _ => String::new(),
        }
    }

    fn flag(&self, name: &str) -> bool {
        self.values.get(name) == Some(&Value::Bool(true))
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    fn some_duration(&self, name: &str) -> Option<Duration> {
        Some(self.duration(name)).filter(|time| !time.is_zero())
    }

    fn into_settings(
        mut self,
        filter: Option<String>,
        file: Option<PathBuf>,
    ) -> Result<Settings, Problem> {
        self.check_together()?;
        let admin = self.admin()?;
        let upstream = self.upstream.take().ok_or_else(missing_upstream)?;
        Ok(Settings {
            proxy: self.proxy(upstream)?,
            admin,
            profile: self.profile(),
            findings: self.findings(),
            metrics: self.metrics(),
            capture: self.capture()?,
            export: self.export()?,
            log: LogSettings {
                level: self.text("log.level"),
                json: self.text("log.format") == "json",
                filter,
            },
            file,
            given: self.given,
            flags: None,
        })
    }

    fn admin(&self) -> Result<AdminSettings, Problem> {
        let Some(Value::Address(listen)) = self.values.get("admin.listen").cloned() else {
            return Err(Problem::new(204, "admin.listen has no address"));
        };
        let api = self.flag("admin.api");
        if api && !listen.is_loopback() && !self.values.contains_key("admin.token") {
            let given = self.given.get("admin.listen").map(|given| &given.origin);
            let source =
                given.map_or_else(String::new, |origin| source_words("admin.listen", origin));
            return Err(open_admin(&source, &listen));
        }
        let allowed_hosts = match self.values.get("admin.allowed_hosts") {
            Some(Value::Names(names)) => names.clone(),
            _ => Vec::new(),
        };
        Ok(AdminSettings { listen, token: None, api, allowed_hosts })
    }

    fn proxy(&self, upstream: Upstream) -> Result<ProxySettings, Problem> {
        let Some(Value::Listens(listen)) = self.values.get("proxy.listen").cloned() else {
            return Err(Problem::new(204, "proxy.listen has no address"));
        };
        Ok(ProxySettings {
            listen,
            upstream,
            max_connections: self.count("proxy.max_connections"),
            connect_timeout: self.duration("proxy.connect_timeout"),
            startup_timeout: self.duration("proxy.startup_timeout"),
            startups_per_address: self.count("proxy.startups_per_address"),
            idle_timeout: self.some_duration("proxy.idle_timeout"),
            drain_timeout: self.duration("proxy.drain_timeout"),
            tcp_keepalive: self.some_duration("proxy.tcp_keepalive"),
            buffer_bytes: self.count("proxy.buffer"),
            tls: self.tls()?,
        })
    }

    fn profile(&self) -> ProfileSettings {
        let mode = self.text("profile.mode");
        ProfileSettings {
            mode: Mode::ALL.into_iter().find(|known| known.name() == mode).unwrap_or_default(),
            redact: Redaction::named(&self.text("profile.redact")).unwrap_or_default(),
            max_digests: self.count("profile.max_digests"),
            queue_batches: self.count("profile.queue_batches"),
            max_statement_text_bytes: self.count("profile.max_statement_text"),
            memory_limit_bytes: self.count("profile.memory_limit"),
            tags: match self.values.get("profile.tags") {
                Some(Value::Names(names)) => names.clone(),
                _ => Vec::new(),
            },
            unit_gap: self.duration("profile.unit_gap"),
            history: self.duration("profile.history"),
            history_step: self.duration("profile.history_step"),
        }
    }

    fn findings(&self) -> FindingSettings {
        FindingSettings {
            close_after: self.duration("findings.close_after"),
            n_plus_one_min_repeats: self.count("findings.n_plus_one.min_repeats"),
            n_plus_one_require_proof: self.flag("findings.n_plus_one.require_proof"),
            n_plus_one_result_rows: self.count("findings.n_plus_one.result_rows"),
            missing_index_enabled: self.flag("findings.missing_index.enabled"),
            advisor: self.advisor(),
            disabled: match self.values.get("findings.disable") {
                Some(Value::FindingKinds(kinds)) => kinds.clone(),
                _ => Vec::new(),
            },
            mutes_file: Some(self.text("findings.mutes"))
                .filter(|name| !name.is_empty())
                .map(PathBuf::from),
            mutes: Vec::new(),
            thresholds: FINDING_KEYS.iter().map(|finding| self.number(finding.key.name)).collect(),
        }
    }

    fn capture(&self) -> Result<CaptureSettings, Problem> {
        let (rotate_bytes, bytes_max) =
            (self.number("capture.rotate"), self.number("capture.max_size"));
        if bytes_max < 2 * rotate_bytes {
            let what = "`capture.max_size` is less than twice `capture.rotate`";
            return Err(Problem::new(208, what)
                .help("the file that is written and the one before it must have room"));
        }
        Ok(CaptureSettings {
            dir: self.path("capture.dir"),
            flush_interval: self.duration("capture.flush_interval"),
            rotate_bytes,
            bytes_max,
            level: i32::try_from(self.number("capture.level")).unwrap_or(3),
            sample_millionths: self.number("capture.sample"),
            kinds: match self.values.get("capture.events") {
                Some(Value::EventKinds(kinds)) => *kinds,
                _ => Kinds::ALL,
            },
        })
    }

    fn metrics(&self) -> MetricSettings {
        MetricSettings {
            digests: self.count("metrics.digests"),
            digest_histograms: self.flag("metrics.digest_histograms"),
            routes: self.count("metrics.routes"),
            findings: self.count("metrics.findings"),
            pairs: self.count("metrics.pairs"),
            statement_sets: self.count("metrics.statement_sets"),
            error_sets: self.count("metrics.error_sets"),
        }
    }
}

#[cfg(test)]
mod tests;
