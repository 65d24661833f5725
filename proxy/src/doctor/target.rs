//! Whom to ask and as whom: a client's URL, with the password from the environment, the pass file or a prompt.

use crate::config::{Endpoint, Upstream};
use crate::problem::Problem;
use std::path::PathBuf;

/// Parameters of the URL that belong to the connection, not to the session.
const LEG_PARAMETERS: [&str; 7] =
    ["host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslnegotiation"];

/// Server and credentials.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) upstream: Upstream,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) password: Option<String>,
}

impl Target {
    /// Reads `postgresql://user@host:port/database?sslmode=…`.
    ///
    /// # Errors
    /// PGS0202 where it holds a password, PGS0204 where it can't be read.
    pub(super) fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let bad = |why: String| {
            Problem::new(204, format!("that is not a URL that can be tested: {why}"))
                .help("the form is postgresql://user@host:5432/database?sslmode=require")
        };
        let parts = Parts::of(text.trim()).ok_or_else(|| bad("it has no scheme".to_owned()))?;
        if parts.has_password() {
            return Err(Problem::new(
                202,
                "the URL holds a password, which everybody on this machine could read",
            )
            .help("leave it out: it is taken from PGPASSWORD, from the pass file, or asked for"));
        }
        let upstream = Upstream::parse(&parts.leg(), "the URL")?;
        let user = match (percent(parts.user), parts.parameter("user")) {
            (user, _) if !user.is_empty() => user,
            (_, Some(user)) => user,
            _ => env("PGUSER")
                .or_else(|| env("USER"))
                .ok_or_else(|| bad("it names no user".to_owned()))?,
        };
        let database = match (percent(parts.database), parts.parameter("dbname")) {
            (database, _) if !database.is_empty() => database,
            (_, Some(database)) => database,
            _ => user.clone(),
        };
        let mut target = Self { upstream, user, database, password: None };
        target.password = env("PGPASSWORD").or_else(|| target.in_pass_file(env));
        Ok(target)
    }

    /// The line of the pass file that fits (libpq: section "The Password File").
    fn in_pass_file(&self, env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let usual = || env("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
        let path = env("PGPASSFILE").map(PathBuf::from).or_else(usual)?;
        let text = std::fs::read_to_string(path).ok()?;
        let host = &self.upstream.hosts[0];
        let name = match host {
            Endpoint::Tcp { host, .. } => host.as_str(),
            Endpoint::Unix { .. } => "localhost",
        };
        let wanted = [name, &host.port().to_string(), &self.database, &self.user];
        text.lines().find_map(|line| password_of(line, &wanted))
    }
}

/// A client's URL in its parts, still percent-encoded.
struct Parts<'a> {
    scheme: &'a str,
    user: &'a str,
    password: Option<&'a str>,
    hosts: &'a str,
    database: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        // A user or password may hold a slash that nobody encoded; the last `@` ends them.
        let (credentials, place) = place.rsplit_once('@').unwrap_or(("", place));
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        Some(Self { scheme, user, password, hosts, database, query })
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pair = |pair: &'a str| pair.split_once('=').unwrap_or((pair, ""));
        self.query.split('&').filter(|pair| !pair.is_empty()).map(pair)
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.pairs().find(|(key, _)| *key == name).map(|(_, value)| percent(value))
    }

    fn has_password(&self) -> bool {
        self.password.is_some() || self.parameter("password").is_some()
    }

    /// The URL of the connection alone, as the proxy's configuration writes it.
    fn leg(&self) -> String {
        let ours = |(key, _): &(&str, &str)| LEG_PARAMETERS.contains(key);
        let pairs: Vec<_> =
            self.pairs().filter(ours).map(|(key, value)| format!("{key}={value}")).collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        format!("{}://{}{mark}{}", self.scheme, self.hosts, pairs.join("&"))
    }
}

fn percent(text: &str) -> String {
    let encoded = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    let decoded = url::form_urlencoded::parse(encoded.as_bytes()).next();
    decoded.map_or_else(String::new, |(_, value)| value.into_owned())
}

/// `host:port:database:user:password`; `*` fits everything, and a backslash takes away the meaning of the next.
fn password_of(line: &str, wanted: &[&str; 4]) -> Option<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let number = fields.len();
        let field = fields.last_mut()?;
        match letter {
            '\\' => field.extend(letters.next()),
            ':' if number <= wanted.len() => fields.push(String::new()),
            other => field.push(other),
        }
    }
    let password = fields.pop().filter(|_| fields.len() == wanted.len())?;
    let fits = |(field, wanted): (&String, &&str)| field == "*" || field == wanted;
    (!line.starts_with('#') && fields.iter().zip(wanted).all(fits)).then_some(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Target, Problem> {
        Target::parse(text, &|name| (name == "PGUSER").then(|| "me".to_owned()))
    }

    #[test]
    fn a_clients_url_is_taken_apart() {
        let rows = [
            ("postgresql://app@db:6000/shop?sslmode=disable", "db:6000", "app", "shop"),
            ("postgresql://a%40b@db/sh%2Fop", "db:5432", "a@b", "sh/op"),
            ("postgres://db", "db:5432", "me", "me"),
            (
                "postgresql://app@/shop?host=/run/pg&application_name=x",
                "/run/pg/.s.PGSQL.5432",
                "app",
                "shop",
            ),
            ("postgresql://[::1]:7/?user=u&dbname=d", "[::1]:7", "u", "d"),
        ];
        for (text, upstream, user, database) in rows {
            let target = parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
            let found = (target.upstream.to_string(), target.user, target.database);
            assert_eq!(
                found,
                (upstream.to_owned(), user.to_owned(), database.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        for text in ["postgresql://a:hunter2@db", "postgresql://db?password=hunter2", "hunter2"] {
            let problem = parse(text).expect_err(text);
            assert!(matches!(problem.number(), 202 | 204), "{text}");
            assert!(!problem.to_text().contains("hunter2"), "{}", problem.to_text());
        }
    }

    #[test]
    fn pass_file_lines_fit_by_field() {
        let wanted = ["db", "5432", "shop", "app"];
        let rows = [
            ("db:5432:shop:app:s3:cret", Some("s3:cret")),
            ("*:*:*:app:x", Some("x")),
            (r"db:5432:shop:app:a\:b\\c", Some(r"a:b\c")),
            ("db:5432:shop:other:x", None),
            ("#db:5432:shop:app:x", None),
            ("db:5432:shop", None),
        ];
        for (line, expected) in rows {
            assert_eq!(password_of(line, &wanted).as_deref(), expected, "{line}");
        }
    }
}
