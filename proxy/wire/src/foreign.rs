//! The only place that knows `pgwire`: it decodes the start-up family and encodes what we originate.
//!
//! Its decoders consume their buffer and panic on some malformed bodies, so each call copies exactly one
//! packet that was bounded and checked before. Nothing that passes through is ever encoded here.

use bytes::BytesMut;
use pgwire::messages::response::ErrorResponse;
use pgwire::messages::startup::Startup;
use pgwire::messages::{DecodeContext, Message, ProtocolVersion};

/// The parameters of a StartupMessage that pgsonde looks at; the last duplicate wins, as in the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartupParameters {
    /// `user`; empty where the packet couldn't be read.
    pub user: String,
    /// `database`, else `user`.
    pub database: String,
    /// `application_name`.
    pub application_name: String,
    /// The setting `pgsonde.mark`: a parameter of its own, or in `options` (`-c pgsonde.mark=…`); empty without.
    pub mark: String,
    /// Whether `replication` asks for a replication connection.
    pub replication: bool,
}

/// Reads a complete StartupMessage of major version 3. A packet that can't be read is the server's to judge:
/// it yields empty parameters.
pub fn startup_parameters(packet: &[u8]) -> StartupParameters {
    let well_formed = packet.len() > 8 && packet.last() == Some(&0) && packet[4..6] == [0, 3];
    if !well_formed {
        return StartupParameters::default();
    }
    let context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
    let Ok(Some(startup)) = Startup::decode(&mut BytesMut::from(packet), &context) else {
        return StartupParameters::default();
    };
    let decoded = startup.parameters;
    let text = |key: &str| decoded.get(key).cloned().unwrap_or_default();
    let user = text("user");
    let database =
        Some(text("database")).filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone());
    StartupParameters {
        user,
        database,
        application_name: text("application_name"),
        mark: Some(text("pgsonde.mark"))
            .filter(|mark| !mark.is_empty())
            .unwrap_or_else(|| mark_in_options(&text("options"))),
        replication: asks_for_replication(&text("replication")),
    }
}

/// The last `-c pgsonde.mark=…` (or `--pgsonde.mark=…`) of the parameter `options`, whose words are separated by white
/// space that no backslash stands before.
fn mark_in_options(options: &str) -> String {
    let mut words = vec![String::new()];
    let mut letters = options.chars();
    while let Some(letter) = letters.next() {
        let escaped = if letter == '\\' { letters.next() } else { None };
        match (escaped.unwrap_or(letter), escaped.is_some(), words.last_mut()) {
            (letter, false, _) if letter.is_whitespace() => words.push(String::new()),
            (letter, _, Some(word)) => word.push(letter),
            (_, _, None) => {}
        }
    }
    let mark = |word: &String| {
        let setting = word.strip_prefix("-c").or(word.strip_prefix("--")).unwrap_or(word);
        setting.strip_prefix("pgsonde.mark=").map(str::to_owned)
    };
    words.iter().filter_map(mark).next_back().unwrap_or_default()
}

/// `database`, or a boolean as the server reads one: any case, any unique prefix.
fn asks_for_replication(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let is_prefix =
        |word: &str, shortest: usize| value.len() >= shortest && word.starts_with(&value);
    value == "database"
        || value == "1"
        || is_prefix("true", 1)
        || is_prefix("yes", 1)
        || value == "on"
}

/// An ErrorResponse of our own: always FATAL, with the code in DETAIL and the help in HINT.
pub fn fatal_error(sqlstate: &str, message: &str, code: &str, help: &str) -> Vec<u8> {
    let fields = [
        (b'S', "FATAL"),
        (b'V', "FATAL"),
        (b'C', sqlstate),
        (b'M', message),
        (b'D', code),
        (b'H', help),
    ]
    .into_iter()
    .map(|(kind, text)| (kind, text.replace('\0', " ")))
    .collect();
    let mut bytes = BytesMut::new();
    match ErrorResponse::new(fields).encode(&mut bytes) {
        Ok(()) => bytes.to_vec(),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn startup(parameters: &[u8]) -> Vec<u8> {
        let mut packet = (parameters.len() as u32 + 8).to_be_bytes().to_vec();
        packet.extend_from_slice(&[0, 3, 0, 0]);
        packet.extend_from_slice(parameters);
        packet
    }

    #[test]
    fn parameters_as_the_server_reads_them() {
        let table: [(&[u8], &str); 5] = [
            (b"user\0ann\0\0", "ann ann "),
            (b"user\0ann\0database\0shop\0application_name\0web\0\0", "ann shop web"),
            (b"user\0a\0user\0b\0\0", "b b "),
            (b"user\0ann", "  "),
            (b"\0", "  "),
        ];
        for (bytes, expected) in table {
            let read = startup_parameters(&startup(bytes));
            let got = [read.user, read.database, read.application_name].join(" ");
            assert_eq!(got, expected, "{:?}", String::from_utf8_lossy(bytes));
        }
        let mut lying = startup(b"user\0ann\0\0");
        lying[3] = 200;
        assert_eq!(startup_parameters(&lying), StartupParameters::default());
    }

    #[test]
    fn replication_is_a_boolean_or_database() {
        for yes in ["database", "true", "TRUE", "t", "tru", "yes", "Y", "on", "1"] {
            assert!(asks_for_replication(yes), "{yes}");
        }
        for no in ["", "false", "off", "0", "o", "no", "databas", "truex", "2"] {
            assert!(!asks_for_replication(no), "{no}");
        }
    }

    #[test]
    fn own_errors_name_everything() {
        let bytes = fatal_error("08001", "no server", "PGS0301", "start it");
        assert_eq!(bytes[0], b'E');
        assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize, bytes.len() - 1);
        let text = String::from_utf8_lossy(&bytes[5..]);
        for part in
            ["SFATAL\0", "VFATAL\0", "C08001\0", "Mno server\0", "DPGS0301\0", "Hstart it\0"]
        {
            assert!(text.contains(part), "{part} in {text:?}");
        }
    }
}
