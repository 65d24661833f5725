//! `[findings.missing_index]`: who may be asked for plans, and how much.

use super::{Problem, Secret, Settings, Value, Values, secret};
use crate::config::given::Given;
use crate::config::keys::Raw;
use std::path::PathBuf;

/// The key of the connection's place.
const SIDE_CONNECTION: &str = "findings.missing_index.side_connection";

/// Where candidates are planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhatIf {
    /// In a private scratch server.
    #[default]
    Shadow,
    /// On the target, by the extension HypoPG.
    HypoPg,
    /// Nowhere: arithmetic on the target's own estimates.
    Off,
}

/// The live index advisor.
#[derive(Clone, Debug, PartialEq)]
pub struct AdvisorSettings {
    /// URL of a read-only role; absent = nothing is asked.
    pub side_connection: Option<Secret>,
    /// Whether real values may be kept in memory.
    pub capture_values: bool,
    /// Whether the values in the server's statistics are read: common values, histograms.
    pub statistics_values: bool,
    /// Where candidates are planned.
    pub what_if: WhatIf,
    /// Folder of `initdb` and `postgres`, if not found by itself.
    pub shadow_bin_dir: Option<PathBuf>,
    /// Folder to make shadows in.
    pub shadow_dir: Option<PathBuf>,
    /// Account that a shadow runs as when we are root.
    pub shadow_user: String,
    /// All new indexes together, bytes; `None` = by the size of the database.
    pub budget_bytes: Option<u64>,
    /// EXPLAINs in one run.
    pub explains_max: usize,
    /// Whether a role that could write is accepted.
    pub allow_powerful_role: bool,
}

impl Values {
    /// As the keys say; the secret is not read.
    pub(super) fn advisor(&self) -> AdvisorSettings {
        let what_if = match self.text("findings.missing_index.what_if").as_str() {
            "off" => WhatIf::Off,
            "hypopg" => WhatIf::HypoPg,
            _ => WhatIf::Shadow,
        };
        let budget_bytes = match self.values.get("findings.missing_index.budget_bytes") {
            Some(Value::Number(bytes)) => Some(*bytes),
            _ => None,
        };
        AdvisorSettings {
            side_connection: None,
            capture_values: self.flag("findings.missing_index.capture_values"),
            statistics_values: self.text("findings.missing_index.statistics_values") == "full",
            what_if,
            shadow_bin_dir: self.path("findings.missing_index.shadow_bin_dir"),
            shadow_dir: self.path("findings.missing_index.shadow_dir"),
            shadow_user: self.text("findings.missing_index.shadow_user"),
            budget_bytes,
            explains_max: self.count("findings.missing_index.explains_max"),
            allow_powerful_role: self.flag("findings.missing_index.allow_powerful_role"),
        }
    }
}

impl Settings {
    /// Reads the side connection's URL where its key says it is.
    pub(super) fn read_side_connection(&mut self) -> Result<(), Problem> {
        if let Some(Given { raw: Raw::Text(place), .. }) = self.given.get(SIDE_CONNECTION) {
            let variable = |name: &str| std::env::var(name).ok();
            let read = secret::read_url(SIDE_CONNECTION, place, variable)?;
            self.findings.advisor.side_connection = Some(read);
        }
        Ok(())
    }

    /// Takes over the connection that another reading found; the key's name if it is another one.
    pub(super) fn take_side_connection(
        &mut self,
        fresh: &Self,
        old: &Self,
    ) -> Option<&'static str> {
        let of = |settings: &Self| settings.findings.advisor.side_connection.clone();
        self.findings.advisor.side_connection = of(fresh);
        (of(fresh) != of(old)).then_some(SIDE_CONNECTION)
    }
}
