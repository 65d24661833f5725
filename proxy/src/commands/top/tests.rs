use super::*;
use crate::export::testing;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

fn data() -> Data {
    Data::from(testing::report())
}

fn state() -> State {
    let mut state = State::new("time", String::new(), Filter::default());
    state.take(data());
    state
}

fn screen(state: &State) -> String {
    let mut terminal = Terminal::new(TestBackend::new(120, 24)).unwrap();
    terminal.draw(|frame| draw::frame(frame, state)).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content.chunks(120);
    rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>() + "\n")
        .collect()
}

fn press(state: &mut State, code: KeyCode) -> Wish {
    state.key(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn the_views_show_what_the_report_has() {
    let mut state = state();
    let first = data().statements[0].summary.clone();
    let text = screen(&state);
    assert!(text.contains("statements/s") && text.contains("ms per s"), "{text}");
    assert!(text.contains(first.split('\n').next().unwrap()), "{text}");
    press(&mut state, KeyCode::F(2));
    let text = screen(&state);
    assert!(text.contains("severity") && text.contains("N+1"), "{text}");
    press(&mut state, KeyCode::F(3));
    let text = screen(&state);
    assert!(
        text.contains("stmts/unit") && text.contains(&data().summary.routes[0].route),
        "{text}"
    );
}

#[test]
fn hostile_text_cannot_steer_the_terminal() {
    for view in [KeyCode::F(1), KeyCode::F(2), KeyCode::F(3)] {
        let mut state = state();
        press(&mut state, view);
        assert!(!screen(&state).chars().any(|c| c.is_control() && c != '\n'));
    }
}

#[test]
fn keys_sort_filter_pause_copy_and_quit() {
    let mut state = state();
    assert_eq!(press(&mut state, KeyCode::Char('s')), Wish::Nothing);
    let calls: Vec<u64> = state.shown().iter().map(|row| row.statement.calls).collect();
    assert!(calls.is_sorted_by(|a, b| a >= b), "{calls:?}");
    press(&mut state, KeyCode::Char(' '));
    assert!(state.is_paused() && screen(&state).contains("PAUSED"));
    press(&mut state, KeyCode::Down);
    let wanted = state.shown()[state.selected].statement.query_text.clone();
    assert_eq!(press(&mut state, KeyCode::Char('c')), Wish::Copy(wanted));
    press(&mut state, KeyCode::Char('/'));
    "nothing_is_called_so".chars().for_each(|c| drop(press(&mut state, KeyCode::Char(c))));
    assert!(state.shown().is_empty() && screen(&state).contains("filter: nothing"));
    press(&mut state, KeyCode::Enter);
    assert_eq!(press(&mut state, KeyCode::Char('c')), Wish::Nothing);
    assert_eq!(press(&mut state, KeyCode::Char('q')), Wish::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(state.key(interrupt), Wish::Interrupt);
}

#[test]
fn a_proxy_that_is_gone_leaves_its_figures() {
    let mut state = state();
    state.lost("connection refused");
    let text = screen(&state);
    assert!(
        text.contains("no answer: connection refused") && text.contains("statements/s"),
        "{text}"
    );
    assert!(refresh("2s").is_ok() && refresh("2").is_err() && refresh("1ms").is_err());
}
