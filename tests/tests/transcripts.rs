//! Golden transcripts, each whole, byte by byte, and in many random splits: the records never change.

use pgsonde_tests::paths;
use pgsonde_tests::transcript::{Chunk, Detail, Side, Transcript, observe};

/// Random splits per transcript.
const SPLITS: u64 = 1_000;

fn transcripts() -> Vec<(String, Transcript)> {
    let folder = paths::workspace().join("tests/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pgt"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a readable transcript");
            let name = path.file_stem().expect("a file name").to_string_lossy().into_owned();
            (name, Transcript::parse(&text))
        })
        .collect()
}

#[test]
fn give_the_expected_records() {
    let transcripts = transcripts();
    assert!(transcripts.len() >= 10, "only {} transcripts were found", transcripts.len());
    for (name, transcript) in transcripts {
        let seen = observe(&transcript.chunks, Detail::Times);
        assert_eq!(seen.join("\n"), transcript.expected.join("\n"), "transcript {name}");
    }
}

#[test]
fn byte_by_byte_gives_the_same_records_and_times() {
    for (name, transcript) in transcripts() {
        let bytes: Vec<_> = transcript.chunks.iter().flat_map(single_bytes).collect();
        let seen = observe(&bytes, Detail::Times);
        assert_eq!(seen.join("\n"), transcript.expected.join("\n"), "transcript {name}");
    }
}

/// The last byte carries the write that came late.
fn single_bytes(chunk: &Chunk) -> Vec<Chunk> {
    let last = chunk.bytes.len() - 1;
    let one = |(index, byte): (usize, &u8)| Chunk {
        bytes: vec![*byte],
        written_us: if index == last { chunk.written_us } else { chunk.read_us },
        ..*chunk
    };
    chunk.bytes.iter().enumerate().map(one).collect()
}

#[test]
fn any_split_gives_the_same_facts() {
    for (name, transcript) in transcripts() {
        let whole = observe(&transcript.chunks, Detail::Facts);
        for seed in 0..SPLITS {
            let split = resplit(&transcript.chunks, seed);
            let seen = observe(&split, Detail::Facts);
            assert_eq!(seen.join("\n"), whole.join("\n"), "transcript {name}, seed {seed}");
        }
    }
}

/// Joins neighbours of one side and cuts them at random places.
fn resplit(chunks: &[Chunk], seed: u64) -> Vec<Chunk> {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut result: Vec<Chunk> = Vec::new();
    for chunk in chunks {
        for piece in chunk.bytes.chunks(1 + random.below(12)) {
            match result.last_mut() {
                Some(last) if last.side == chunk.side && random.below(3) == 0 => {
                    last.bytes.extend_from_slice(piece);
                    (last.read_us, last.written_us) = (chunk.read_us, chunk.written_us);
                }
                _ => result.push(Chunk { bytes: piece.to_vec(), ..*chunk }),
            }
        }
    }
    result
}

/// Xorshift: small, seeded, good enough to cut strings.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn a_client_that_sends_ahead_gives_the_same_facts() {
    // In these conversations a client could send everything before it reads an answer.
    for (name, transcript) in transcripts() {
        if !matches!(
            name.as_str(),
            "simple" | "multi_statement" | "pipeline" | "transactions" | "portals"
        ) {
            continue;
        }
        let whole = observe(&transcript.chunks, Detail::Facts);
        let (client, server): (Vec<_>, Vec<_>) =
            transcript.chunks.iter().cloned().partition(|chunk| chunk.side == Side::Client);
        let ahead: Vec<_> = client.into_iter().chain(server).collect();
        let seen = observe(&ahead, Detail::Facts);
        assert_eq!(seen.join("\n"), whole.join("\n"), "transcript {name}");
    }
}
