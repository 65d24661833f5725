//! A proxy that exports, statements that are recognised in a store, and what may go wrong in between.

use crate::clickhouse::ClickHouse;
use crate::{Postgres, Proxy, eventually, paths};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Rows of the statements that [`load`] sends.
pub const STATEMENTS: &str = "SELECT count() FROM pgsonde_statements WHERE db_operation = 'select'";

/// The PostgreSQL of a suite.
pub fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start)
}

/// A proxy that exports to `url`, with more lines below `[export.clickhouse]`.
///
/// # Panics
/// If it doesn't start.
pub fn exporting(folder: &Path, url: &str, more: &str) -> Proxy {
    Proxy::configured(Path::new(&configuration(folder, url, more)))
}

/// A proxy whose files are at most a kilobyte long: to it, the disk is full.
///
/// # Panics
/// If it doesn't start.
pub fn exporting_to_a_full_disk(folder: &Path, url: &str, more: &str) -> Proxy {
    let file = configuration(folder, url, more);
    // An ignored signal stays ignored over exec, and the write fails instead.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" --config \"$1\" proxy";
    let program = paths::pgsonde().display().to_string();
    Proxy::started(Path::new("/bin/bash"), &["-c", script, &program, &file])
}

fn configuration(folder: &Path, url: &str, more: &str) -> String {
    let spool = folder.join("spool").display().to_string();
    let file = folder.join("pgsonde.toml");
    let given = more.contains("batch_interval");
    let interval = if given { "" } else { "batch_interval = \"100ms\"\n" };
    let text = format!(
        "[proxy]\nupstream = \"{}\"\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [export.clickhouse]\nurl = \"{url}\"\nspool = \"{spool}\"\n{interval}{more}\n",
        server().upstream(),
    );
    std::fs::write(&file, text).expect("the configuration is written");
    file.display().to_string()
}

/// `count` statements that are recognised by their table.
pub fn load(proxy: &Proxy, table: &str, count: usize) {
    let sql: String =
        (0..count).map(|n| format!("select {n} from {table} where n = {n};\n")).collect();
    server().psql_ok(proxy.port(), &sql);
}

/// A table with one row.
pub fn table(name: &str) {
    let sql = format!("create table {name}(n int); insert into {name} values (1)");
    server().psql_ok(server().port(), &sql);
}

/// Waits until so many statements are there, and sees that each is there once.
///
/// # Panics
/// If one is missing, or there twice.
pub fn each_once(clickhouse: &ClickHouse, count: u64) {
    eventually("the statements arrive", LIMIT, || {
        (clickhouse.number(STATEMENTS) >= count).then_some(())
    });
    assert_eq!(clickhouse.number(STATEMENTS), count);
    let distinct = "SELECT uniqExact(proxy_id, session, seq) FROM pgsonde_statements WHERE db_operation = 'select'";
    assert_eq!(clickhouse.number(distinct), count);
    let summed = "SELECT sumMerge(calls) FROM pgsonde_minutes WHERE db_operation = 'select'";
    // The view gets a row a moment after its table.
    eventually("the sums by minute", LIMIT, || (clickhouse.number(summed) >= count).then_some(()));
    assert_eq!(clickhouse.number(summed), count, "the sums by minute counted each once");
}

/// A metric of the exports, over all of its series.
pub fn exported(proxy: &Proxy, name: &str) -> f64 {
    proxy.metrics().sum(&format!("pgsonde_export_{name}"))
}

/// What happens to inserts on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// The store has them, the answer is lost.
    LosesAnswers,
    /// The store has them, the first half of the answer's bytes arrive.
    HalvesAnswers,
    /// Half of the bytes reach the store, and then nothing more.
    HalvesRequests,
    /// The store says that its disk is full.
    FullDisk,
}

/// Between proxy and store: passes everything on, and makes trouble while it is told to.
pub struct Between {
    port: u16,
    trouble: Arc<Mutex<Trouble>>,
    met: Arc<AtomicU64>,
}

impl Between {
    /// Before a store on loopback.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn before(store: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let between = Self {
            port,
            trouble: Arc::new(Mutex::new(Trouble::None)),
            met: Arc::new(AtomicU64::new(0)),
        };
        let (trouble, met) = (Arc::clone(&between.trouble), Arc::clone(&between.met));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let relay = Relay { trouble: Arc::clone(&trouble), met: Arc::clone(&met) };
                std::thread::spawn(move || relay.run(client, store));
            }
        });
        between
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What happens from now on.
    pub fn does(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Inserts that met trouble.
    pub fn met(&self) -> u64 {
        self.met.load(Relaxed)
    }
}

#[derive(Clone)]
struct Relay {
    trouble: Arc<Mutex<Trouble>>,
    met: Arc<AtomicU64>,
}

impl Relay {
    fn now(&self) -> Trouble {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut client: TcpStream, store: u16) {
        let Ok(mut server) = TcpStream::connect(("127.0.0.1", store)) else { return };
        let (Ok(up_from), Ok(up_to)) = (client.try_clone(), server.try_clone()) else { return };
        let insert = Arc::new(AtomicBool::new(false));
        let (up, is_insert) = (self.clone(), Arc::clone(&insert));
        std::thread::spawn(move || up.requests(up_from, up_to, &is_insert));
        let mut buffer = [0; 16_384];
        while let Ok(n @ 1..) = server.read(&mut buffer) {
            let passes = match self.now() {
                Trouble::LosesAnswers if insert.load(Relaxed) => 0,
                Trouble::HalvesAnswers if insert.load(Relaxed) => n / 2,
                _ => n,
            };
            let written = client.write_all(&buffer[..passes]);
            if passes < n {
                self.met.fetch_add(1, Relaxed);
                break;
            }
            if written.is_err() {
                break;
            }
        }
        let _ended = client.shutdown(Shutdown::Both);
    }

    /// Parts as they come.
    fn requests(&self, mut from: TcpStream, mut to: TcpStream, is_insert: &AtomicBool) {
        let mut buffer = [0; 16_384];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..n]);
            if text.starts_with("POST ") {
                is_insert.store(text.contains("INSERT"), Relaxed);
            }
            if is_insert.load(Relaxed) && self.stops(&mut from, &mut to, &buffer[..n]) {
                self.met.fetch_add(1, Relaxed);
                break;
            }
            if to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        let _ended = to.shutdown(Shutdown::Write);
    }

    /// Whether the request ends here.
    fn stops(&self, client: &mut TcpStream, store: &mut TcpStream, part: &[u8]) -> bool {
        match self.now() {
            Trouble::HalvesRequests => {
                // All of the head, and what there is of the body but for its last bytes.
                let _sent = store.write_all(&part[..part.len() - part.len() / 8 - 1]);
                let _ended = client.shutdown(Shutdown::Both);
                true
            }
            Trouble::FullDisk => {
                let words = "Code: 243, e.displayText() = DB::Exception: Cannot reserve 1.00 MiB, not enough space";
                let head =
                    "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length:";
                let _sent = write!(client, "{head} {}\r\n\r\n{words}", words.len());
                let _ended = client.shutdown(Shutdown::Write);
                true
            }
            _ => false,
        }
    }
}
