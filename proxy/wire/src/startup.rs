//! What a client says before the main phase, as a state machine over buffered bytes.
//!
//! The caller buffers what it reads and asks [`Startup::step`] what to do with it. Order of the negotiation
//! requests, limits and reasons to close are those of the server (`ProcessStartupPacket`).

use crate::limits::{CANCEL_PACKET_BYTES, STARTUP_PACKET_BYTES_MAX};

const CODE_CANCEL: u32 = 80_877_102;
const CODE_SSL: u32 = 80_877_103;
const CODE_GSSENC: u32 = 80_877_104;
const TLS_HANDSHAKE_RECORD: u8 = 0x16;

/// What to do with the buffered bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read more.
    More,
    /// Take 8 bytes out of the buffer and answer with one byte `N`: no encryption here.
    Decline,
    /// Take 8 bytes out of the buffer, answer with one byte `S` and do the TLS handshake; then go on with
    /// [`Startup::encrypted`].
    Accept,
    /// The client wants encryption, and it is the server that answers: what is buffered goes to the server. If
    /// that answers `N`, so do we, and go on with an empty buffer; else both streams are relayed unseen.
    Relay,
    /// Forward the first `len` bytes: the StartupMessage. Its protocol version is given.
    Forward {
        /// Bytes of the packet.
        len: usize,
        /// Protocol major version.
        major: u16,
    },
    /// Forward the first `len` bytes, a CancelRequest, on a connection of its own; never answer.
    Cancel {
        /// Bytes of the packet.
        len: usize,
    },
    /// Close without a word.
    Close(Refusal),
}

/// Why a start-up was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Length below 8, above the limit, or wrong for its code.
    Length,
    /// A negotiation request was repeated, or came after its like.
    Repeated,
    /// Bytes were already behind a negotiation request before it was answered (CVE-2021-23214 class).
    Unasked,
    /// The client began TLS at once, and there is no certificate.
    DirectTls,
}

/// Who answers a client's wish for encryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Nobody: it is declined.
    #[default]
    Absent,
    /// We do, by TLS with a certificate of our own.
    Offered,
    /// The server; its encryption is relayed undecrypted.
    Relayed,
}

/// Negotiation so far.
#[derive(Debug, Default)]
pub struct Startup {
    encryption: Encryption,
    encrypted: bool,
    ssl_asked: bool,
    gssenc_asked: bool,
}

impl Startup {
    /// The first bytes of a client.
    pub fn new(encryption: Encryption) -> Self {
        Self { encryption, ..Self::default() }
    }

    /// What follows is inside TLS.
    pub fn encrypted(&mut self) {
        self.encrypted = true;
    }

    /// Whether a request for TLS was declined (a client that leaves now probably wanted `sslmode=require`).
    pub fn declined_tls(&self) -> bool {
        self.ssl_asked && !self.encrypted
    }

    /// Decides over everything buffered so far.
    pub fn step(&mut self, buffered: &[u8]) -> Step {
        if buffered.first() == Some(&TLS_HANDSHAKE_RECORD) {
            return self.direct_tls();
        }
        let Some((length, rest)) = buffered.split_first_chunk::<4>() else { return Step::More };
        let length = u32::from_be_bytes(*length) as usize;
        if !(8..=STARTUP_PACKET_BYTES_MAX).contains(&length) {
            return Step::Close(Refusal::Length);
        }
        let Some(code) = rest.first_chunk::<4>() else { return Step::More };
        match u32::from_be_bytes(*code) {
            code @ (CODE_SSL | CODE_GSSENC) => self.negotiate(code, length, buffered.len()),
            CODE_CANCEL if !CANCEL_PACKET_BYTES.contains(&length) => Step::Close(Refusal::Length),
            _ if buffered.len() < length => Step::More,
            CODE_CANCEL => Step::Cancel { len: length },
            version => Step::Forward { len: length, major: (version >> 16) as u16 },
        }
    }

    /// A TLS record in the place of a packet: only as the very first thing. Where we offer TLS ourselves, the
    /// caller looks for it before it buffers anything.
    fn direct_tls(&self) -> Step {
        let first = !(self.ssl_asked || self.gssenc_asked || self.encrypted);
        match self.encryption {
            Encryption::Relayed if first => Step::Relay,
            _ => Step::Close(Refusal::DirectTls),
        }
    }

    fn negotiate(&mut self, code: u32, length: usize, buffered: usize) -> Step {
        let asked = if code == CODE_SSL { &mut self.ssl_asked } else { &mut self.gssenc_asked };
        match (length, buffered) {
            _ if *asked || self.encrypted => return Step::Close(Refusal::Repeated),
            (8, 8) => *asked = true,
            (8, _) => return Step::Close(Refusal::Unasked),
            _ => return Step::Close(Refusal::Length),
        }
        match self.encryption {
            Encryption::Relayed => Step::Relay,
            Encryption::Offered if code == CODE_SSL => Step::Accept,
            _ => Step::Decline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(length: u32, code: u32, rest: &[u8]) -> Vec<u8> {
        [&length.to_be_bytes()[..], &code.to_be_bytes()[..], rest].concat()
    }

    #[test]
    fn first_packets() {
        let startup = packet(13, 196_608, b"u\0a\0\0");
        let table: Vec<(&str, Vec<u8>, Step)> = vec![
            ("nothing", vec![], Step::More),
            ("seven bytes", packet(13, 196_608, b"")[..7].to_vec(), Step::More),
            ("startup 3.0", startup.clone(), Step::Forward { len: 13, major: 3 }),
            ("startup in part", startup[..12].to_vec(), Step::More),
            ("old major", packet(9, 131_072, b"\0"), Step::Forward { len: 9, major: 2 }),
            ("grease 3.9999", packet(9, 206_607, b"\0"), Step::Forward { len: 9, major: 3 }),
            ("length 7", packet(7, 0, b""), Step::Close(Refusal::Length)),
            ("length 10000", packet(10_000, 196_608, b""), Step::More),
            ("length 10001", packet(10_001, 196_608, b""), Step::Close(Refusal::Length)),
            ("negative", packet(u32::MAX, 196_608, b""), Step::Close(Refusal::Length)),
            ("ssl", packet(8, CODE_SSL, b""), Step::Decline),
            ("ssl with plaintext behind", packet(8, CODE_SSL, b"x"), Step::Close(Refusal::Unasked)),
            ("ssl too long", packet(9, CODE_SSL, b"x"), Step::Close(Refusal::Length)),
            ("gssenc", packet(8, CODE_GSSENC, b""), Step::Decline),
            ("cancel 3.0", packet(16, CODE_CANCEL, &[0; 8]), Step::Cancel { len: 16 }),
            (
                "cancel with a byte behind",
                packet(16, CODE_CANCEL, &[0; 9]),
                Step::Cancel { len: 16 },
            ),
            ("cancel without key", packet(12, CODE_CANCEL, &[0; 4]), Step::Close(Refusal::Length)),
            ("cancel, largest", packet(268, CODE_CANCEL, &[0; 260]), Step::Cancel { len: 268 }),
            (
                "cancel, too large",
                packet(269, CODE_CANCEL, &[0; 261]),
                Step::Close(Refusal::Length),
            ),
            ("direct tls", vec![0x16, 3, 1], Step::Close(Refusal::DirectTls)),
        ];
        for (name, bytes, expected) in table {
            assert_eq!(Startup::default().step(&bytes), expected, "{name}");
        }
    }

    #[test]
    fn each_negotiation_is_declined_once() {
        let (ssl, gss) = (packet(8, CODE_SSL, b""), packet(8, CODE_GSSENC, b""));
        for order in [[&ssl, &gss], [&gss, &ssl]] {
            let mut startup = Startup::default();
            assert_eq!(startup.step(order[0]), Step::Decline);
            assert_eq!(startup.step(order[1]), Step::Decline);
            assert_eq!(startup.step(order[0]), Step::Close(Refusal::Repeated));
        }
    }
    #[test]
    fn who_answers() {
        let (ssl, gss) = (packet(8, CODE_SSL, b""), packet(8, CODE_GSSENC, b""));
        let hello = vec![0x16, 3, 1];
        let rows = [
            (Encryption::Absent, &ssl, Step::Decline),
            (Encryption::Absent, &gss, Step::Decline),
            (Encryption::Absent, &hello, Step::Close(Refusal::DirectTls)),
            (Encryption::Offered, &ssl, Step::Accept),
            (Encryption::Offered, &gss, Step::Decline),
            (Encryption::Relayed, &ssl, Step::Relay),
            (Encryption::Relayed, &gss, Step::Relay),
            (Encryption::Relayed, &hello, Step::Relay),
        ];
        for (encryption, bytes, expected) in rows {
            assert_eq!(Startup::new(encryption).step(bytes), expected, "{encryption:?}");
        }
    }

    #[test]
    fn inside_tls_nothing_is_negotiated() {
        let (ssl, gss) = (packet(8, CODE_SSL, b""), packet(8, CODE_GSSENC, b""));
        for bytes in [&ssl, &gss] {
            let mut startup = Startup::new(Encryption::Offered);
            startup.encrypted();
            assert_eq!(startup.step(bytes), Step::Close(Refusal::Repeated));
            assert_eq!(startup.step(&[0x16]), Step::Close(Refusal::DirectTls));
        }
        let mut startup = Startup::new(Encryption::Offered);
        assert_eq!(startup.step(&gss), Step::Decline);
        assert_eq!(startup.step(&ssl), Step::Accept);
        startup.encrypted();
        let cancel = packet(16, CODE_CANCEL, &[0; 8]);
        assert_eq!(startup.step(&cancel), Step::Cancel { len: 16 });
    }
}
