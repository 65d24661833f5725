//! libpq's environment: `PGHOST` and its companions, services and pass files.

use super::server::Asked;
use super::{Place, Refusal, Server};
use std::collections::BTreeMap;

/// Variable and the parameter that it stands for.
const PARAMETERS: [(&str, &str); 11] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGSSLMODE", "sslmode"),
    ("PGREQUIRESSL", "requiressl"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
];

/// Parameters of a service that the child still needs, and the variables for them.
const CREDENTIALS: [(&str, &str); 5] = [
    ("user", "PGUSER"),
    ("dbname", "PGDATABASE"),
    ("password", "PGPASSWORD"),
    ("application_name", "PGAPPNAME"),
    ("options", "PGOPTIONS"),
];

/// The variables that name a server, as they were understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variables {
    pub(crate) server: Server,
    pub(crate) warnings: Vec<String>,
    /// What a service said and no variable says.
    credentials: Vec<(&'static str, String)>,
}

/// Whether these variables name a server at all.
pub(crate) fn name_a_server(environment: &BTreeMap<String, String>) -> bool {
    ["PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE"]
        .iter()
        .any(|name| environment.contains_key(*name))
}

impl Variables {
    /// Reads the environment; `service` is what the service file says of `PGSERVICE`.
    ///
    /// # Errors
    /// A port that is none, or a server in a certain state is asked for.
    pub(crate) fn read(
        environment: &BTreeMap<String, String>,
        service: &BTreeMap<String, String>,
    ) -> Result<Self, Refusal> {
        let mut asked = Asked::default();
        // A service is stronger than the variables, as in libpq.
        for (variable, parameter) in PARAMETERS {
            if let Some(value) = service.get(parameter).or_else(|| environment.get(variable)) {
                asked.take(parameter, value);
            }
        }
        let (server, warnings) = asked.into_server()?;
        let credentials = CREDENTIALS
            .into_iter()
            .filter_map(|(parameter, variable)| Some((variable, service.get(parameter)?.clone())))
            .collect();
        Ok(Self { server, warnings, credentials })
    }

    /// What changes in the environment so that it leads to `place`; `None` = the variable goes.
    pub(crate) fn leading_to(&self, place: &Place) -> BTreeMap<String, Option<String>> {
        let gone = [
            "PGHOSTADDR",
            "PGSERVICE",
            "PGREQUIRESSL",
            "PGSSLROOTCERT",
            "PGSSLCERT",
            "PGSSLKEY",
            "PGSSLNEGOTIATION",
            "PGCHANNELBINDING",
            "PGTARGETSESSIONATTRS",
            "PGLOADBALANCEHOSTS",
        ];
        let mut changes: BTreeMap<String, Option<String>> =
            gone.into_iter().map(|name| (name.to_owned(), None)).collect();
        let set = [
            ("PGHOST", place.host.clone()),
            ("PGPORT", place.port.to_string()),
            ("PGSSLMODE", "disable".to_owned()),
            ("PGGSSENCMODE", "disable".to_owned()),
        ];
        let credentials = self.credentials.iter().map(|(name, value)| (*name, value.clone()));
        for (name, value) in set.into_iter().chain(credentials) {
            changes.insert(name.to_owned(), Some(value));
        }
        changes
    }
}

/// The parameters of one section of a service file.
pub(crate) fn service(text: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let mut found = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if found.is_some() {
                break;
            }
            if section == name {
                found = Some(BTreeMap::new());
            }
        } else if let (Some(parameters), Some((key, value))) = (&mut found, line.split_once('=')) {
            parameters.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    found
}

/// A pass file in which what holds for one of the servers holds for `place` as well.
pub(crate) fn pass_file(text: &str, leads: &[(Server, Place)]) -> String {
    let mut added = String::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let Some((host, port, rest)) = entry(line) else { continue };
        for (server, place) in leads {
            let fits = |(name, number): &(String, u16)| {
                let socket = name.starts_with('/') && host == "localhost";
                (host == "*" || host == *name || socket)
                    && (port == "*" || port == number.to_string())
            };
            if server.hosts.iter().any(fits) {
                let name = place.host.replace(':', "\\:");
                added.push_str(&format!("{name}:{}:{rest}\n", place.port));
            }
        }
    }
    format!("{added}{text}")
}

/// Host, port, and the rest of a line as it is; `\:` and `\\` are escapes.
fn entry(line: &str) -> Option<(String, String, &str)> {
    let (host, rest) = field(line)?;
    let (port, rest) = field(rest)?;
    Some((host, port, rest))
}

fn field(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next().map(|(_, escaped)| escaped)?),
            ':' => return Some((value, text.get(at + 1..)?)),
            letter => value.push(letter),
        }
    }
    None
}
