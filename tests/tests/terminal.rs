//! `pgsonde top` in a real terminal: tmux stands for the one that people use.

use pgsonde_tests::{Postgres, Proxy, eventually, paths, run};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A server of tmux of its own, with one window; gone with its value.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn start(command: &str) -> Self {
        let terminal = Self { socket: format!("pgsonde-{}", std::process::id()) };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "110", "-y", "30", "sh"]);
        terminal.keys(&[command, "Enter"]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        tmux.args(["-L", &self.socket]).args(arguments).env("TERM", "xterm-256color");
        let output = run(&mut tmux, "", LIMIT);
        assert!(output.is_ok(), "{arguments:?}: {output:?}");
        output.stdout
    }

    fn keys(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        self.tmux(&arguments);
    }

    /// What stands on the screen once it holds `words`.
    fn shows(&self, words: &str) -> String {
        self.is(words, |screen| screen.contains(words))
    }

    fn is(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        eventually(what, LIMIT, || {
            Some(self.tmux(&["capture-pane", "-p"])).filter(|text| holds(text))
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

#[test]
fn top_shows_filters_sorts_and_leaves_the_terminal_as_it_was() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, &[]);
    postgres.psql_ok(
        proxy.port(),
        "create table apples (id int); create table pears (id int);
         insert into apples values (1); select id from apples; select id from pears;",
    );
    proxy.settle();
    let program = paths::pgsonde();
    let command =
        format!("echo before; {} top {}; echo left with $?", program.display(), proxy.admin());
    let terminal = Terminal::start(&command);
    let screen = terminal.shows("SELECT apples");
    assert!(screen.contains("statements/s") && screen.contains("SELECT pears"), "{screen}");
    assert!(screen.contains("s sort (time)"), "{screen}");
    terminal.keys(&["s"]);
    terminal.is("another order", |screen| !screen.contains("s sort (time)"));
    terminal.keys(&["/", "pears", "Enter"]);
    let screen = terminal.is("the filter", |screen| !screen.contains("SELECT apples"));
    assert!(screen.contains("SELECT pears"), "{screen}");
    terminal.keys(&["q"]);
    let screen = terminal.shows("left with 0");
    assert!(screen.contains("before") && !screen.contains("statements/s"), "{screen}");
    // The echo of keys works again.
    terminal.keys(&["echo typed again", "Enter"]);
    terminal.shows("\ntyped again");
}
