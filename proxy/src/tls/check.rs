//! Do both legs show the same certificate? SCRAM channel binding only passes if they do.

/// What the comparison of both legs says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Legs {
    /// No certificate of ours; the server leg is plain.
    Plain,
    /// No certificate of ours; the server leg has TLS (mode A).
    ServerOnly,
    /// Our certificate; the server leg is plain (mode C).
    ClientOnly,
    /// The same certificate on both legs (mode B).
    Same,
    /// Two certificates (mode E).
    Different,
}

/// Compares our certificate with that of the server, both DER, where the leg has one.
pub(crate) fn compare(own: Option<&[u8]>, server: Option<&[u8]>) -> Legs {
    match (own, server) {
        (None, None) => Legs::Plain,
        (None, Some(_)) => Legs::ServerOnly,
        (Some(_), None) => Legs::ClientOnly,
        (Some(own), Some(server)) if own == server => Legs::Same,
        (Some(_), Some(_)) => Legs::Different,
    }
}

/// Whether a certificate is signed by Ed25519, for which no binding hash is defined: its last parts are the
/// algorithm 1.3.101.112 and a bit string of 64 bytes.
pub(crate) fn is_ed25519(der: &[u8]) -> bool {
    const SIGNATURE_HEAD: [u8; 10] = [0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x41, 0];
    let at = der.len().checked_sub(SIGNATURE_HEAD.len() + 64);
    at.and_then(|at| der.get(at..at + SIGNATURE_HEAD.len())) == Some(&SIGNATURE_HEAD[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table() {
        let (ours, theirs): (&[u8], &[u8]) = (b"ours", b"theirs");
        let rows = [
            (None, None, Legs::Plain),
            (None, Some(theirs), Legs::ServerOnly),
            (Some(ours), None, Legs::ClientOnly),
            (Some(ours), Some(ours), Legs::Same),
            (Some(ours), Some(theirs), Legs::Different),
        ];
        for (own, server, expected) in rows {
            assert_eq!(compare(own, server), expected);
        }
    }

    #[test]
    fn knows_ed25519_by_its_signature() {
        let head = [0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x41, 0];
        let signed = [&[1, 2, 3][..], &head, &[9; 64]].concat();
        assert!(is_ed25519(&signed));
        assert!(!is_ed25519(&signed[..signed.len() - 1]));
        assert!(!is_ed25519(b"short"));
    }
}
