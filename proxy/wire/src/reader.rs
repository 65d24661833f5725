//! Reads integers and strings out of one frame body, never beyond it.

use crate::Error;

/// A cursor over one body.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
    tag: u8,
}

impl<'a> Reader<'a> {
    /// Reads `body`; errors name `tag`.
    pub fn new(tag: u8, body: &'a [u8]) -> Self {
        Self { rest: body, len: body.len(), tag }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The error for the present position.
    pub fn malformed(&self) -> Error {
        let offset = u32::try_from(self.len - self.rest.len()).unwrap_or(u32::MAX);
        Error::Malformed { tag: self.tag as char, offset }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(self.malformed())?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// None is left.
    pub fn u8(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A count of 16 bits (the protocol's Int16 read as unsigned, as the server does for parameters).
    ///
    /// # Errors
    /// Fewer than 2 bytes are left.
    pub fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    /// An Int16.
    ///
    /// # Errors
    /// Fewer than 2 bytes are left.
    pub fn i16(&mut self) -> Result<i16, Error> {
        self.array().map(i16::from_be_bytes)
    }

    /// An OID.
    ///
    /// # Errors
    /// Fewer than 4 bytes are left.
    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    /// An Int32.
    ///
    /// # Errors
    /// Fewer than 4 bytes are left.
    pub fn i32(&mut self) -> Result<i32, Error> {
        self.array().map(i32::from_be_bytes)
    }

    /// A value with its length in front; `None` is NULL (length -1).
    ///
    /// # Errors
    /// The length is below -1 or beyond the body.
    pub fn value(&mut self) -> Result<Option<&'a [u8]>, Error> {
        match self.i32()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| self.malformed())?;
                self.bytes(len).map(Some)
            }
        }
    }

    /// A string up to its NUL; the NUL is consumed.
    ///
    /// # Errors
    /// There is no NUL.
    pub fn cstr(&mut self) -> Result<&'a [u8], Error> {
        let text = std::ffi::CStr::from_bytes_until_nul(self.rest)
            .map_err(|_| self.malformed())?
            .to_bytes();
        self.rest = &self.rest[text.len() + 1..];
        Ok(text)
    }
}
