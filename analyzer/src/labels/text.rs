//! How a label is spelled: UTF-8, bounded, without what changes from process to process.

use crate::text::cut;
use std::sync::Arc;

/// Bytes of a client as a label: lossy UTF-8, cut at `max_bytes` on a character border.
pub(crate) fn label(bytes: &[u8], max_bytes: usize) -> Arc<str> {
    let text = String::from_utf8_lossy(bytes);
    Arc::from(cut(&text, max_bytes))
}

/// The service behind an `application_name`: numbers and hexadecimal ids masked, `unknown` if empty.
pub fn service_of(application_name: &str) -> String {
    let mut out = String::with_capacity(application_name.len());
    let mut word = String::new();
    for character in application_name.trim().chars() {
        if character.is_alphanumeric() {
            word.push(character);
        } else {
            mask(&mut out, &word);
            word.clear();
            out.push(character);
        }
    }
    mask(&mut out, &word);
    if out.is_empty() { "unknown".to_owned() } else { out }
}

/// Fewest characters from which a word of hexadecimal digits is taken for an id.
const ID_CHARACTERS_MIN: usize = 8;

fn mask(out: &mut String, word: &str) {
    let digits = word.chars().any(|c| c.is_ascii_digit());
    let hexadecimal =
        word.len() >= ID_CHARACTERS_MIN && word.chars().all(|c| c.is_ascii_hexdigit());
    if digits && hexadecimal {
        out.push('?');
        return;
    }
    let mut in_number = false;
    for character in word.chars() {
        let digit = character.is_ascii_digit();
        match (digit, in_number) {
            (true, false) => out.push('?'),
            (true, true) => {}
            (false, _) => out.push(character),
        }
        in_number = digit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services() {
        for (name, service) in [
            ("", "unknown"),
            ("  ", "unknown"),
            ("web", "web"),
            ("web-12", "web-?"),
            ("web12b3", "web?b?"),
            ("app-3f2b9c10-4e5d", "app-?-?e?d"),
            ("deadbeef", "deadbeef"),
            ("deadbee1", "?"),
            ("Größe 7", "Größe ?"),
        ] {
            assert_eq!(service_of(name), service, "{name}");
        }
    }

    #[test]
    fn labels_are_cut_on_a_character_border() {
        assert_eq!(&*label("aé".as_bytes(), 2), "a");
        assert_eq!(&*label("aé".as_bytes(), 3), "aé");
        assert_eq!(&*label(b"a\xff", 10), "a\u{fffd}");
        assert_eq!(&*label(b"", 0), "");
    }
}
