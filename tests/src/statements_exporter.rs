//! What postgres_exporter publishes of `pg_stat_statements`, as far as the dashboards read it: its collector of that
//! name is newer than Debian's package.

use crate::Postgres;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest wait for a request that came.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// An exporter on a port of its own; it ends when dropped.
#[derive(Debug)]
pub struct StatementsExporter {
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StatementsExporter {
    /// Starts it before a server.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start(postgres: &Arc<Postgres>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (postgres, stop) = (Arc::clone(postgres), Arc::clone(&stop));
            std::thread::spawn(move || serve(&listener, &postgres, &stop))
        };
        Self { address, stop, thread: Some(thread) }
    }

    /// Where it is scraped.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for StatementsExporter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for the next scrape.
        let _ = std::net::TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, postgres: &Postgres, stop: &AtomicBool) {
    for stream in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        let _ = stream.set_read_timeout(Some(READ_LIMIT));
        let mut request = [0; 4096];
        if !matches!(stream.read(&mut request), Ok(1..)) {
            continue;
        }
        let body = scrape(postgres);
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close";
        let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    }
}

fn scrape(postgres: &Postgres) -> String {
    let name = "pg_stat_statements_block_read_seconds_total";
    let sql = "select queryid, datname, sum(blk_read_time) / 1000 from pg_stat_statements \
               join pg_database d on d.oid = dbid where queryid <> 0 group by 1, 2";
    let rows = postgres.psql_ok(postgres.port(), sql);
    let mut body = format!("# TYPE {name} counter\n");
    for row in rows.lines() {
        if let [queryid, database, seconds] = row.split('|').collect::<Vec<_>>()[..] {
            body += &format!("{name}{{datname=\"{database}\",queryid=\"{queryid}\"}} {seconds}\n");
        }
    }
    body
}
