//! Which kinds of lines somebody wants.

use std::borrow::Cow;

/// Which kinds of lines are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// `statement`, and the `digest` lines that it needs.
    pub statement: bool,
    /// `transaction`.
    pub transaction: bool,
    /// `connection` and `traffic`.
    pub connection: bool,
    /// `finding`.
    pub finding: bool,
}

impl Kinds {
    /// Everything.
    pub const ALL: Self =
        Self { statement: true, transaction: true, connection: true, finding: true };
    /// What a person watches.
    pub const WATCHED: Self = Self { transaction: false, connection: false, ..Self::ALL };
    /// Names in configuration and on the command line.
    pub const NAMES: [&str; 4] = ["statement", "transaction", "connection", "finding"];

    /// The kinds of these names; none = all.
    pub fn named<'a>(names: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut kinds =
            Self { statement: false, transaction: false, connection: false, finding: false };
        let mut any = false;
        for name in names {
            any = true;
            match name {
                "statement" => kinds.statement = true,
                "transaction" => kinds.transaction = true,
                "connection" => kinds.connection = true,
                "finding" => kinds.finding = true,
                _ => return None,
            }
        }
        Some(if any { kinds } else { Self::ALL })
    }

    /// The names of what is wanted; none = all.
    pub(super) fn names(self) -> Vec<Cow<'static, str>> {
        let given = [self.statement, self.transaction, self.connection, self.finding];
        let named = Self::NAMES.iter().zip(given).filter(|(_, given)| *given);
        let names: Vec<_> = named.map(|(name, _)| Cow::Borrowed(*name)).collect();
        if self == Self::ALL { Vec::new() } else { names }
    }
}
