//! Turns the spelling of a frame into its bytes.

use super::Side;

/// The bytes of a frame as the transcript spells it.
///
/// # Panics
/// On a spelling that makes no sense.
pub(super) fn frame(side: Side, spelling: &str) -> Vec<u8> {
    let words = words(spelling);
    let (name, args) = words.split_first().unwrap_or_else(|| panic!("no frame in: {spelling}"));
    let (tag, body) = match side {
        Side::Client => client(name, args),
        Side::Server => server(name, args),
    };
    if name == "Raw" {
        return body;
    }
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Splits at spaces; JSON strings are one word, without their quotes.
fn words(spelling: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = spelling.trim();
    while !rest.is_empty() {
        if rest.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
            let word = values.next().expect("a string").unwrap_or_else(|e| panic!("{rest}: {e}"));
            rest = rest[values.byte_offset()..].trim_start();
            words.push(word);
        } else {
            let (word, next) = rest.split_once(' ').unwrap_or((rest, ""));
            words.push(word.to_owned());
            rest = next.trim_start();
        }
    }
    words
}

fn cstr(text: &str) -> Vec<u8> {
    let text = if text == "-" { "" } else { text };
    [text.as_bytes(), b"\0"].concat()
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

fn values(words: &[String]) -> Vec<u8> {
    let mut bytes = (words.len() as u16).to_be_bytes().to_vec();
    for word in words {
        if word == "null" {
            bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        } else {
            bytes.extend_from_slice(&(word.len() as i32).to_be_bytes());
            bytes.extend_from_slice(word.as_bytes());
        }
    }
    bytes
}

fn oids(words: &[String]) -> Vec<u8> {
    let mut bytes = (words.len() as u16).to_be_bytes().to_vec();
    words.iter().for_each(|oid| bytes.extend_from_slice(&number::<u32>(oid).to_be_bytes()));
    bytes
}

fn raw(words: &[String]) -> Vec<u8> {
    words
        .concat()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).expect("hex digits"))
        .collect()
}

fn client(name: &str, args: &[String]) -> (u8, Vec<u8>) {
    match (name, args) {
        ("Query", [text]) => (b'Q', cstr(text)),
        ("Parse", [name, text, types @ ..]) => {
            (b'P', [cstr(name), cstr(text), oids(types)].concat())
        }
        ("Bind", [portal, statement, rest @ ..]) => {
            let head = [cstr(portal), cstr(statement), vec![0, 0]].concat();
            (b'B', [head, values(rest), vec![0, 0]].concat())
        }
        ("Describe", [kind, name]) => (b'D', [kind.as_bytes(), &cstr(name)].concat()),
        ("Close", [kind, name]) => (b'C', [kind.as_bytes(), &cstr(name)].concat()),
        ("Execute", [portal]) => (b'E', [cstr(portal), vec![0; 4]].concat()),
        ("Execute", [portal, rows]) => {
            (b'E', [cstr(portal), number::<i32>(rows).to_be_bytes().to_vec()].concat())
        }
        ("Sync", []) => (b'S', vec![]),
        ("Flush", []) => (b'H', vec![]),
        ("FunctionCall", [oid]) => {
            (b'F', [&number::<u32>(oid).to_be_bytes()[..], &[0; 6]].concat())
        }
        ("CopyData", [data]) => (b'd', data.as_bytes().to_vec()),
        ("CopyDone", []) => (b'c', vec![]),
        ("CopyFail", [why]) => (b'f', cstr(why)),
        ("Terminate", []) => (b'X', vec![]),
        ("Raw", hex) => (0, raw(hex)),
        _ => panic!("no client frame: {name} {args:?}"),
    }
}

fn server(name: &str, args: &[String]) -> (u8, Vec<u8>) {
    match (name, args) {
        ("AuthenticationOk", []) => (b'R', vec![0; 4]),
        ("ParameterStatus", [name, value]) => (b'S', [cstr(name), cstr(value)].concat()),
        ("ReadyForQuery", [status]) => (b'Z', status.as_bytes().to_vec()),
        ("RowDescription", columns) => (b'T', row_description(columns)),
        ("DataRow", cells) => (b'D', values(cells)),
        ("CommandComplete", [tag]) => (b'C', cstr(tag)),
        ("EmptyQueryResponse", []) => (b'I', vec![]),
        ("PortalSuspended", []) => (b's', vec![]),
        ("ParseComplete", []) => (b'1', vec![]),
        ("BindComplete", []) => (b'2', vec![]),
        ("CloseComplete", []) => (b'3', vec![]),
        ("NoData", []) => (b'n', vec![]),
        ("ParameterDescription", types) => (b't', oids(types)),
        ("ErrorResponse", [sqlstate]) => (b'E', error("ERROR", sqlstate)),
        ("ErrorResponse", [sqlstate, severity]) => (b'E', error(severity, sqlstate)),
        ("NoticeResponse", [text]) => {
            (b'N', [b"SNOTICE\0C00000\0M", &cstr(text)[..], b"\0"].concat())
        }
        ("NotificationResponse", [channel]) => {
            (b'A', [&[0, 0, 0, 9][..], &cstr(channel), &cstr("")].concat())
        }
        ("CopyInResponse", []) => (b'G', vec![0, 0, 0]),
        ("CopyOutResponse", []) => (b'H', vec![0, 0, 0]),
        ("CopyBothResponse", []) => (b'W', vec![0, 0, 0]),
        ("CopyData", [data]) => (b'd', data.as_bytes().to_vec()),
        ("CopyDone", []) => (b'c', vec![]),
        ("FunctionCallResponse", []) => (b'V', (-1_i32).to_be_bytes().to_vec()),
        ("Raw", hex) => (0, raw(hex)),
        _ => panic!("no server frame: {name} {args:?}"),
    }
}

/// Columns as `label:table_oid:attnum:type_oid`.
fn row_description(columns: &[String]) -> Vec<u8> {
    let mut bytes = (columns.len() as u16).to_be_bytes().to_vec();
    for column in columns {
        let parts: Vec<_> = column.split(':').collect();
        let [label, table, attnum, kind] = parts[..] else { panic!("no column: {column}") };
        bytes.extend(cstr(label));
        bytes.extend_from_slice(&number::<u32>(table).to_be_bytes());
        bytes.extend_from_slice(&number::<i16>(attnum).to_be_bytes());
        bytes.extend_from_slice(&number::<u32>(kind).to_be_bytes());
        bytes.extend_from_slice(&[0, 4, 255, 255, 255, 255, 0, 0]);
    }
    bytes
}

fn error(severity: &str, sqlstate: &str) -> Vec<u8> {
    format!("S{severity}\0V{severity}\0C{sqlstate}\0Mtest\0\0").into_bytes()
}
