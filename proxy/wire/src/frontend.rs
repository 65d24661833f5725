//! Borrowed views of what a client sends (PostgreSQL manual, "Message Formats").

use crate::Error;
use crate::frame::Frame;
use crate::limits::{BIND_BYTES_MAX, NAME_BYTES_MAX};
use crate::reader::Reader;

/// Tags of the main phase. The same letters mean other things from the server.
#[allow(missing_docs)]
pub mod tag {
    pub const QUERY: u8 = b'Q';
    pub const PARSE: u8 = b'P';
    pub const BIND: u8 = b'B';
    pub const DESCRIBE: u8 = b'D';
    pub const EXECUTE: u8 = b'E';
    pub const CLOSE: u8 = b'C';
    pub const SYNC: u8 = b'S';
    pub const FLUSH: u8 = b'H';
    pub const FUNCTION_CALL: u8 = b'F';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_FAIL: u8 = b'f';
    pub const PASSWORD: u8 = b'p';
    pub const TERMINATE: u8 = b'X';
}

/// Body bytes worth showing of a frame with this tag; of a statement text `text_bytes_max`.
pub fn wanted(tag: u8, text_bytes_max: usize) -> usize {
    match tag {
        tag::QUERY | tag::PARSE => text_bytes_max,
        tag::BIND => BIND_BYTES_MAX,
        tag::DESCRIBE | tag::EXECUTE | tag::CLOSE => 2 * NAME_BYTES_MAX + 16,
        tag::FUNCTION_CALL => 4,
        _ => 0,
    }
}

/// Names are compared over the first 63 bytes only (NAMEDATALEN - 1), as the server does.
fn name(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(NAME_BYTES_MAX)]
}

/// A name at the begin of a body that may have been cut inside the name.
fn leading_name<'a>(reader: &mut Reader<'a>, whole: bool) -> Result<&'a [u8], Error> {
    let before = reader.rest();
    match reader.cstr() {
        Ok(text) => Ok(name(text)),
        Err(_) if !whole && before.len() > NAME_BYTES_MAX => Ok(name(before)),
        Err(error) => Err(error),
    }
}

/// A statement text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// Bytes as sent, without the NUL.
    pub bytes: &'a [u8],
    /// Whether bytes are missing at the end.
    pub cut: bool,
}

fn text<'a>(reader: &mut Reader<'a>, whole: bool) -> Result<Text<'a>, Error> {
    let before = reader.rest();
    match reader.cstr() {
        Ok(bytes) => Ok(Text { bytes, cut: false }),
        Err(_) if !whole => Ok(Text { bytes: before, cut: true }),
        Err(error) => Err(error),
    }
}

/// The text of a `Query`.
///
/// # Errors
/// The text has no NUL.
pub fn query<'a>(frame: &Frame<'a>) -> Result<Text<'a>, Error> {
    text(&mut Reader::new(frame.tag, frame.body), frame.whole)
}

/// `Parse`.
#[derive(Clone, Copy, Debug)]
pub struct Parse<'a> {
    /// Statement name, empty for the unnamed one.
    pub name: &'a [u8],
    /// Statement text.
    pub text: Text<'a>,
    /// Parameter types: big-endian OIDs, 4 bytes each; 0 = unspecified.
    types: &'a [u8],
}

impl<'a> Parse<'a> {
    /// Reads a `Parse` frame.
    ///
    /// # Errors
    /// Strings without NUL, or fewer types than announced.
    pub fn read(frame: &Frame<'a>) -> Result<Self, Error> {
        let mut reader = Reader::new(frame.tag, frame.body);
        let name = leading_name(&mut reader, frame.whole)?;
        let text = text(&mut reader, frame.whole)?;
        let types = match reader.u16() {
            Ok(count) => match reader.bytes(4 * usize::from(count)) {
                Ok(types) => types,
                Err(_) if !frame.whole => &[],
                Err(error) => return Err(error),
            },
            Err(_) if !frame.whole => &[],
            Err(error) => return Err(error),
        };
        Ok(Self { name, text, types })
    }

    /// Parameter type OIDs, in order.
    pub fn types(&self) -> impl Iterator<Item = u32> + 'a {
        self.types.chunks_exact(4).map(|oid| u32::from_be_bytes([oid[0], oid[1], oid[2], oid[3]]))
    }

    /// The types as they came, for hashing.
    pub fn type_bytes(&self) -> &'a [u8] {
        self.types
    }
}

/// Format codes of values: none (all text), one for all, or one for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Formats<'a> {
    codes: &'a [u8],
}

impl<'a> Formats<'a> {
    /// `codes` holds big-endian Int16s.
    pub fn new(codes: &'a [u8]) -> Self {
        Self { codes }
    }

    /// Whether value `index` is binary.
    pub fn is_binary(&self, index: usize) -> bool {
        let at = if self.codes.len() == 2 { 0 } else { 2 * index };
        self.codes.get(at..at + 2).is_some_and(|code| code == [0, 1])
    }

    /// The codes as they came.
    pub fn bytes(&self) -> &'a [u8] {
        self.codes
    }
}

/// `Bind`.
#[derive(Clone, Copy, Debug)]
pub struct Bind<'a> {
    /// Portal name, empty for the unnamed one.
    pub portal: &'a [u8],
    /// Statement name.
    pub statement: &'a [u8],
    /// Formats of the parameter values.
    pub formats: Formats<'a>,
    /// Number of parameter values as announced.
    pub values_count: u16,
    values: Reader<'a>,
    whole: bool,
}

impl<'a> Bind<'a> {
    /// Reads a `Bind` frame up to its first value.
    ///
    /// # Errors
    /// Names without NUL, or fewer format codes than announced.
    pub fn read(frame: &Frame<'a>) -> Result<Self, Error> {
        let mut reader = Reader::new(frame.tag, frame.body);
        let portal = name(reader.cstr()?);
        let statement = name(reader.cstr()?);
        let count = reader.u16()?;
        let (formats, values_count) = match reader.bytes(2 * usize::from(count)) {
            Ok(codes) => (Formats::new(codes), reader.u16()?),
            // Tens of thousands of format codes, one for each value: the frame was cut inside them, no value
            // was kept.
            Err(_) if !frame.whole => {
                reader = Reader::new(frame.tag, &[]);
                (Formats::default(), count)
            }
            Err(error) => return Err(error),
        };
        Ok(Self { portal, statement, formats, values_count, values: reader, whole: frame.whole })
    }

    /// Shows each value with its index; NULL is `None`. Returns the result formats, or `None` where the
    /// frame was cut before them.
    ///
    /// # Errors
    /// A value reaches beyond a frame that was not cut.
    pub fn each_value(
        &self,
        mut show: impl FnMut(usize, Option<&'a [u8]>),
    ) -> Result<Option<Formats<'a>>, Error> {
        let mut reader = self.values;
        for index in 0..usize::from(self.values_count) {
            match reader.value() {
                Ok(value) => show(index, value),
                Err(_) if !self.whole => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let formats = reader.u16().and_then(|count| reader.bytes(2 * usize::from(count)));
        match formats {
            Ok(codes) => Ok(Some(Formats::new(codes))),
            Err(_) if !self.whole => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What a `Describe` or `Close` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Prepared statement.
    Statement(&'a [u8]),
    /// Portal.
    Portal(&'a [u8]),
}

impl<'a> Target<'a> {
    /// Reads a `Describe` or `Close` frame.
    ///
    /// # Errors
    /// The kind is neither `S` nor `P`, or the name has no NUL.
    pub fn read(frame: &Frame<'a>) -> Result<Self, Error> {
        let mut reader = Reader::new(frame.tag, frame.body);
        match reader.u8()? {
            b'S' => leading_name(&mut reader, frame.whole).map(Self::Statement),
            b'P' => leading_name(&mut reader, frame.whole).map(Self::Portal),
            _ => Err(reader.malformed()),
        }
    }
}

/// `Execute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    /// Portal name.
    pub portal: &'a [u8],
    /// Whether it asks for a limited number of rows.
    pub row_limited: bool,
}

impl<'a> Execute<'a> {
    /// Reads an `Execute` frame.
    ///
    /// # Errors
    /// The name has no NUL.
    pub fn read(frame: &Frame<'a>) -> Result<Self, Error> {
        let mut reader = Reader::new(frame.tag, frame.body);
        let portal = leading_name(&mut reader, frame.whole)?;
        // 0 and below mean all rows.
        Ok(Self { portal, row_limited: reader.i32().is_ok_and(|rows| rows > 0) })
    }
}
