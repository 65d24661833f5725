//! How 64-bit ids stand in lines: as text, because numbers of JSON lose digits in many readers.

/// 64 bits as 16 hexadecimal digits.
pub(super) mod hex16 {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::borrow::Cow;

    pub(in super::super) fn serialize<S: Serializer>(
        value: &u64,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_str(&format_args!("{value:016x}"))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<u64, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        u64::from_str_radix(&text, 16).map_err(|_| D::Error::custom("an id is hexadecimal"))
    }
}

/// The same, or nothing.
pub(super) mod some_hex16 {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::borrow::Cow;

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Option<u64>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::hex16::serialize(value, out),
            None => out.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<u64>, D::Error> {
        let Some(text) = Option::<Cow<str>>::deserialize(from)? else { return Ok(None) };
        let value = u64::from_str_radix(&text, 16);
        value.map(Some).map_err(|_| D::Error::custom("an id is hexadecimal"))
    }
}

/// 64 bits as decimal text.
pub(super) mod number {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::borrow::Cow;

    pub(in super::super) fn serialize<S: Serializer>(
        value: &u64,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_str(value)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<u64, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        text.parse().map_err(|_| D::Error::custom("a number in text"))
    }
}
