//! What the server says until a session is authenticated: the one edit of a passing frame, and the facts that
//! explain a failure.
//!
//! A server that speaks TLS offers `SCRAM-SHA-256-PLUS`. libpq gives up when it sees that offer on a connection
//! that isn't encrypted itself, and rightly so; where only our leg to the server is encrypted, the name is taken
//! out of the offer ([`PlusRemoval`]). Source: RFC 5802 section 6, libpq `fe-auth.c`.

use crate::backend::{error_fields, tag};
use crate::frame::{Frame, FrameScanner, FrameSink};
use crate::limits::{ERROR_BYTES_MAX, SASL_LIST_BYTES_MAX};
use crate::{Error, Micros};

/// The mechanism with channel binding, with the NUL that ends it in the list.
const PLUS: &[u8] = b"SCRAM-SHA-256-PLUS\0";

/// Tag, length and code of an authentication frame.
const AUTHENTICATION_HEAD_BYTES: usize = 9;

const CODE_OK: u32 = 0;
const CODE_SASL: u32 = 10;

/// What became of the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The name was taken out.
    Edited,
    /// Nothing had to be taken out.
    Untouched,
    /// The list is longer than [`SASL_LIST_BYTES_MAX`] and went on as it was.
    TooLong,
}

/// Takes `SCRAM-SHA-256-PLUS` out of the first authentication frame, if that is a list of SASL mechanisms with
/// another one in it. Everything else passes as it is; at most that frame is held until it is whole.
#[derive(Debug, Default)]
pub struct PlusRemoval {
    held: Vec<u8>,
    /// Bytes that still pass of a frame that isn't the one.
    passing: usize,
    offer: Option<Offer>,
}

enum Decision {
    More,
    /// This many bytes are a frame that passes.
    Pass(usize),
    /// The first this many bytes are the list.
    List(usize),
    Over(Offer),
}

impl PlusRemoval {
    /// What goes on to the client now that the server sent `chunk`.
    pub fn pass(&mut self, chunk: &[u8]) -> Vec<u8> {
        let (through, chunk) = chunk.split_at(self.passing.min(chunk.len()));
        let mut out = through.to_vec();
        self.passing -= through.len();
        self.held.extend_from_slice(chunk);
        while self.offer.is_none() && !self.held.is_empty() {
            match decide(&self.held) {
                Decision::More => return out,
                Decision::Pass(len) => {
                    let take = len.min(self.held.len());
                    out.extend(self.held.drain(..take));
                    self.passing = len - take;
                }
                Decision::List(len) => {
                    let list: Vec<u8> = self.held.drain(..len).collect();
                    let edited = without_plus(&list);
                    self.offer = Some(edited.as_ref().map_or(Offer::Untouched, |_| Offer::Edited));
                    out.extend(edited.unwrap_or(list));
                }
                Decision::Over(offer) => self.offer = Some(offer),
            }
        }
        if self.offer.is_some() {
            out.append(&mut self.held);
        }
        out
    }

    /// What became of the offer; `None` as long as it hasn't come.
    pub fn offer(&self) -> Option<Offer> {
        self.offer
    }

    /// What is held, when nothing more will come.
    pub fn take_held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

fn decide(held: &[u8]) -> Decision {
    let Some((&[tag, ref length @ ..], _)) = held.split_first_chunk::<5>() else {
        return Decision::More;
    };
    let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
    match (tag, length) {
        (_, ..4) | (tag::AUTHENTICATION, ..8) => Decision::Over(Offer::Untouched),
        (tag::AUTHENTICATION, _) => decide_authentication(held, length + 1),
        _ => Decision::Pass(length + 1),
    }
}

fn decide_authentication(held: &[u8], size: usize) -> Decision {
    let Some(head) = held.first_chunk::<AUTHENTICATION_HEAD_BYTES>() else { return Decision::More };
    match (u32::from_be_bytes([head[5], head[6], head[7], head[8]]), size) {
        (CODE_SASL, ..=SASL_LIST_BYTES_MAX) if held.len() < size => Decision::More,
        (CODE_SASL, ..=SASL_LIST_BYTES_MAX) => Decision::List(size),
        (CODE_SASL, _) => Decision::Over(Offer::TooLong),
        _ => Decision::Over(Offer::Untouched),
    }
}

/// The frame without the name; `None` where it stands not in the list, stands there alone, or the list is broken.
fn without_plus(frame: &[u8]) -> Option<Vec<u8>> {
    let (head, list) = frame.split_at_checked(AUTHENTICATION_HEAD_BYTES)?;
    let names = list.strip_suffix(b"\0")?;
    let mut at = None;
    let (mut offset, mut others) = (0, 0);
    for name in names.split_inclusive(|byte| *byte == 0) {
        match name {
            b"\0" => return None,
            PLUS if at.is_none() => at = Some(AUTHENTICATION_HEAD_BYTES + offset),
            [.., 0] => others += 1,
            _ => return None,
        }
        offset += name.len();
    }
    let at = at.filter(|_| others > 0)?;
    let length = u32::try_from(frame.len() - 1 - PLUS.len()).ok()?;
    let mut edited = vec![head[0]];
    edited.extend_from_slice(&length.to_be_bytes());
    edited.extend_from_slice(&frame[5..at]);
    edited.extend_from_slice(&frame[at + PLUS.len()..]);
    Some(edited)
}

/// What is known of an authentication, to explain its failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Authentication {
    /// The server offered SASL mechanisms.
    pub sasl_offered: bool,
    /// The client said something after that.
    pub client_answered: bool,
    /// It is over, one way or the other.
    pub over: bool,
    /// SQLSTATE of the server's error.
    pub error: Option<[u8; 5]>,
    /// The error comes of channel binding, by the routine that raised it.
    pub binding: Option<BindingError>,
}

/// Why the server refused a channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingError {
    /// The client could bind but saw no offer to (`y`): there are two TLS connections, and the offer was edited.
    Negotiation,
    /// The client bound to a certificate that isn't the server's.
    Check,
}

/// Watches the server's frames until authentication is over.
#[derive(Debug, Default)]
pub struct AuthenticationWatch {
    scanner: FrameScanner,
    seen: Authentication,
}

impl FrameSink for Authentication {
    fn wanted(&self, tag: u8) -> usize {
        match tag {
            tag::AUTHENTICATION => 4,
            tag::ERROR => ERROR_BYTES_MAX,
            _ => 0,
        }
    }

    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        match frame.tag {
            tag::AUTHENTICATION => {
                let code = frame.body.first_chunk().map(|code| u32::from_be_bytes(*code));
                self.over |= code == Some(CODE_OK);
                self.sasl_offered |= code == Some(CODE_SASL);
            }
            tag::READY_FOR_QUERY => self.over = true,
            tag::ERROR => {
                let sqlstate = error_fields(&frame).sqlstate;
                (self.error, self.over) = (Some(sqlstate), true);
                self.binding = (&sqlstate == b"28000").then(|| binding(frame.body)).flatten();
            }
            _ => {}
        }
        Ok(())
    }
}

/// Texts are translated; the routine (field `R`) isn't. Both raise 28000 for channel binding alone.
fn binding(body: &[u8]) -> Option<BindingError> {
    let has = |text: &[u8]| body.windows(text.len()).any(|part| part == text);
    if has(b"\0Rread_client_first_message\0") {
        Some(BindingError::Negotiation)
    } else if has(b"\0Rread_client_final_message\0") {
        Some(BindingError::Check)
    } else {
        None
    }
}

impl AuthenticationWatch {
    /// Bytes of the server. A stream that can't be followed ends the watch.
    pub fn server_bytes(&mut self, bytes: &[u8], now: Micros) {
        if !self.seen.over && self.scanner.feed(bytes, now, &mut self.seen).is_err() {
            self.seen.over = true;
        }
    }

    /// The client said something.
    pub fn client_spoke(&mut self) {
        self.seen.client_answered |= self.seen.sasl_offered;
    }

    /// What was seen.
    pub fn seen(&self) -> Authentication {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn offer(list: &[u8]) -> Vec<u8> {
        frame(b'R', &[&[0, 0, 0, 10], list].concat())
    }

    fn long(names: usize) -> Vec<u8> {
        offer(&[PLUS, b"SCRAM-SHA-256\0", &b"X\0".repeat(names), b"\0"].concat())
    }

    /// Name, what the server sends, what the client gets, what became of the offer.
    type Row = (&'static str, Vec<u8>, Vec<u8>, Option<Offer>);

    fn table() -> Vec<Row> {
        let both = offer(b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
        let plain = offer(b"SCRAM-SHA-256\0\0");
        let notice = frame(b'N', b"SNOTICE\0\0");
        let same = |bytes: Vec<u8>, offer| (bytes.clone(), bytes, offer);
        let rows = [
            ("both", (both.clone(), plain.clone(), Some(Offer::Edited))),
            (
                "the other order",
                (
                    offer(b"SCRAM-SHA-256\0SCRAM-SHA-256-PLUS\0\0"),
                    plain.clone(),
                    Some(Offer::Edited),
                ),
            ),
            (
                "behind a notice and before more",
                (
                    [&notice[..], &both, &notice, &both].concat(),
                    [&notice[..], &plain, &notice, &both].concat(),
                    Some(Offer::Edited),
                ),
            ),
            ("alone", same(offer(PLUS_ALONE), Some(Offer::Untouched))),
            ("without it", same(plain.clone(), Some(Offer::Untouched))),
            ("a longer name", same(offer(b"XSCRAM-SHA-256-PLUS\0A\0\0"), Some(Offer::Untouched))),
            ("list without end", same(offer(b"SCRAM-SHA-256-PLUS\0A\0"), Some(Offer::Untouched))),
            (
                "bytes behind the list",
                same(offer(b"SCRAM-SHA-256-PLUS\0A\0\0B\0\0"), Some(Offer::Untouched)),
            ),
            ("too long", same(long(1_000), Some(Offer::TooLong))),
            ("md5", same(frame(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]), Some(Offer::Untouched))),
            (
                "only the first authentication frame",
                same([frame(b'R', &[0, 0, 0, 3]), both].concat(), Some(Offer::Untouched)),
            ),
            ("error", same(frame(b'E', b"SFATAL\0\0"), None)),
            ("impossible length", same(vec![b'R', 255, 255, 255, 255, 1], Some(Offer::Untouched))),
            ("half a frame", (plain[..12].to_vec(), Vec::new(), None)),
        ];
        rows.into_iter().map(|(name, (sent, got, offer))| (name, sent, got, offer)).collect()
    }

    const PLUS_ALONE: &[u8] = b"SCRAM-SHA-256-PLUS\0\0";

    #[test]
    fn takes_out_one_name_whatever_the_chunking() {
        for (name, sent, got, offer) in table() {
            for size in [1, 2, 3, 7, sent.len()] {
                let mut removal = PlusRemoval::default();
                let out: Vec<u8> =
                    sent.chunks(size).flat_map(|chunk| removal.pass(chunk)).collect();
                assert_eq!(out, got, "{name} in chunks of {size}");
                assert_eq!(removal.offer(), offer, "{name} in chunks of {size}");
                let held = removal.take_held();
                assert_eq!(held.is_empty(), name != "half a frame", "{name}");
            }
        }
    }

    #[test]
    fn the_limit_is_exact() {
        // Head 9, names 19 + 14, end 1: the rest are names of two bytes each, and one of three for an odd sum.
        let names = (SASL_LIST_BYTES_MAX - 43) / 2;
        let odd = (SASL_LIST_BYTES_MAX - 43) % 2;
        assert_eq!((long(names).len(), odd), (SASL_LIST_BYTES_MAX - 1, 1));
        let mut removal = PlusRemoval::default();
        assert_eq!(removal.pass(&long(names)).len(), SASL_LIST_BYTES_MAX - 1 - PLUS.len());
        let mut removal = PlusRemoval::default();
        assert_eq!(removal.pass(&long(names + 1)).len(), SASL_LIST_BYTES_MAX + 1);
        assert_eq!(removal.offer(), Some(Offer::TooLong));
    }

    #[test]
    fn explains_failures_by_sqlstate_and_routine() {
        let error = |sqlstate: &str, message: &str, routine: &str| {
            frame(
                b'E',
                format!("SFATAL\0VFATAL\0C{sqlstate}\0M{message}\0R{routine}\0\0").as_bytes(),
            )
        };
        let first = "read_client_first_message";
        let last = "read_client_final_message";
        let rows = [
            (
                error("28000", "SCRAM channel binding negotiation error", first),
                Some(BindingError::Negotiation),
            ),
            (error("28000", "SCRAM channel binding check failed", last), Some(BindingError::Check)),
            (error("28P01", "channel binding", last), None),
            (error("28000", "no pg_hba.conf entry", "ClientAuthentication"), None),
        ];
        for (bytes, expected) in rows {
            let mut watch = AuthenticationWatch::default();
            watch.server_bytes(&offer(b"SCRAM-SHA-256\0\0"), 1);
            watch.client_spoke();
            assert!(!watch.seen().over);
            bytes.chunks(3).for_each(|chunk| watch.server_bytes(chunk, 2));
            let seen = watch.seen();
            assert!(seen.over && seen.sasl_offered && seen.client_answered && seen.error.is_some());
            assert_eq!(seen.binding, expected);
        }
    }

    #[test]
    fn a_client_that_is_silent_after_the_offer() {
        let mut watch = AuthenticationWatch::default();
        watch.client_spoke();
        watch.server_bytes(&offer(b"SCRAM-SHA-256\0\0"), 1);
        assert!(watch.seen().sasl_offered && !watch.seen().client_answered);
        watch.server_bytes(&frame(b'R', &[0, 0, 0, 0]), 1);
        assert!(watch.seen().over);
    }
}
