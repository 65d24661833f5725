//! What a hostile or broken peer can do around the encryption of either leg, with a client and a server that we play
//! ourselves. Numbers in the names of the tests are the rows of the attack checklist.

use pgsonde_tests::certificates::Authority;
use pgsonde_tests::fake_server::{FakeServer, pass, rest, welcome};
use pgsonde_tests::{Proxy, eventually, paths, raw, run};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
const CANCEL: u32 = 80_877_102;
/// What a handshake without end may add to the resident memory.
const GROWTH_MAX: u64 = 4 << 20;

type Encrypted = StreamOwned<ClientConnection, TcpStream>;

/// A proxy with a certificate before a server that offers no encryption.
struct Stage {
    fake: FakeServer,
    proxy: Proxy,
    authority: Authority,
    _folder: tempfile::TempDir,
}

fn stage(proxy: &str, tls: &str) -> Stage {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::new("an authority");
    let (certificate, key) = authority.sign("localhost").write(folder.path(), "own");
    let config = folder.path().join("pgsonde.toml");
    let text = format!(
        "[proxy]\n{proxy}\n[proxy.tls]\ncert = '{}'\nkey = '{}'\n{tls}\n",
        certificate.display(),
        key.display()
    );
    std::fs::write(&config, text).expect("written");
    let fake = FakeServer::start();
    let upstream = fake.upstream() + "?sslmode=disable";
    let proxy = Proxy::with_upstream(&upstream, &["--config", &config.display().to_string()]);
    Stage { fake, proxy, authority, _folder: folder }
}

impl Stage {
    fn connection(&self, protocols: &[&str]) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).expect("PEM");
        roots.add(root).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        ClientConnection::new(Arc::new(config), "localhost".try_into().expect("a name"))
            .expect("a client")
    }

    /// An encrypted connection, its handshake still to come.
    fn encrypted(&self, direct: bool, protocols: &[&str]) -> Encrypted {
        let mut socket = raw::connect(self.proxy.port());
        if !direct {
            socket.write_all(&raw::SSL_REQUEST).expect("written");
            let mut answer = [0];
            socket.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"S");
        }
        StreamOwned::new(self.connection(protocols), socket)
    }

    fn reached_no_server(&self) {
        assert!(self.fake.try_accept(Duration::from_millis(300)).is_none(), "nothing is forwarded");
    }
}

fn cancel_request(key: usize) -> Vec<u8> {
    let length = u32::try_from(12 + key).expect("short");
    [&length.to_be_bytes()[..], &CANCEL.to_be_bytes(), &vec![7; 4 + key]].concat()
}

/// Whatever ends the stream, an orderly close or a reset; what came before is given.
fn rest_of(stream: &mut Encrypted) -> Vec<u8> {
    stream.sock.set_read_timeout(Some(LIMIT)).expect("a limit");
    let (started, mut bytes) = (Instant::now(), Vec::new());
    let _end = stream.read_to_end(&mut bytes);
    assert!(started.elapsed() < LIMIT, "the stream is still open");
    bytes
}

/// A server that answers each SSLRequest with `answer` and tells what else it was sent.
fn answering(answer: Vec<u8>) -> (u16, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (sender, seen) = channel();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut request = [0; 8];
            if socket.read_exact(&mut request).is_ok() && socket.write_all(&answer).is_ok() {
                // Nobody listens any more once the test is over.
                let _over = sender.send(rest(&mut socket));
            }
        }
    });
    (port, seen)
}

#[test]
fn row_1_bytes_behind_the_servers_answer_are_never_taken_for_its_own() {
    let words = raw::frame(b'E', b"SFATAL\0C08P01\0Munauthenticated words\0\0");
    let smuggled = [&b"S"[..], &raw::frame(b'R', &[0; 4]), &raw::frame(b'Z', b"I")].concat();
    let declined = [&b"N"[..], &welcome()].concat();
    for (mode, answer) in [("require", smuggled), ("prefer", declined), ("require", words)] {
        let name = format!("{mode}, {:?}", answer.escape_ascii().to_string());
        let (port, seen) = answering(answer);
        let upstream = format!("postgresql://127.0.0.1:{port}?sslmode={mode}");
        let proxy = Proxy::with_upstream(&upstream, &[]);
        let mut client = raw::connect(proxy.port());
        client.write_all(&raw::startup()).expect("written");
        let answer = rest(&mut client);
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(b"E") && text.contains("08001"), "{name}: {text}");
        assert!(text.contains("PGS0401") && !text.contains("unauthenticated"), "{name}: {text}");
        let log = proxy.lines().join("\n");
        let words = name.contains("unauthenticated");
        assert_eq!(log.contains("unauthenticated error of the server"), words, "{name}: {log}");
        for bytes in seen.try_iter() {
            assert_eq!(bytes, b"", "{name}: no word to such a server");
        }
    }
}

#[test]
fn row_2_no_encryption_is_asked_for_inside_encryption() {
    let stage = stage("", "");
    for request in [raw::SSL_REQUEST, raw::GSS_ENC_REQUEST] {
        let mut client = stage.encrypted(false, &["postgresql"]);
        client.write_all(&request).expect("written");
        assert_eq!(rest_of(&mut client), b"", "{request:?} inside TLS");
    }
    stage.reached_no_server();
}

#[test]
fn row_3_who_goes_on_in_plain_where_encryption_is_required_is_refused() {
    let stage = stage("", "required = true");
    let mut declined = raw::connect(stage.proxy.port());
    declined.write_all(&raw::GSS_ENC_REQUEST).expect("written");
    let mut answer = [0];
    declined.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"N");
    for mut client in [raw::connect(stage.proxy.port()), declined] {
        client.write_all(&raw::startup()).expect("written");
        let answer = rest(&mut client);
        assert!(answer.windows(5).any(|code| code == b"28000"), "{}", answer.escape_ascii());
    }
    stage.reached_no_server();
    let mut client = stage.encrypted(false, &[]);
    client.write_all(&raw::startup()).expect("written");
    let mut seen = vec![0; raw::startup().len()];
    stage.fake.accept().read_exact(&mut seen).expect("an encrypted start-up is forwarded");
    assert_eq!(seen, raw::startup());
}

#[test]
fn row_7_a_handshake_that_stalls_is_closed_and_costs_no_memory() {
    let stage = stage("startup_timeout = '1s'", "");
    let resident = stage.proxy.resident_bytes();
    let mut hello = Vec::new();
    stage.connection(&["postgresql"]).write_tls(&mut hello).expect("memory takes everything");
    for sent in [0, 1, 5, hello.len() / 2] {
        for direct in [true, false] {
            let mut client = stage.encrypted(direct, &[]).sock;
            client.write_all(&hello[..sent]).expect("written");
            assert_eq!(rest(&mut client), b"", "{sent} bytes of a handshake, direct: {direct}");
        }
    }
    // A ClientHello of 16 MiB, in as many records as that takes.
    let mut client = stage.encrypted(true, &[]).sock;
    let record = [&[0x16, 3, 1, 0x40, 0][..], &vec![0; 0x4000]].concat();
    let mut first = record.clone();
    first[5..9].copy_from_slice(&[1, 0xFF, 0xFF, 0xFF]);
    let mut closed = client.write_all(&first).is_err();
    for _ in 0..1_024 {
        closed = closed || client.write_all(&record).is_err();
    }
    rest(&mut client);
    let grown = stage.proxy.resident_bytes().saturating_sub(resident);
    assert!(grown < GROWTH_MAX, "{grown} bytes more for a ClientHello without end");
    stage.reached_no_server();
}

#[test]
fn row_8_other_protocols_are_refused_by_an_alert() {
    let stage = stage("", "");
    for (direct, protocols) in [(true, &[][..]), (true, &["http/1.1"]), (false, &["http/1.1"])] {
        let mut client = stage.encrypted(direct, protocols);
        // The alert comes while writing or while reading; what is tried afterwards may meet a reset.
        let refused = client.write_all(&raw::startup()).err();
        let error = client.read(&mut [0]).expect_err("no session");
        let text = format!("{refused:?} {error:?}");
        assert!(text.contains("NoApplicationProtocol"), "{direct} {protocols:?}: {text}");
    }
    stage.reached_no_server();
    for (direct, protocols) in [(true, &["postgresql"][..]), (false, &["postgresql"]), (false, &[])]
    {
        let mut client = stage.encrypted(direct, protocols);
        client.write_all(&raw::startup()).expect("written");
        let mut server = stage.fake.accept();
        server.read_exact(&mut vec![0; raw::startup().len()]).expect("a start-up");
        server.write_all(&welcome()).expect("written");
        let mut seen = vec![0; welcome().len()];
        client.read_exact(&mut seen).expect("a welcome");
        assert_eq!(seen, welcome(), "{direct} {protocols:?}");
    }
}

#[test]
fn row_10_cancels_of_every_length_come_through_tls() {
    let stage = stage("", "");
    for key in [4, 32, 256] {
        let request = cancel_request(key);
        let mut client = stage.encrypted(false, &["postgresql"]);
        client.write_all(&request).expect("written");
        let mut server = stage.fake.accept();
        let mut seen = vec![0; request.len()];
        server.read_exact(&mut seen).expect("the request");
        assert_eq!(seen, request, "a key of {key} bytes");
        drop(server);
        assert_eq!(rest_of(&mut client), b"", "closed, and never answered");
    }
    for key in [0, 257, 300] {
        let mut client = stage.encrypted(false, &["postgresql"]);
        client.write_all(&cancel_request(key)).expect("written");
        assert_eq!(rest_of(&mut client), b"", "a key of {key} bytes");
    }
    stage.reached_no_server();
}

#[test]
fn row_37_a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (certificate, key) = Authority::new("a").sign("localhost").write(folder.path(), "own");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("ours");
    let config = folder.path().join("pgsonde.toml");
    let (certificate, shown) = (certificate.display(), key.display());
    std::fs::write(&config, format!("[proxy.tls]\ncert = '{certificate}'\nkey = '{shown}'\n"))
        .expect("written");
    let mut command = Command::new(paths::pgsonde());
    command.args(["proxy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"]);
    command.arg(&config).args(["--upstream", "postgresql://127.0.0.1:1"]);
    let output = run(&mut command, "", LIMIT);
    assert_ne!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("error[PGS"), "{output:?}");
    assert!(output.stderr.contains(&key.display().to_string()), "it names the file: {output:?}");
}

#[test]
fn a_client_that_leaves_for_want_of_encryption_is_explained() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let mut client = raw::connect(proxy.port());
    client.write_all(&raw::SSL_REQUEST).expect("written");
    client.read_exact(&mut [0]).expect("an answer");
    drop(client);
    eventually("PGS0405 stands in the log", LIMIT, || {
        proxy.lines().iter().any(|line| line.contains("PGS0405")).then_some(())
    });
}

#[test]
fn an_idle_session_is_told_why_it_ends_one_in_a_transaction_stays() {
    let stage = stage("idle_timeout = '1s'", "");
    let (mut inside, mut its_server) = stage.fake.session(&stage.proxy);
    pass(&mut inside, &mut its_server, &raw::query("begin"));
    let begun = [raw::frame(b'C', b"BEGIN\0"), raw::frame(b'Z', b"T")].concat();
    pass(&mut its_server, &mut inside, &begun);
    let (mut idle, mut server) = stage.fake.session(&stage.proxy);
    let words = rest(&mut idle);
    assert!(words.windows(5).any(|code| code == b"57P05"), "{}", words.escape_ascii());
    assert_eq!(rest(&mut server), raw::frame(b'X', b""), "and the server is told goodbye");
    pass(&mut inside, &mut its_server, &raw::query("select 1"));
}

#[test]
fn a_name_that_does_not_resolve_fails_the_session_and_not_the_process() {
    let fake = FakeServer::start();
    let port = fake.upstream().rsplit(':').next().expect("a port").to_owned();
    let lost = Proxy::with_upstream("postgresql://no-such-host.invalid:5432", &[]);
    for _ in 0..3 {
        let mut client = raw::connect(lost.port());
        client.write_all(&raw::startup()).expect("written");
        let answer = rest(&mut client);
        assert!(answer.windows(5).any(|code| code == b"08001"), "{}", answer.escape_ascii());
    }
    let (status, health) = lost.http("/ready");
    assert_eq!(status, 200, "it takes sessions");
    assert!(health.contains("\"upstream_ok\":false"), "and says that it has no server: {health}");
    assert_eq!(lost.http("/live").0, 200);
    let upstream = format!("postgresql://no-such-host.invalid:5432,127.0.0.1:{port}");
    let other = Proxy::with_upstream(&upstream, &[]);
    let (mut client, mut server) = fake.session(&other);
    pass(&mut client, &mut server, &raw::query("select 1"));
}

#[test]
fn row_15_thousands_of_connects_in_a_second_leave_nothing_behind() {
    const CONNECTS: usize = 6_000;
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let (mut client, mut server) = fake.session(&proxy);
    let descriptors =
        || std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("the proxy runs").count();
    let before = descriptors();
    let started = Instant::now();
    for number in 0..CONNECTS {
        let mut socket = raw::connect(proxy.port());
        if number % 3 == 0 {
            // One in three says half a word first.
            let _closed = socket.write_all(&raw::startup()[..7]);
        }
    }
    println!("{CONNECTS} connects in {:?}", started.elapsed());
    pass(&mut client, &mut server, &raw::query("select 1"));
    eventually("all sockets are given back", LIMIT, || (descriptors() <= before).then_some(()));
    let (mut client, mut server) = fake.session(&proxy);
    pass(&mut client, &mut server, &raw::query("select 2"));
}
