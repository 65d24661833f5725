//! Who may ask what: the token, and the names by which this listener may be asked.

use crate::config::AdminSettings;
use crate::problem::{LOCAL_RESOURCE, Problem};
use rustls::crypto::ring;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};
use subtle::ConstantTimeEq;

/// Bytes of randomness in a token that nobody chose.
const RANDOM_BYTES: usize = 24;

/// The rules of all admin listeners of the process; token and names may change while it runs.
pub struct Access {
    rules: RwLock<Arc<Rules>>,
    /// The token that holds where none is configured.
    own: String,
    /// Whether other machines can reach the listener: then reads need the token, too.
    exposed: bool,
    /// Whether more than health and metrics is served.
    api: bool,
    /// Events hold what was sent as it was sent.
    as_sent: bool,
}

/// What a reload can change.
struct Rules {
    /// `None`: the process's own.
    token: Option<String>,
    allowed_hosts: Vec<String>,
}

impl Rules {
    fn of(settings: &AdminSettings) -> Arc<Self> {
        let token = settings.token.as_ref().map(|token| token.expose().to_owned());
        Arc::new(Self { token, allowed_hosts: settings.allowed_hosts.clone() })
    }
}

impl Access {
    /// The rules of these settings.
    ///
    /// # Errors
    /// The operating system gives no randomness: a token that could be guessed would be none.
    pub fn new(settings: &AdminSettings) -> Result<Self, Problem> {
        Ok(Self {
            rules: RwLock::new(Rules::of(settings)),
            own: random_token()?,
            exposed: !settings.listen.is_loopback(),
            api: settings.api,
            as_sent: false,
        })
    }

    /// The same, for a proxy whose events hold what was sent as it was sent.
    #[must_use]
    pub fn with_events_as_sent(self, as_sent: bool) -> Self {
        Self { as_sent, ..self }
    }

    /// Whether reads of this path need the token wherever they come from.
    pub(super) fn guards(&self, path: &str) -> bool {
        let holds_events = path.starts_with("/api/v1/events")
            || path.starts_with("/api/v1/captures")
            || path.ends_with("/examples");
        self.as_sent && holds_events
    }

    /// Takes over token and names.
    pub fn change(&self, settings: &AdminSettings) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Rules::of(settings);
    }

    /// The token in force where nobody chose one.
    pub fn own_token(&self) -> Option<&str> {
        self.rules().token.is_none().then_some(self.own.as_str())
    }

    /// The token in force.
    pub fn token(&self) -> String {
        self.rules().token.clone().unwrap_or_else(|| self.own.clone())
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn serves_api(&self) -> bool {
        self.api
    }

    pub(super) fn reads_need_token(&self) -> bool {
        self.exposed
    }

    /// Whether `Authorization` brings the token. Takes as long for a wrong one as for the right one of its length.
    pub(super) fn admits(&self, authorization: Option<&str>) -> bool {
        let (scheme, given) = authorization.unwrap_or("").split_once(' ').unwrap_or(("", ""));
        let token = self.token();
        scheme.eq_ignore_ascii_case("bearer")
            && bool::from(given.trim().as_bytes().ct_eq(token.as_bytes()))
    }

    /// Whether a request may name this host.
    pub(super) fn allows_host(&self, host: &str) -> bool {
        self.rules().allowed_hosts.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// From the operating system's source of randomness.
fn random_token() -> Result<String, Problem> {
    let mut bytes = [0; RANDOM_BYTES];
    let filled = ring::default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| Problem::new(LOCAL_RESOURCE, "the operating system gives no randomness"))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn only_the_token_itself_is_admitted() {
        let settings = Settings::parse("[proxy]\nupstream = 'postgresql://db'\n").unwrap();
        let access = Access::new(&settings.admin).unwrap();
        let token = access.own_token().unwrap().to_owned();
        assert_eq!(token.len(), 48);
        assert_ne!(Access::new(&settings.admin).unwrap().own_token(), Some(token.as_str()));
        for (authorization, admitted) in [
            (Some(format!("Bearer {token}")), true),
            (Some(format!("bearer  {token} ")), true),
            (Some(format!("Basic {token}")), false),
            (Some(token.clone()), false),
            (Some(format!("Bearer {}", &token[..47])), false),
            (Some(format!("Bearer {token}0")), false),
            (Some("Bearer ".to_owned()), false),
            (None, false),
        ] {
            assert_eq!(access.admits(authorization.as_deref()), admitted, "{authorization:?}");
        }
    }
}
