//! A client on the bare socket, for what no driver would send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for a byte.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// Asks for encryption; the answer is one byte.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// Asks for GSS encryption; the answer is one byte.
pub const GSS_ENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];

/// One frame: type byte, length, body.
pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![tag];
    frame.extend(length(body.len()));
    frame.extend(body);
    frame
}

/// A StartupMessage of protocol 3.0 for user and database `postgres`.
pub fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0postgres\0database\0postgres\0application_name\0raw\0\0";
    let mut frame = length(body.len()).to_vec();
    frame.extend(body);
    frame
}

/// A simple Query.
pub fn query(text: &str) -> Vec<u8> {
    frame(b'Q', &[text.as_bytes(), b"\0"].concat())
}

/// An execution of a text with these parameters (text format, `None` for NULL), and a Sync.
pub fn bound(text: &str, parameters: &[Option<&[u8]>]) -> Vec<u8> {
    let mut bind = b"\0\0\0\0".to_vec();
    let count = u16::try_from(parameters.len()).expect("few parameters");
    bind.extend(count.to_be_bytes());
    for parameter in parameters {
        let len = parameter.map_or(-1, |value| i32::try_from(value.len()).expect("short"));
        bind.extend(len.to_be_bytes());
        bind.extend(parameter.unwrap_or_default());
    }
    bind.extend([0, 0]);
    let parse = frame(b'P', &[b"\0", text.as_bytes(), b"\0\0\0"].concat());
    let execute = frame(b'E', &[0, 0, 0, 0, 0]);
    [parse, frame(b'B', &bind), execute, frame(b'S', &[])].concat()
}

fn length(body: usize) -> [u8; 4] {
    u32::try_from(body + 4).expect("frames of tests are short").to_be_bytes()
}

/// A connection to a loopback port.
///
/// # Panics
/// If nothing listens there.
pub fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("something listens");
    socket.set_read_timeout(Some(READ_LIMIT)).expect("a limit above zero");
    socket.set_nodelay(true).expect("TCP has no-delay");
    socket
}

/// A session that was let in without a password, at its first ReadyForQuery.
///
/// # Panics
/// If the server doesn't let us in.
pub fn session(port: u16) -> TcpStream {
    let mut socket = connect(port);
    socket.write_all(&startup()).expect("written");
    read_until_ready(&mut socket, 1);
    socket
}

/// Reads whole frames until `count` ReadyForQuery have passed; gives the tags of all frames but DataRow.
///
/// # Panics
/// If the connection ends before.
pub fn read_until_ready(socket: &mut impl Read, count: usize) -> Vec<u8> {
    let (mut tags, mut ready) = (Vec::new(), 0);
    let mut reader = std::io::BufReader::with_capacity(64 * 1024, socket);
    let mut body = Vec::new();
    while ready < count {
        let tag = read_frame(&mut reader, &mut body);
        ready += usize::from(tag == b'Z');
        if tag != b'D' {
            tags.push(tag);
        }
    }
    tags
}

/// Reads and forgets `count` whole frames.
///
/// # Panics
/// If the connection ends before.
pub fn read_frames(socket: &mut impl Read, count: usize) {
    let mut reader = std::io::BufReader::with_capacity(64 * 1024, socket);
    let mut body = Vec::new();
    for _ in 0..count {
        read_frame(&mut reader, &mut body);
    }
}

/// The tag of the next frame; its body in `body`.
fn read_frame(reader: &mut impl Read, body: &mut Vec<u8>) -> u8 {
    let mut head = [0; 5];
    reader.read_exact(&mut head).expect("a frame");
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    body.resize(usize::try_from(length).expect("64 bit") - 4, 0);
    reader.read_exact(body).expect("a body");
    head[0]
}
