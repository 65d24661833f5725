//! Stand-in.
use super::{Class, Part, TextInfo};
use crate::value::Salt;
/// Stand-in.
pub fn read(raw: &[u8], _salt: &Salt) -> TextInfo {
    let text = String::from_utf8_lossy(raw).into_owned();
    let class = if text.starts_with("SELECT") { Class::Read } else { Class::Control };
    let part = Part {
        shape: crate::value::text_key(raw).0,
        redacted: text.clone(),
        parser_text: text,
        class,
        readable: true,
        ..Part::default()
    };
    TextInfo { parts: vec![part], ..TextInfo::default() }
}
