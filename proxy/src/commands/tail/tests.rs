use super::*;
use crate::commands::follow::Message;
use std::sync::mpsc::channel;

fn statement(session: u32, digest: &str, more: &str) -> Message {
    Message::Line(format!(
        "{{\"ev\":\"statement\",\"proxy_id\":\"0123456789ab\",\"ts_us\":1795366743123456,\"session\":\"{session}\",\
         \"digest\":\"{digest}\",\"service\":\"web\",\"route\":\"/orders\",\"duration_us\":812,\"rows\":1{more},\"outcome\":\"ok\"}}"
    ))
}

fn digest(digest: &str, summary: &str) -> Message {
    Message::Line(format!(
        "{{\"ev\":\"digest\",\"proxy_id\":\"x\",\"ts_us\":1,\"digest\":\"{digest}\",\"db_operation\":\"select\",\
         \"summary\":\"{summary}\",\"source\":\"parser\"}}"
    ))
}

fn printed(messages: Vec<Message>, json: bool, colours: bool) -> Vec<String> {
    let (sender, receiver) = channel();
    messages.into_iter().for_each(|message| sender.send(message).unwrap());
    let mut printer =
        Printer { out: Vec::new(), fold: Fold::default(), paint: Paint::new(colours), json };
    let sender = std::thread::spawn(move || {
        std::thread::sleep(FOLD_WAIT * 3);
        let _ended = sender.send(Message::Interrupted);
    });
    assert!(matches!(printer.follow(&receiver), Followed::Interrupted));
    sender.join().unwrap();
    String::from_utf8(printer.out).unwrap().lines().map(str::to_owned).collect()
}

const ORDERS: &str = "00000000000000aa";
const ITEMS: &str = "00000000000000bb";

#[test]
fn repetitions_fold_per_session_and_everything_is_shown() {
    let mut messages = vec![digest(ORDERS, "SELECT orders"), digest(ITEMS, "SELECT items")];
    messages.push(statement(1, ORDERS, ""));
    messages.push(statement(2, ORDERS, ""));
    messages.extend((0..17).map(|_| statement(1, ITEMS, "")));
    messages.push(statement(1, ORDERS, ""));
    let lines = printed(messages, false, false);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(
        lines[0],
        "16:59:03.123   812 µs      1 web          /orders              SELECT orders"
    );
    assert_eq!(
        lines[1],
        "16:59:03.123  13.8 ms     17 web          /orders              SELECT items  ×17"
    );
}

#[test]
fn errors_gaps_findings_and_hostile_text_stay_on_their_line() {
    let messages = vec![
        digest(ITEMS, "SELECT \\u001b[2J\\u202eitems"),
        statement(1, ITEMS, ",\"err_sqlstate\":\"57014\""),
        Message::Line("{\"ev\":\"gap\",\"proxy_id\":\"x\",\"ts_us\":1,\"until_us\":2,\"dropped\":9,\"reason\":\"max_rate\"}".to_owned()),
        Message::Line("{\"ev\":\"alive\",\"proxy_id\":\"x\",\"ts_us\":1}".to_owned()),
        Message::Line("{\"ev\":\"later\",\"new\":1}".to_owned()),
        Message::Line("no JSON".to_owned()),
    ];
    let lines = printed(messages, false, false);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("9 skipped (max_rate)"), "{lines:?}");
    assert!(!lines[1].contains('\u{1b}') && !lines[1].contains('\u{202e}'), "{lines:?}");
}

#[test]
fn json_is_passed_on_and_colours_are_asked_for() {
    let lines = printed(vec![statement(1, ITEMS, "")], true, false);
    assert!(lines[0].starts_with("{\"ev\":\"statement\""), "{lines:?}");
    let lines = printed(vec![statement(1, ITEMS, "")], false, true);
    assert!(lines[0].contains("\u{1b}[2m"), "{lines:?}");
}
