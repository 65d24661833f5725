//! The `pgwire` crate as an independent oracle: it encodes random messages, our views must read them back; and
//! random bytes in well-formed frames must never make a view or the tracker panic.

use bytes::{Bytes, BytesMut};
use pgsonde_tests::transcript::{Chunk, Detail, Side, observe};
use pgsonde_wire::backend::{self, RowDescription};
use pgsonde_wire::frame::{Frame, FrameScanner, FrameSink};
use pgsonde_wire::frontend::{self, Target};
use pgsonde_wire::{Error, foreign};
use pgwire::messages::Message;
use pgwire::messages::data::{
    DataRow, FieldDescription, ParameterDescription, RowDescription as TheirRowDescription,
};
use pgwire::messages::extendedquery::{Bind, Close, Describe, Execute, Parse};
use pgwire::messages::response::{
    CommandComplete, ErrorResponse, ReadyForQuery, TransactionStatus,
};
use pgwire::messages::simplequery::Query;
use pgwire::messages::startup::{ParameterStatus, Startup};
use proptest::collection::vec;
use proptest::prelude::*;

fn encoded(message: &impl Message) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes).expect("the oracle encodes what it was given");
    bytes.to_vec()
}

/// Shows one encoded message to `check`, through the scanner, cut at `cut`.
fn read<T>(bytes: &[u8], cut: usize, check: impl FnMut(&Frame<'_>) -> T) -> T {
    struct Sink<T, F> {
        check: F,
        seen: Option<T>,
    }
    impl<T, F: FnMut(&Frame<'_>) -> T> FrameSink for Sink<T, F> {
        fn wanted(&self, _tag: u8) -> usize {
            usize::MAX
        }
        fn frame(&mut self, frame: Frame<'_>) -> Result<(), Error> {
            self.seen = Some((self.check)(&frame));
            Ok(())
        }
    }
    let mut sink = Sink { check, seen: None };
    let mut scanner = FrameScanner::default();
    let (head, tail) = bytes.split_at(cut % (bytes.len() + 1));
    scanner.feed(head, 1, &mut sink).expect("a well-formed frame");
    scanner.feed(tail, 2, &mut sink).expect("a well-formed frame");
    sink.seen.expect("one whole frame")
}

/// Strings without NUL, as the protocol's are.
fn text() -> impl Strategy<Value = String> {
    "[^\0]{0,40}"
}

fn name() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[^\0]{1,12}")
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(vec(any::<u8>(), 0..30))
}

fn shown(name: &Option<String>) -> &[u8] {
    name.as_deref().unwrap_or_default().as_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn query_and_parse(text in text(), name in name(), types in vec(any::<u32>(), 0..9), cut: usize) {
        let bytes = encoded(&Query::new(text.clone()));
        let seen = read(&bytes, cut, |frame| frontend::query(frame).map(|t| t.bytes.to_vec()));
        prop_assert_eq!(seen, Ok(text.clone().into_bytes()));

        let bytes = encoded(&Parse::new(name.clone(), text.clone(), types.clone()));
        let seen = read(&bytes, cut, |frame| {
            let parse = frontend::Parse::read(frame).expect("a well-formed Parse");
            (parse.name.to_vec(), parse.text.bytes.to_vec(), parse.types().collect::<Vec<_>>())
        });
        prop_assert_eq!(seen, (shown(&name).to_vec(), text.into_bytes(), types));
    }

    #[test]
    fn bind(
        portal in name(),
        statement in name(),
        formats in vec(0_i16..2, 0..4),
        values in vec(value(), 0..9),
        results in vec(0_i16..2, 0..4),
        cut: usize,
    ) {
        let theirs = values.iter().map(|v| v.clone().map(Bytes::from)).collect();
        let message = Bind::new(portal.clone(), statement.clone(), formats.clone(), theirs, results.clone());
        let codes = |codes: &[i16]| codes.iter().flat_map(|code| code.to_be_bytes()).collect::<Vec<_>>();
        let seen = read(&encoded(&message), cut, |frame| {
            let bind = frontend::Bind::read(frame).expect("a well-formed Bind");
            let mut seen = Vec::new();
            let results = bind
                .each_value(|_, value| seen.push(value.map(<[u8]>::to_vec)))
                .expect("well-formed values")
                .map(|formats| formats.bytes().to_vec());
            (bind.portal.to_vec(), bind.statement.to_vec(), bind.formats.bytes().to_vec(), seen, results)
        });
        let expected =
            (shown(&portal).to_vec(), shown(&statement).to_vec(), codes(&formats), values, Some(codes(&results)));
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn describe_close_execute(name in name(), is_portal: bool, rows: i32, cut: usize) {
        let kind = if is_portal { b'P' } else { b'S' };
        let expected = if is_portal { Target::Portal(shown(&name)) } else { Target::Statement(shown(&name)) };
        for bytes in [encoded(&Describe::new(kind, name.clone())), encoded(&Close::new(kind, name.clone()))] {
            let same = read(&bytes, cut, |frame| Target::read(frame) == Ok(expected));
            prop_assert!(same);
        }
        let bytes = encoded(&Execute::new(name.clone(), rows));
        let portal = read(&bytes, cut, |frame| frontend::Execute::read(frame).map(|e| e.portal.to_vec()));
        prop_assert_eq!(portal, Ok(shown(&name).to_vec()));
    }

    #[test]
    fn row_description(columns in vec((text(), any::<i32>(), any::<i16>(), any::<u32>(), 0_i16..2), 0..9), cut: usize) {
        let fields = columns
            .iter()
            .map(|(label, table, attnum, kind, format)| {
                FieldDescription::new(label.clone(), *table, *attnum, *kind, 4, -1, *format)
            })
            .collect();
        let seen = read(&encoded(&TheirRowDescription::new(fields)), cut, |frame| {
            let description = RowDescription::read(frame).expect("a well-formed RowDescription");
            description
                .columns()
                .map(|c| (c.label.to_vec(), c.table_oid as i32, c.attnum, c.type_oid, i16::from(c.binary)))
                .collect::<Vec<_>>()
        });
        let expected: Vec<_> =
            columns.into_iter().map(|(l, t, a, k, f)| (l.into_bytes(), t, a, k, f)).collect();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn data_row(cells in vec(value(), 0..9), cut: usize) {
        let mut data = BytesMut::new();
        for cell in &cells {
            let length = cell.as_ref().map_or(-1, |bytes| bytes.len() as i32);
            data.extend_from_slice(&length.to_be_bytes());
            data.extend_from_slice(cell.as_deref().unwrap_or_default());
        }
        let bytes = encoded(&DataRow::new(data, cells.len() as i16));
        let seen = read(&bytes, cut, |frame| {
            let row = backend::DataRow::read(frame).expect("a well-formed DataRow");
            row.cells().map(|cell| cell.map(<[u8]>::to_vec)).collect::<Vec<_>>()
        });
        prop_assert_eq!(seen, cells);
    }

    #[test]
    fn small_answers(tag in text(), types in vec(any::<u32>(), 0..9), state in "[0-9A-Z]{5}", cut: usize) {
        let bytes = encoded(&CommandComplete::new(tag.clone()));
        prop_assert_eq!(read(&bytes, cut, |f| backend::command_tag(f).map(<[u8]>::to_vec)), Ok(tag.clone().into_bytes()));

        let bytes = encoded(&ParameterDescription::new(types.clone()));
        let seen = read(&bytes, cut, |f| backend::parameter_types(f).expect("well-formed").collect::<Vec<_>>());
        prop_assert_eq!(seen, types);

        for (theirs, ours) in [
            (TransactionStatus::Idle, backend::Status::Idle),
            (TransactionStatus::Transaction, backend::Status::Transaction),
            (TransactionStatus::Error, backend::Status::Failed),
        ] {
            let bytes = encoded(&ReadyForQuery::new(theirs));
            prop_assert_eq!(read(&bytes, cut, backend::ready_status), Ok(ours));
        }

        let fields = vec![(b'S', "FEHLER".into()), (b'V', "ERROR".into()), (b'C', state.clone()), (b'M', tag.clone())];
        let seen = read(&encoded(&ErrorResponse::new(fields)), cut, backend::error_fields);
        prop_assert_eq!((&seen.sqlstate[..], seen.fatal), (state.as_bytes(), false));

        let mut status = BytesMut::new();
        ParameterStatus::new("application_name".into(), tag.clone()).encode(&mut status).expect("encodes");
        let seen = read(&status, cut, |f| backend::parameter_status(f).map(|(n, v)| (n.to_vec(), v.to_vec())));
        prop_assert_eq!(seen, Ok((b"application_name".to_vec(), tag.into_bytes())));
    }

    #[test]
    fn startup(user in "[a-z]{1,9}", database in "[a-z]{1,9}", application in text()) {
        let mut message = Startup::new();
        message.parameters.insert("user".into(), user.clone());
        message.parameters.insert("database".into(), database.clone());
        message.parameters.insert("application_name".into(), application.clone());
        let seen = foreign::startup_parameters(&encoded(&message));
        prop_assert_eq!((seen.user, seen.database, seen.application_name), (user, database, application));
    }

    /// A hostile peer: frames with known and unknown tags and random bodies, in any order from both sides.
    #[test]
    fn random_frames_never_panic(
        frames in vec((any::<bool>(), proptest::sample::select(b"QPBDECSHFdcfXRKZTIs123ntENAGHWV\x00".to_vec()), vec(any::<u8>(), 0..24)), 0..60),
    ) {
        let chunks: Vec<_> = frames
            .into_iter()
            .enumerate()
            .map(|(at, (is_client, tag, body))| {
                let mut bytes = vec![tag];
                bytes.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
                bytes.extend_from_slice(&body);
                let side = if is_client { Side::Client } else { Side::Server };
                let at = 100 + at as u64;
                Chunk { side, read_us: at, written_us: at, bytes }
            })
            .collect();
        let seen = observe(&chunks, Detail::Times);
        prop_assert!(seen.len() <= 2 * chunks.len() + 4, "{} lines from {} frames", seen.len(), chunks.len());
    }
}
