//! What one simulated client asks, what a correct server answers, and which records must come of it.

use crate::random::Random;
use crate::raw::{frame, query};
use crate::transcript::{Chunk, Side};
use pgsonde_analyzer::record::Outcome;

/// Rows of a portal that is read to its end; no other statement has as many.
pub(super) const PORTAL_ROWS: u64 = 70_000;
/// Rows of one part of it.
pub(super) const PORTAL_STEP: u64 = 35_000;

/// A record that must come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) text: String,
    /// `None`: depends on where the connection was cut.
    pub(super) outcome: Option<Outcome>,
}

/// What a client asks at one moment, and the whole answer to it.
#[derive(Default)]
struct Step {
    client: Vec<u8>,
    server: Vec<u8>,
    /// The client waits for the answer before it goes on.
    is_barrier: bool,
}

/// When a statement counts, as offsets in the two streams.
struct Ledger {
    text: String,
    outcome: Outcome,
    /// End of its request.
    asked: usize,
    /// End of its terminal reply.
    answered: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// A later member of a multi-statement query: exists only once the first was answered.
    Member,
    /// Skipped by the server once it said so.
    Skipped,
    /// A portal in parts: counted however it ends.
    Portal {
        /// End of the reply that suspended it.
        suspended: usize,
        /// End of the Execute that goes on.
        goes_on: usize,
    },
}

/// One session's script.
#[derive(Default)]
pub(super) struct Script {
    steps: Vec<Step>,
    ledger: Vec<Ledger>,
    client_len: usize,
    server_len: usize,
    server_frames: Vec<usize>,
    in_transaction: bool,
    label: String,
    count: usize,
}

fn cstr(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

fn complete(tag: &str) -> Vec<u8> {
    frame(b'C', &cstr(tag))
}

fn error() -> Vec<u8> {
    frame(b'E', b"SERROR\0VERROR\0C22012\0Mdivision by zero\0\0")
}

fn row() -> Vec<u8> {
    frame(b'D', &[0, 1, 0, 0, 0, 1, b'7'])
}

fn columns() -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend(b"id\0\0\0\x40\0\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    frame(b'T', &body)
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    frame(b'P', &[cstr(name), cstr(text), vec![0, 0]].concat())
}

fn bind(portal: &str, name: &str) -> Vec<u8> {
    frame(b'B', &[cstr(portal), cstr(name), vec![0, 0, 0, 1, 0, 0, 0, 1, b'5', 0, 0]].concat())
}

fn execute(portal: &str, rows: u32) -> Vec<u8> {
    frame(b'E', &[cstr(portal), rows.to_be_bytes().to_vec()].concat())
}

fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

impl Script {
    /// What session `number` asks: up to 30 things.
    pub(super) fn random(number: usize, random: &mut Random) -> Self {
        let mut script = Self { label: format!("s{number}"), ..Self::default() };
        for _ in 0..random.below(30) {
            match random.below(14) {
                0 | 1 => script.simple(random),
                2 => script.failing_query(random),
                3 => script.multi(random),
                4 => script.empty(),
                5 | 6 => script.extended(random),
                7 => script.pipeline(random),
                8 => script.failing_parse(),
                9 => script.copy_in(random),
                10 => script.copy_out(random),
                11 => script.portal(random),
                12 => script.transaction_control(),
                _ => script.function_call(),
            }
        }
        script
    }

    fn text(&mut self, verb: &str) -> String {
        self.count += 1;
        format!("{verb} /* {} {} */", self.label, self.count)
    }

    fn step(&mut self, is_barrier: bool) {
        self.steps.push(Step { is_barrier, ..Step::default() });
    }

    fn asks(&mut self, bytes: &[u8]) {
        self.client_len += bytes.len();
        self.steps.last_mut().expect("a step was begun").client.extend(bytes);
    }

    fn answers(&mut self, bytes: &[u8]) {
        self.server_len += bytes.len();
        self.server_frames.push(self.server_len);
        self.steps.last_mut().expect("a step was begun").server.extend(bytes);
    }

    fn rows(&mut self, random: &mut Random) {
        for _ in 0..random.below(4) {
            self.noise(random);
            self.answers(&row());
        }
    }

    /// What may come at any moment and means nothing to any statement.
    fn noise(&mut self, random: &mut Random) {
        match random.below(12) {
            0 => self.answers(&frame(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mn\0\0")),
            1 => self.answers(&frame(b'A', b"\0\0\0\x01news\0payload\0")),
            2 => self.answers(&frame(b'S', b"TimeZone\0UTC\0")),
            _ => {}
        }
    }

    fn ready(&mut self) {
        let status: &[u8] = if self.in_transaction { b"T" } else { b"I" };
        self.answers(&frame(b'Z', status));
    }

    /// The latest request is a statement that ends with the latest answer.
    fn expect(&mut self, text: String, outcome: Outcome, asked: usize, kind: Kind) {
        let answered = self.server_len;
        self.ledger.push(Ledger { text, outcome, asked, answered, kind });
    }

    fn simple(&mut self, random: &mut Random) {
        self.step(random.one_in(2));
        let text = self.text("select");
        self.asks(&query(&text));
        self.answers(&columns());
        self.rows(random);
        self.answers(&complete("SELECT 1"));
        self.expect(text, Outcome::Ok, self.client_len, Kind::Plain);
        self.noise(random);
        self.ready();
    }

    /// Outside a transaction only: inside, everything behind it would fail as well.
    fn failing_query(&mut self, random: &mut Random) {
        if self.in_transaction {
            return;
        }
        self.step(random.one_in(2));
        let text = self.text("select 1/0");
        self.asks(&query(&text));
        self.rows(random);
        self.answers(&error());
        self.expect(text, Outcome::Error, self.client_len, Kind::Plain);
        self.ready();
    }

    fn multi(&mut self, random: &mut Random) {
        self.step(random.one_in(2));
        let text = self.text("select 1; select 2; select 3");
        self.asks(&query(&text));
        for member in 0..3 {
            self.answers(&columns());
            self.rows(random);
            self.answers(&complete("SELECT 0"));
            let kind = if member == 0 { Kind::Plain } else { Kind::Member };
            self.expect(text.clone(), Outcome::Ok, self.client_len, kind);
        }
        self.ready();
    }

    fn empty(&mut self) {
        self.step(true);
        self.asks(&query(""));
        self.answers(&frame(b'I', b""));
        self.expect(String::new(), Outcome::Ok, self.client_len, Kind::Plain);
        self.ready();
    }

    fn extended(&mut self, random: &mut Random) {
        self.step(random.one_in(2));
        let text = self.text("select");
        let name = if random.one_in(2) { String::new() } else { format!("p{}", self.count) };
        self.asks(&parse(&name, &text));
        self.asks(&bind("", &name));
        self.asks(&frame(b'D', b"P\0"));
        self.asks(&execute("", 0));
        let asked = self.client_len;
        self.asks(&sync());
        self.answers(&frame(b'1', b""));
        self.answers(&frame(b'2', b""));
        self.answers(&columns());
        self.rows(random);
        self.answers(&complete("SELECT 2"));
        self.expect(text, Outcome::Ok, asked, Kind::Plain);
        self.ready();
    }

    /// Several statements before one Sync; one of them may fail, and those behind it are skipped.
    fn pipeline(&mut self, random: &mut Random) {
        self.step(random.one_in(2));
        let length = 2 + random.below(5);
        let fails = if self.in_transaction { length } else { random.below(2 * length) };
        let mut asked = Vec::new();
        for _ in 0..length {
            let text = self.text("update");
            self.asks(&[parse("", &text), bind("", ""), execute("", 0)].concat());
            asked.push((text, self.client_len));
        }
        self.asks(&sync());
        for (at, (text, end)) in asked.into_iter().enumerate() {
            if at > fails {
                self.expect(text, Outcome::Ok, end, Kind::Skipped);
                continue;
            }
            self.answers(&frame(b'1', b""));
            self.answers(&frame(b'2', b""));
            let (answer, outcome) = match at == fails {
                true => (error(), Outcome::Error),
                false => (complete("UPDATE 3"), Outcome::Ok),
            };
            self.answers(&answer);
            self.expect(text, outcome, end, Kind::Plain);
        }
        self.ready();
    }

    fn failing_parse(&mut self) {
        if self.in_transaction {
            return;
        }
        self.step(true);
        let text = self.text("selec");
        self.asks(&parse("", &text));
        self.asks(&[bind("", ""), execute("", 0)].concat());
        let asked = self.client_len;
        self.asks(&sync());
        self.answers(&error());
        self.expect(text, Outcome::Error, asked, Kind::Plain);
        self.ready();
    }

    fn copy_in(&mut self, random: &mut Random) {
        self.step(true);
        let text = self.text("copy t from stdin");
        let is_extended = random.one_in(2);
        if is_extended {
            self.asks(&[parse("", &text), bind("", ""), execute("", 0)].concat());
        } else {
            self.asks(&query(&text));
        }
        let asked = self.client_len;
        if is_extended {
            // Swallowed by the copy, wherever it stands.
            self.asks(&sync());
            self.answers(&frame(b'1', b""));
            self.answers(&frame(b'2', b""));
        }
        self.answers(&frame(b'G', &[0, 0, 0]));
        self.step(true);
        let data: usize = random.below(4);
        (0..data).for_each(|_| self.asks(&frame(b'd', b"1\n")));
        self.asks(&frame(b'c', b""));
        if is_extended {
            self.asks(&sync());
        }
        self.answers(&complete("COPY 4"));
        self.expect(text, Outcome::Ok, asked, Kind::Plain);
        self.ready();
    }

    fn copy_out(&mut self, random: &mut Random) {
        self.step(random.one_in(2));
        let text = self.text("copy t to stdout");
        self.asks(&query(&text));
        self.answers(&frame(b'H', &[0, 0, 0]));
        for _ in 0..random.below(4) {
            self.answers(&frame(b'd', b"1\n"));
            self.noise(random);
        }
        self.answers(&frame(b'c', b""));
        self.answers(&complete("COPY 4"));
        self.expect(text, Outcome::Ok, self.client_len, Kind::Plain);
        self.ready();
    }

    /// A portal in two parts, inside a transaction.
    fn portal(&mut self, random: &mut Random) {
        if !self.in_transaction {
            return;
        }
        let text = self.text("select");
        self.step(true);
        self.asks(&[parse("", &text), bind("c", ""), execute("c", 1)].concat());
        let asked = self.client_len;
        self.asks(&sync());
        self.answers(&frame(b'1', b""));
        self.answers(&frame(b'2', b""));
        self.rows(random);
        self.answers(&frame(b's', b""));
        let suspended = self.server_len;
        self.ready();
        self.step(true);
        self.asks(&execute("c", 0));
        let goes_on = self.client_len;
        self.asks(&sync());
        self.answers(&complete(&format!("SELECT {PORTAL_ROWS}")));
        self.expect(text, Outcome::Ok, asked, Kind::Portal { suspended, goes_on });
        self.ready();
        self.step(true);
        self.asks(&[frame(b'C', b"Pc\0"), sync()].concat());
        self.answers(&frame(b'3', b""));
        self.ready();
    }

    fn transaction_control(&mut self) {
        self.step(true);
        let (verb, tag) =
            if self.in_transaction { ("commit", "COMMIT") } else { ("begin", "BEGIN") };
        let text = self.text(verb);
        self.in_transaction = !self.in_transaction;
        self.asks(&query(&text));
        self.answers(&complete(tag));
        self.expect(text, Outcome::Ok, self.client_len, Kind::Plain);
        self.ready();
    }

    fn function_call(&mut self) {
        self.step(true);
        self.asks(&frame(b'F', &[0, 0, 4, 0, 0, 0, 0, 0, 0, 0]));
        self.answers(&frame(b'V', &[0xFF, 0xFF, 0xFF, 0xFF]));
        self.expect(String::new(), Outcome::Ok, self.client_len, Kind::Plain);
        self.ready();
    }

    /// Whether a frame of the server's stream ends at this offset.
    pub(super) fn server_ends_frame(&self, offset: usize) -> bool {
        offset == 0 || self.server_frames.binary_search(&offset).is_ok()
    }

    /// Both streams in pieces, in an order that a server and a client could make, with times.
    pub(super) fn schedule(&self, random: &mut Random, begin_us: u64) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut now_us = begin_us + 1;
        let (mut asked, mut answered) = (0, 0);
        while answered < self.steps.len() {
            let waits = self.steps[answered..asked].iter().any(|step| step.is_barrier);
            let may_ask = asked < self.steps.len() && !waits && asked < answered + 5;
            let asks = may_ask && (asked == answered || random.one_in(2));
            let (side, bytes) = if asks {
                asked += 1;
                (Side::Client, &self.steps[asked - 1].client)
            } else {
                answered += 1;
                (Side::Server, &self.steps[answered - 1].server)
            };
            self.pieces(random, side, bytes, &mut now_us, &mut chunks);
        }
        chunks
    }

    fn pieces(
        &self,
        random: &mut Random,
        side: Side,
        mut bytes: &[u8],
        now_us: &mut u64,
        chunks: &mut Vec<Chunk>,
    ) {
        let is_fine = random.one_in(3);
        while !bytes.is_empty() {
            let most = if is_fine { 4 } else { bytes.len() };
            let take = (1 + random.below(most)).min(bytes.len());
            let (piece, rest) = bytes.split_at(take);
            *now_us += random.below(300) as u64;
            let read_us = *now_us;
            if random.one_in(4) {
                *now_us += random.below(200) as u64;
            }
            chunks.push(Chunk { side, read_us, written_us: *now_us, bytes: piece.to_vec() });
            bytes = rest;
        }
    }

    /// The records that must exist once so many bytes of each stream were seen and the session ended.
    pub(super) fn expected(&self, client: usize, server: usize, opaque: bool) -> Vec<Expected> {
        let one = |entry: &Ledger| {
            let is_asked = entry.asked <= client;
            let is_answered = entry.answered <= server;
            let outcome = match (is_asked, is_answered, entry.kind) {
                (_, true, Kind::Skipped) | (false, ..) => return None,
                (_, true, _) => Some(entry.outcome),
                (_, _, Kind::Member) => return None,
                (_, _, Kind::Portal { suspended, goes_on }) if suspended <= server => {
                    if opaque {
                        return None;
                    }
                    Some(if goes_on <= client { Outcome::Aborted } else { Outcome::Ok })
                }
                _ if opaque => return None,
                _ => Some(Outcome::Aborted),
            };
            Some(Expected { text: entry.text.clone(), outcome })
        };
        self.ledger.iter().filter_map(one).collect()
    }
}
