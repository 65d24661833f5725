//! Borrowed views of what a server sends (PostgreSQL manual, "Message Formats").

use crate::Error;
use crate::frame::Frame;
use crate::limits::{
    DATA_ROW_BYTES_MAX, DESCRIPTION_BYTES_MAX, ERROR_BYTES_MAX, PARAMETER_STATUS_BYTES_MAX,
    TAG_BYTES_MAX,
};
use crate::reader::Reader;

/// Tags of the server. The same letters mean other things from a client.
#[allow(missing_docs)]
pub mod tag {
    pub const AUTHENTICATION: u8 = b'R';
    pub const BACKEND_KEY_DATA: u8 = b'K';
    pub const PARAMETER_STATUS: u8 = b'S';
    pub const READY_FOR_QUERY: u8 = b'Z';
    pub const ROW_DESCRIPTION: u8 = b'T';
    pub const DATA_ROW: u8 = b'D';
    pub const COMMAND_COMPLETE: u8 = b'C';
    pub const EMPTY_QUERY: u8 = b'I';
    pub const PORTAL_SUSPENDED: u8 = b's';
    pub const PARSE_COMPLETE: u8 = b'1';
    pub const BIND_COMPLETE: u8 = b'2';
    pub const CLOSE_COMPLETE: u8 = b'3';
    pub const NO_DATA: u8 = b'n';
    pub const PARAMETER_DESCRIPTION: u8 = b't';
    pub const ERROR: u8 = b'E';
    pub const NOTICE: u8 = b'N';
    pub const NOTIFICATION: u8 = b'A';
    pub const COPY_IN: u8 = b'G';
    pub const COPY_OUT: u8 = b'H';
    pub const COPY_BOTH: u8 = b'W';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const FUNCTION_RESULT: u8 = b'V';
    pub const NEGOTIATE_VERSION: u8 = b'v';
}

/// Body bytes of an authentication request: its code and the first mechanism's name, never an answer.
const AUTHENTICATION_BYTES_MAX: usize = 20;

/// Body bytes worth showing of a frame with this tag; `rows` tells whether DataRows are looked at now.
pub fn wanted(tag: u8, rows: bool) -> usize {
    match tag {
        tag::DATA_ROW if rows => DATA_ROW_BYTES_MAX,
        tag::ROW_DESCRIPTION | tag::PARAMETER_DESCRIPTION => DESCRIPTION_BYTES_MAX,
        tag::COMMAND_COMPLETE => TAG_BYTES_MAX,
        tag::ERROR => ERROR_BYTES_MAX,
        tag::PARAMETER_STATUS => PARAMETER_STATUS_BYTES_MAX,
        tag::READY_FOR_QUERY => 1,
        tag::AUTHENTICATION => AUTHENTICATION_BYTES_MAX,
        tag::BACKEND_KEY_DATA => 4,
        _ => 0,
    }
}

/// One column of a `RowDescription`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Label.
    pub label: &'a [u8],
    /// OID of the table, 0 for an expression.
    pub table_oid: u32,
    /// Attribute number, 0 for an expression.
    pub attnum: i16,
    /// OID of the type.
    pub type_oid: u32,
    /// Whether values come in binary; a statement's description always says text.
    pub binary: bool,
}

/// `RowDescription`.
#[derive(Clone, Copy, Debug)]
pub struct RowDescription<'a> {
    /// Number of columns as announced.
    pub count: u16,
    columns: Reader<'a>,
}

impl<'a> RowDescription<'a> {
    /// Reads the frame and checks every column.
    ///
    /// # Errors
    /// Fewer columns than announced in a frame that was not cut.
    pub fn read(frame: &Frame<'a>) -> Result<Self, Error> {
        let mut reader = Reader::new(frame.tag, frame.body);
        let description = Self { count: reader.u16()?, columns: reader };
        for _ in 0..description.count {
            match column(&mut reader) {
                Ok(_) => {}
                Err(_) if !frame.whole => break,
                Err(error) => return Err(error),
            }
        }
        Ok(description)
    }

    /// The columns in order; fewer than `count` where the frame was cut.
    pub fn columns(&self) -> impl Iterator<Item = Column<'a>> + Clone {
        let mut reader = self.columns;
        (0..self.count).map_while(move |_| column(&mut reader).ok())
    }
}

fn column<'a>(reader: &mut Reader<'a>) -> Result<Column<'a>, Error> {
    let label = reader.cstr()?;
    let table_oid = reader.u32()?;
    let attnum = reader.i16()?;
    let type_oid = reader.u32()?;
    reader.bytes(6)?;
    let binary = reader.u16()? == 1;
    Ok(Column { label, table_oid, attnum, type_oid, binary })
}

/// `DataRow`.
#[derive(Clone, Copy, Debug)]
pub struct DataRow<'a> {
    cells: Reader<'a>,
    count: u16,
    size: u64,
}

impl<'a> DataRow<'a> {
    /// Reads the head of the frame.
    ///
    /// # Errors
    /// The body is shorter than its count.
    pub fn read(frame: &Frame<'a>) -> Result<Self, Error> {
        let mut reader = Reader::new(frame.tag, frame.body);
        Ok(Self { count: reader.u16()?, cells: reader, size: frame.size })
    }

    /// Bytes of the whole frame, also of what was cut.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The length of each cell in bytes (0 for NULL) and its content. A cell that reaches beyond a cut frame has a
    /// length and no content, and is the last one.
    pub fn sized_cells(&self) -> impl Iterator<Item = (u64, Option<&'a [u8]>)> {
        let mut reader = self.cells;
        let size = self.size;
        (0..self.count).map_while(move |_| {
            let Ok(len) = usize::try_from(reader.i32().ok()?) else { return Some((0, None)) };
            let content = reader.bytes(len).ok();
            if content.is_none() {
                reader = Reader::new(tag::DATA_ROW, &[]);
            }
            (len as u64 <= size).then_some((len as u64, content))
        })
    }

    /// The cells in order, NULL as `None`. Ends early where the frame was cut or lies.
    pub fn cells(&self) -> impl Iterator<Item = Option<&'a [u8]>> {
        let mut reader = self.cells;
        (0..self.count).map_while(move |_| reader.value().ok())
    }
}

/// The parameter types of a `ParameterDescription`.
///
/// # Errors
/// Fewer types than announced in a frame that was not cut.
pub fn parameter_types<'a>(frame: &Frame<'a>) -> Result<impl Iterator<Item = u32> + 'a, Error> {
    let mut reader = Reader::new(frame.tag, frame.body);
    let count = usize::from(reader.u16()?);
    if frame.whole && reader.rest().len() < 4 * count {
        return Err(reader.malformed());
    }
    Ok((0..count).map_while(move |_| reader.u32().ok()))
}

/// The tag of a `CommandComplete`, without NUL.
///
/// # Errors
/// It has no NUL.
pub fn command_tag<'a>(frame: &Frame<'a>) -> Result<&'a [u8], Error> {
    let mut reader = Reader::new(frame.tag, frame.body);
    match reader.cstr() {
        Err(_) if !frame.whole => Ok(frame.body),
        tag => tag,
    }
}

/// Rows of a completion tag: its last word, if that is a number ("INSERT 0 5", "SELECT 3"); else 0.
pub fn tag_rows(tag: &[u8]) -> u64 {
    let digits = tag.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let has_word_before = tag.len() > digits && tag[tag.len() - digits - 1] == b' ';
    if digits == 0 || !has_word_before {
        return 0;
    }
    tag[tag.len() - digits..]
        .iter()
        .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

/// What an `ErrorResponse` says about itself. Its texts are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorFields {
    /// Field `C`; "00000" where it is absent.
    pub sqlstate: [u8; 5],
    /// Field `V` (or `S` where `V` is absent) is FATAL or PANIC.
    pub fatal: bool,
}

/// Reads the fields of an `ErrorResponse`; a broken one yields what could be read.
pub fn error_fields(frame: &Frame<'_>) -> ErrorFields {
    let mut reader = Reader::new(frame.tag, frame.body);
    let mut fields = ErrorFields { sqlstate: *b"00000", fatal: false };
    let mut untranslated = false;
    while let Ok(kind @ 1..) = reader.u8() {
        let Ok(value) = reader.cstr() else { break };
        match kind {
            b'C' => fields.sqlstate = value.try_into().unwrap_or(fields.sqlstate),
            b'V' => (fields.fatal, untranslated) = (is_fatal(value), true),
            b'S' if !untranslated => fields.fatal = is_fatal(value),
            _ => {}
        }
    }
    fields
}

/// The message of an `ErrorResponse` (field `M`), if it has one.
pub fn error_message<'a>(frame: &Frame<'a>) -> Option<&'a [u8]> {
    let mut reader = Reader::new(frame.tag, frame.body);
    while let Ok(kind @ 1..) = reader.u8() {
        let value = reader.cstr().ok()?;
        if kind == b'M' {
            return Some(value);
        }
    }
    None
}

fn is_fatal(severity: &[u8]) -> bool {
    matches!(severity, b"FATAL" | b"PANIC")
}

/// Transaction status of a `ReadyForQuery`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// `I`
    #[default]
    Idle,
    /// `T`
    Transaction,
    /// `E`
    Failed,
}

/// Reads a `ReadyForQuery`.
///
/// # Errors
/// The status is none of `I T E`.
pub fn ready_status(frame: &Frame<'_>) -> Result<Status, Error> {
    let mut reader = Reader::new(frame.tag, frame.body);
    match reader.u8()? {
        b'I' => Ok(Status::Idle),
        b'T' => Ok(Status::Transaction),
        b'E' => Ok(Status::Failed),
        _ => Err(reader.malformed()),
    }
}

/// Name and value of a `ParameterStatus`; of one that was cut, as much of them as there is.
///
/// # Errors
/// The strings have no NUL in a frame that was not cut.
pub fn parameter_status<'a>(frame: &Frame<'a>) -> Result<(&'a [u8], &'a [u8]), Error> {
    let mut reader = Reader::new(frame.tag, frame.body);
    let name = match reader.cstr() {
        Err(_) if !frame.whole => return Ok((frame.body, b"")),
        name => name?,
    };
    let rest = reader.rest();
    match reader.cstr() {
        Ok(value) => Ok((name, value)),
        Err(_) if !frame.whole => Ok((name, rest)),
        Err(error) => Err(error),
    }
}

/// Code of an `Authentication` message, or process id of a `BackendKeyData`.
///
/// # Errors
/// The body is shorter than 4 bytes.
pub fn leading_u32(frame: &Frame<'_>) -> Result<u32, Error> {
    Reader::new(frame.tag, frame.body).u32()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Frame<'_> {
        Frame { tag, size: body.len() as u64 + 5, body, whole: true, first_us: 0, last_us: 0 }
    }

    #[test]
    fn rows_of_tags() {
        let table: [(&[u8], u64); 10] = [
            (b"SELECT 3", 3),
            (b"INSERT 0 15", 15),
            (b"COPY 1000000", 1_000_000),
            (b"BEGIN", 0),
            (b"CREATE TABLE", 0),
            (b"", 0),
            (b"42", 0),
            (b"FETCH 0", 0),
            (b"SELECT 99999999999999999999999", u64::MAX),
            (b"SELECT ", 0),
        ];
        for (tag, rows) in table {
            assert_eq!(tag_rows(tag), rows, "{:?}", String::from_utf8_lossy(tag));
        }
    }

    #[test]
    fn error_fields_survive_translation_and_damage() {
        let table: [(&[u8], &[u8; 5], bool); 6] = [
            (b"SERROR\0VERROR\0C23505\0Mduplicate\0\0", b"23505", false),
            (b"SFATALE\0VFATAL\0C57P01\0\0", b"57P01", true),
            (b"SFATAL\0C28P01\0\0", b"28P01", true),
            (b"VERROR\0SFATAL\0C42601\0\0", b"42601", false),
            (b"SERROR\0C42", b"00000", false),
            (b"", b"00000", false),
        ];
        for (body, sqlstate, fatal) in table {
            let fields = error_fields(&frame(b'E', body));
            assert_eq!((&fields.sqlstate, fields.fatal), (sqlstate, fatal), "{body:?}");
        }
    }

    #[test]
    fn false_counts_are_errors_not_panics() {
        assert!(RowDescription::read(&frame(b'T', &[0, 2, b'a', 0])).is_err());
        assert!(parameter_types(&frame(b't', &[0, 3, 0, 0, 0, 23])).is_err());
        let row = DataRow::read(&frame(b'D', &[0, 2, 0, 0, 0, 1, b'x'])).unwrap();
        assert_eq!(row.cells().collect::<Vec<_>>(), [Some(&b"x"[..])]);
        assert!(DataRow::read(&frame(b'D', &[0])).is_err());
        assert!(ready_status(&frame(b'Z', b"X")).is_err());
    }
}
