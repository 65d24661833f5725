//! `pgsonde explain-error CODE`: what a code means, why it happens, what to do.

use super::print;
use crate::problem::Problem;
use clap::Args;
use std::process::ExitCode;

/// Arguments of `explain-error`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// A code such as PGS0405, or 405; without it, all codes are listed
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// Prints the explanation.
pub(crate) fn run(args: &ExplainArgs) -> Result<ExitCode, Problem> {
    let text = match &args.code {
        None => list(),
        Some(code) => {
            let found = number(code).and_then(find);
            explained(found.ok_or_else(|| unknown(code))?)
        }
    };
    print(&text).map(|()| ExitCode::SUCCESS)
}

fn unknown(code: &str) -> Problem {
    Problem::new(209, format!("there is no code `{}`", code.escape_debug()))
        .help("pgsonde explain-error lists all codes")
}

fn number(code: &str) -> Option<u16> {
    let upper = code.trim().to_ascii_uppercase();
    upper.strip_prefix("PGS").unwrap_or(&upper).parse().ok()
}

fn find(number: u16) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().find(|explanation| explanation.0 == number)
}

fn explained((number, title, why, remedy): &Explanation) -> String {
    format!("PGS{number:04}: {title}\n\nWhy    {why}\nRemedy {remedy}\n")
}

fn list() -> String {
    EXPLANATIONS.iter().map(|(number, title, ..)| format!("PGS{number:04}  {title}\n")).collect()
}

/// Number, title, why it happens, what to do.
type Explanation = (u16, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const EXPLANATIONS: &[Explanation] = &[
    (101, "an address cannot be listened on",
        "Another process has the port or the socket, the address is not one of this machine, the port is below 1024, or no socket was handed over by systemd.",
        "Choose another address with --listen or --admin (port 0 takes any free one); `ss -ltnp` shows who has a port."),
    (102, "a resource of this machine is missing",
        "A thread, a file or randomness could not be had, or output could not be written.",
        "The message names it: free space, limits of the process (ulimit, systemd unit), permissions."),
    (103, "a limit of this machine or of the configuration is reached",
        "There are as many sessions as proxy.max_connections allows; or, in the log at start, fewer file descriptors than those sessions would need; or a folder of captures cannot be written.",
        "Raise proxy.max_connections, or close idle connections in the application; raise LimitNOFILE= (systemd) or ulimit -n."),
    (104, "pgsonde is shutting down",
        "It was asked to end (SIGTERM, POST /api/v1/drain); the session stood idle, or proxy.drain_timeout was over.",
        "Reconnect: to another instance, or to the server itself."),
    (105, "a session was idle for too long",
        "It was idle outside a transaction for proxy.idle_timeout.",
        "Reconnect; raise proxy.idle_timeout, or let the pool of the application close connections first."),
    (106, "a file is there already",
        "`pgsonde dashboards` found a file that says something else than what it would write.",
        "--force overwrites; another folder keeps both."),
    (112, "captures cannot be written",
        "The folder of capture.dir is not there and cannot be made, or files cannot be made in it.",
        "capture.dir (or --capture) names a folder that the proxy may write to; the message has the reason."),
    (113, "the spool of an export cannot be used",
        "The folder can't be written to, or another process uses it.",
        "export.clickhouse.spool names a folder of this proxy alone; each proxy has its own."),
    (201, "an unknown key, section or environment variable",
        "A typing error, or a key of another version: nothing is ignored silently.",
        "The message suggests the nearest name; `pgsonde config init` prints all keys."),
    (202, "a secret stands where it may be read",
        "A password in the URL of the server, or a token in the configuration file itself.",
        "pgsonde relays the credentials of each client and needs none; write env:NAME or file:PATH where a secret is due."),
    (203, "a number without its unit",
        "Durations, sizes and shares carry a unit, so that nobody has to guess: \"10s\", \"16KiB\", \"60%\".",
        "Add the unit, in quotes."),
    (204, "a value that cannot be",
        "It is outside of its bounds, or not of its form.",
        "The message names the rule; `pgsonde config init` prints the bounds of every key."),
    (205, "a configuration file or a secret cannot be read",
        "It is absent, not readable for this user, too large, or not TOML.",
        "Check path and permissions; the message names the line."),
    (206, "the server's address is missing",
        "proxy.upstream is the one key without a default.",
        "pgsonde proxy --upstream postgresql://host:5432, or [proxy] upstream in the file."),
    (207, "a value of the wrong type",
        "A text where a number is due, a section where a value is due, or the like.",
        "The message says what is expected."),
    (208, "settings that contradict each other, or a bad file of mutes",
        "Two keys exclude each other or belong together; or the file of findings.mutes has a rule that makes no sense.",
        "The message names the keys, or the line of the file of mutes."),
    (209, "no such error code",
        "`pgsonde explain-error` knows the codes of its own version alone.",
        "`pgsonde explain-error` without a code lists them."),
    (210, "a bad file of statements",
        "`pgsonde advise` could not read the statements, or there are none.",
        "One statement per line, each ended by a semicolon."),
    (219, "a filter expression cannot be read",
        "A term has a key that wants a value, a number without its unit, or an id that is none.",
        "Terms are joined by AND, `-` negates: d>100ms rows>10 err:23505 svc:web route:/orders/* words."),
    (301, "the server cannot be reached",
        "The name is unknown, nobody listens, a firewall is between, or the server doesn't answer in time.",
        "Check address, listen_addresses and firewall; psql to the same address shows the same."),
    (303, "the connection to the server ended unexpectedly",
        "The server was stopped, crashed, or something between closed the connection, while the client waited for an answer.",
        "Reconnect when the server is back; its log may say more."),
    (401, "the server offers no TLS",
        "sslmode asks for it, and the server answered that it has none.",
        "Switch TLS on at the server (ssl = on), or choose sslmode=prefer knowingly."),
    (402, "the server rejected a password",
        "pgsonde relays passwords and never changes them; a direct connection fails the same way.",
        "Check user, password and pg_hba.conf; the server sees pgsonde's address, not the application's."),
    (403, "the certificate of the server is not trusted",
        "No root certificate at hand has signed it, or it is expired.",
        "Give the right sslrootcert, or renew the certificate."),
    (404, "the TLS handshake with the server failed",
        "No common version or cipher, a client certificate that the server wants, or something between that is no PostgreSQL.",
        "The message has the reason that TLS gives; sslcert and sslkey show a client certificate."),
    (405, "the client left after TLS was declined",
        "It probably uses sslmode=require; this listener has no certificate, so it offers only the plain leg.",
        "Use sslmode=prefer or disable in the application (TLS to the server stays on), or set proxy.tls.cert and proxy.tls.key."),
    (406, "the certificate of the server is for another name",
        "sslmode=verify-full compares it with the host of proxy.upstream.",
        "Connect by the certificate's name, or use sslmode=verify-ca knowingly."),
    (407, "a certificate or key cannot be used",
        "The file is absent, not PEM, not a pair, or a private key that others may read.",
        "The message names file and reason; private keys need mode 0600 (or 0640 of root)."),
    (408, "TLS with a client failed",
        "The client doesn't trust pgsonde's certificate, or shows none that proxy.tls.client_ca has signed.",
        "The client's own message says more; give it the root certificate (sslrootcert)."),
    (410, "SCRAM channel binding cannot pass through two separate TLS connections",
        "The client speaks TLS to pgsonde and pgsonde to the server; binding exists to detect exactly that.",
        "Use the plain loopback leg, or channel_binding=disable in the application, or proxy.tls.auth = \"same-certificate\"."),
    (411, "a client without TLS was refused",
        "proxy.tls.required is set.",
        "Use sslmode=require or stronger in the application."),
    (501, "a report cannot be read from its source",
        "Nobody answers at that address.",
        "Is the proxy running? Its admin URL is what `pgsonde proxy` printed, usually http://127.0.0.1:9635."),
    (502, "the source of a report is no pgsonde",
        "Something else answers there: the port of the applications speaks PostgreSQL, the admin port HTTP.",
        "Give the admin URL, usually http://127.0.0.1:9635."),
    (503, "no report of this version",
        "The file or folder holds something else, or was written by another version in another form.",
        "Render it with the version that wrote it, or write it anew."),
    (504, "a time range that the source does not have",
        "A running proxy, a snapshot and a saved report hold sums since their start, which cannot be cut by time; a capture has what happened while it was written.",
        "Leave --from and --to away, or name a moment within the capture."),
    (505, "reports that cannot be compared",
        "The two tell statements apart by different rules: versions with different digests wrote them.",
        "Write both with one version."),
    (511, "this is no capture",
        "The first line of a capture says `capture`; an empty file, or one that was cut before its first line was complete, has none.",
        "Give a file that `pgsonde proxy --capture DIR` wrote, or the folder."),
    (512, "a capture of a newer version",
        "Its schema is newer than what this version reads.",
        "Read it with the version that wrote it (the message names it), or a newer one."),
    (513, "a capture cannot be read",
        "The file or folder is not there, or may not be read.",
        "The message has the reason; captures have mode 0600 and belong to the user of the proxy."),
    (521, "this is no whole snapshot",
        "The file is something else, is cut off, or can't be read; a snapshot says at its end how many lines it has.",
        "Get it again: curl -o NAME.snapshot.zst http://127.0.0.1:9635/api/v1/snapshot."),
    (522, "a snapshot of another version",
        "Its lines, or the rule by which its digests are hashed, differ from this version's: the sums would be wrong.",
        "Merge it with the version that wrote it (the message names it), or bring the proxies to one version."),
    (523, "two snapshots of one start of one proxy",
        "Each counts since the proxy's start, so the later one contains the earlier one.",
        "Give one of them, the later one."),
    (531, "ClickHouse does not answer",
        "Nobody listens there, something between cuts the connection, or it takes too long.",
        "The URL is that of its HTTP interface, usually http://host:8123; curl URL/ping says Ok."),
    (532, "ClickHouse refused the user",
        "The user doesn't exist, or the password is another.",
        "The user stands in the URL (http://user@host:8123/database); CLICKHOUSE_PASSWORD or export.clickhouse.password names the password."),
    (533, "the tables in ClickHouse are missing or old",
        "They were never made in this database, or an older version made them.",
        "pgsonde clickhouse init URL makes what is missing; it changes no table that is there."),
    (534, "ClickHouse refused a statement",
        "The message has its own words.",
        "Its code is explained in its documentation."),
    (535, "a time range that makes no sense",
        "A moment is RFC 3339 in UTC, now, or a duration before now; the end lies behind the begin.",
        "--from -1h, or --from 2026-11-23T05:00:00Z --to now."),
    (601, "the command made no connection through pgsonde",
        "The variables were rewritten, but the application may read its settings elsewhere (a file, a cached pool, a container).",
        "Name the variable with --env, or use --upstream URL and point the application at the printed address."),
    (602, "no connection string to rewrite",
        "Neither --env nor DATABASE_URL nor the PG variables name a server in a form that is known.",
        "Name the variable with --env, or use --upstream URL."),
    (603, "a connection string that cannot be rewritten",
        "It asks for something that a proxy in between cannot give, such as target_session_attrs over several hosts.",
        "The message names the part; --upstream URL leaves the string to you."),
    (604, "a bad budget file",
        "An unknown key, or a value that makes no sense; nothing is ignored silently.",
        "The message names file, line, column and the nearest known name."),
    (605, "a bad baseline file",
        "It can't be read, or is of another version.",
        "Write it anew: pgsonde audit --update-baseline=accept."),
    (606, "the baseline cannot be narrowed",
        "Not all of what the baseline knows has run, so nothing can be said of what is missing.",
        "Run everything, or accept knowingly: --update-baseline=accept."),
    (607, "budget or baseline are there already",
        "`pgsonde audit --init` writes new ones and overwrites none.",
        "Delete them, or name other files with --budget and --baseline."),
    (608, "the command cannot be run",
        "It was not found, or is not executable.",
        "Behind `--` stands the command as a shell would find it on PATH."),
    (701, "a request that makes no sense",
        "An unknown or malformed parameter or body, or a method that does not work there.",
        "`detail` names it."),
    (702, "the token is missing or wrong",
        "Orders always need it; where the listener is open to other machines, reads need it, too.",
        "Send `Authorization: Bearer TOKEN`. admin.token says where the token is; without that key, a random one stands in the ready line on the terminal."),
    (703, "this is not served here",
        "The name in Host or Origin is neither an IP address nor localhost nor in admin.allowed_hosts (which stops DNS rebinding); or admin.api is false.",
        "Use an IP address in the URL, or add the name to admin.allowed_hosts."),
    (704, "there is nothing at this address",
        "A wrong path, or an id that this process doesn't know (it forgets when it restarts).",
        "The page is at /, the API below /api/v1, metrics at /metrics."),
    (705, "this cannot be done now",
        "The proxy is ending, has no file to read again, the configuration is refused, or a file cannot be written.",
        "`detail` says which."),
    (706, "too many requests at once",
        "32 requests are rendered at a time.",
        "Try again."),
    (707, "not in time",
        "The answer took more than 10 s to begin.",
        "Try again; if it stays so, look at the CPU of the process."),
    (708, "the admin listener may not be open to others without a token",
        "It shows statement texts and takes orders.",
        "Set admin.token (env:NAME or file:PATH), or admin.api = false for health and metrics alone, or use a loopback address."),
    (709, "an answer could not be written",
        "A fault of pgsonde's own.",
        "Please report it with the address that was asked."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn sources(folder: &Path, out: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, out);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("explain_error.rs")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                // Codes in tests may be made up.
                out.push_str(text.split("#[cfg(test)]").next().unwrap_or(""));
            }
        }
    }

    /// Numbers that follow any of the words: how codes are spelled in the source.
    fn after(text: &str, words: &str) -> Vec<u16> {
        let parts = text.split(words).skip(1);
        let digits = |part: &str| {
            let part = part.trim_start();
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse::<u16>().ok()
        };
        parts.filter_map(digits).filter(|code| (100..1_000).contains(code)).collect()
    }

    #[test]
    fn every_code_of_the_source_is_explained_once_and_no_other() {
        let mut text = String::new();
        sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut text);
        let spellings = ["Problem::new(", "\"PGS", ": u16 = ", "#PGS", "`PGS"];
        let used: BTreeSet<u16> =
            spellings.iter().flat_map(|spelling| after(&text, spelling)).collect();
        let explained: Vec<u16> = EXPLANATIONS.iter().map(|(number, ..)| *number).collect();
        assert!(explained.is_sorted_by(|left, right| left < right), "sorted, each once");
        let unexplained: Vec<_> = used.iter().filter(|code| find(**code).is_none()).collect();
        assert!(unexplained.is_empty(), "without an explanation: {unexplained:?}");
        let own = BTreeSet::from([209]);
        let unused: Vec<_> =
            explained.iter().filter(|code| !used.contains(code) && !own.contains(code)).collect();
        assert!(unused.is_empty(), "explained, but nowhere used: {unused:?}");
    }

    #[test]
    fn codes_are_found_in_every_spelling() {
        for (code, found) in
            [("PGS0405", Some(405)), ("pgs405", Some(405)), ("405", Some(405)), ("x", None)]
        {
            assert_eq!(number(code), found, "{code}");
        }
        assert!(explained(find(405).unwrap()).starts_with("PGS0405: the client left"));
    }
}
