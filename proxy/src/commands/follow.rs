//! Follows the event stream of a running proxy, over its restarts, until Ctrl-C.

use crate::export::source::base;
use crate::problem::Problem;
use std::io::{BufRead as _, BufReader, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use ureq::Agent;
use url::Url;

/// Lines that wait to be shown; then the proxy's own bound holds.
const MESSAGES_MAX: usize = 1_024;
/// Pause before a proxy that ended is asked again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest line.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Longest message of a refusal.
const REFUSAL_BYTES_MAX: u64 = 64 << 10;

/// What the follower tells.
#[derive(Debug)]
pub(crate) enum Message {
    /// One line of the stream.
    Line(String),
    /// Something for people.
    Note(String),
    /// Ctrl-C.
    Interrupted,
    /// It can't go on.
    Ended(Problem),
}

/// How following ended.
#[derive(Debug)]
pub(crate) enum Followed {
    /// It couldn't go on.
    Ended(Problem),
    /// Ctrl-C.
    Interrupted,
    /// Nobody reads any more.
    Unread,
}

/// Threads that read the stream and wait for Ctrl-C.
pub(crate) struct Follower {
    ended: Arc<AtomicBool>,
}

impl Follower {
    /// Begins to follow.
    ///
    /// # Errors
    /// PGS0204: the URL.
    pub(crate) fn start(
        source: &str,
        query: Vec<(String, String)>,
    ) -> Result<(Receiver<Message>, Self), Problem> {
        let mut url = base(source)?;
        url.set_path("/api/v1/events");
        url.query_pairs_mut().extend_pairs(query);
        let (sender, receiver) = sync_channel(MESSAGES_MAX);
        let ended = Arc::new(AtomicBool::new(false));
        let follower = Self { ended: Arc::clone(&ended) };
        interrupts(sender.clone())?;
        std::thread::spawn(move || Stream { url, sender, ended }.run());
        Ok((receiver, follower))
    }

    /// Follows no longer; the threads go with the process.
    pub(crate) fn end(&self) {
        self.ended.store(true, Relaxed);
    }
}

/// Tells of Ctrl-C.
pub(crate) fn interrupts(sender: SyncSender<Message>) -> Result<(), Problem> {
    let broken = |error: std::io::Error| Problem::new(102, format!("cannot start: {error}"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            let _nobody = sender.send(Message::Interrupted);
        }
    });
    Ok(())
}

struct Stream {
    url: Url,
    sender: SyncSender<Message>,
    ended: Arc<AtomicBool>,
}

/// Why one connection ended.
enum Cut {
    /// It can be tried again.
    Lost(Problem),
    /// The proxy refuses, and would again.
    Refused(Problem),
    /// Nobody listens to us any more.
    Unheard,
}

impl Stream {
    fn run(self) {
        let mut connected = false;
        let mut told = false;
        while !self.ended.load(Relaxed) {
            let mut lines = 0_u64;
            let cut = self.connection(&mut lines);
            if lines > 0 {
                connected = true;
                told = false;
            }
            match cut {
                Cut::Unheard => return,
                Cut::Refused(problem) => return self.tell(Message::Ended(problem)),
                Cut::Lost(problem) if !connected => return self.tell(Message::Ended(problem)),
                Cut::Lost(_) if !told => {
                    told = true;
                    self.tell(Message::Note(
                        "the proxy has ended; waiting until it is back".to_owned(),
                    ));
                }
                Cut::Lost(_) => {}
            }
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    fn tell(&self, message: Message) {
        // Whoever listened has gone, and so does the process.
        let _gone = self.sender.send(message);
    }

    fn connection(&self, lines: &mut u64) -> Cut {
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        let agent: Agent = config.new_agent();
        let mut request = agent.get(self.url.as_str());
        // What a proxy on a foreign address wants, as in the environment of an audited command.
        if let Ok(token) = std::env::var("PGSONDE_TOKEN") {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut response = match request.call() {
            Ok(response) => response,
            Err(error) => return Cut::Lost(self.unreachable(&error)),
        };
        if !response.status().is_success() {
            let body = response.body_mut().with_config().limit(REFUSAL_BYTES_MAX).read_to_string();
            return Cut::Refused(
                self.refused(response.status().as_u16(), &body.unwrap_or_default()),
            );
        }
        let mut reader = BufReader::new(response.into_body().into_reader());
        loop {
            let mut line = Vec::new();
            match (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return Cut::Lost(self.ended_problem()),
                Ok(_) => {}
            }
            if *lines == 0 && !line.starts_with(b"{") {
                return Cut::Refused(self.foreign());
            }
            *lines += 1;
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if self.sender.send(Message::Line(line)).is_err() || self.ended.load(Relaxed) {
                return Cut::Unheard;
            }
        }
    }

    fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    fn unreachable(&self, error: &ureq::Error) -> Problem {
        let text = error.to_string();
        let text = text.strip_prefix("io: ").unwrap_or(&text);
        Problem::new(501, format!("cannot follow {}", self.origin()))
            .note(text.split(" (os error").next().unwrap_or(text))
            .help("is the proxy running? Its admin URL is what `pgsonde proxy` printed, usually http://127.0.0.1:9635")
    }

    fn ended_problem(&self) -> Problem {
        Problem::new(501, format!("{} ended the stream", self.origin()))
    }

    fn foreign(&self) -> Problem {
        Problem::new(502, format!("{} is not the admin listener of a pgsonde proxy", self.origin()))
            .help("the application's port speaks PostgreSQL; the admin port (usually 9635) speaks HTTP")
    }

    fn refused(&self, status: u16, body: &str) -> Problem {
        let said: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let Some(detail) = said["detail"].as_str() else { return self.foreign() };
        let problem = Problem::new(501, format!("{} refused ({status})", self.origin()))
            .note(super::plain(detail));
        match said["help"].as_str() {
            Some(help) => problem.help(super::plain(help)),
            None => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(10);

    /// Answers each connection with one of these bodies and closes it.
    fn serve(bodies: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for body in bodies {
                let (mut client, _) = listener.accept().unwrap();
                let mut request = [0; 2_048];
                let _asked = client.read(&mut request);
                let _sent = client.write_all(body.as_bytes());
            }
        });
        format!("http://{address}")
    }

    fn said(messages: &Receiver<Message>) -> String {
        match messages.recv_timeout(LIMIT).unwrap() {
            Message::Line(line) => format!("line {line}"),
            Message::Note(note) => format!("note {note}"),
            Message::Interrupted => "interrupted".to_owned(),
            Message::Ended(problem) => format!("ended {}", problem.code_text()),
        }
    }

    #[test]
    fn a_restart_is_survived_with_a_message() {
        const BODY: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"ev\":\"alive\"}\n";
        let url = serve(&[BODY, "", BODY]);
        let (messages, follower) = Follower::start(&url, Vec::new()).unwrap();
        assert_eq!(said(&messages), "line {\"ev\":\"alive\"}");
        assert!(said(&messages).starts_with("note the proxy has ended"));
        assert_eq!(said(&messages), "line {\"ev\":\"alive\"}", "and no second note");
        follower.end();
    }

    #[test]
    fn refusals_and_foreign_servers_end_it() {
        const REFUSAL: &str =
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{\"detail\":\"`q`: no\"}";
        const FOREIGN: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>\n";
        for (bodies, ended) in [
            (&[REFUSAL] as &[_], "ended PGS0501"),
            (&[FOREIGN], "ended PGS0502"),
            (&[""], "ended PGS0501"),
        ] {
            let (messages, _follower) = Follower::start(&serve(bodies), Vec::new()).unwrap();
            assert_eq!(said(&messages), ended);
        }
    }
}
