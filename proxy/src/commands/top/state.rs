//! What the screen shows and what keys do to it.

use super::Data;
use crate::export::shapes::{Finding, Route, Statement, kind_words};
use crate::filter::{Filter, Subject};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::HashMap;

/// Columns by which statements are sorted.
pub(super) const SORTS: [&str; 6] = ["time", "calls", "mean", "p99", "rows", "errors"];

/// Which table is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum View {
    #[default]
    Statements,
    Findings,
    Routes,
}

/// What a key asks of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Quit,
    Interrupt,
    Copy(String),
}

/// A statement with what it did since the look before.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) statement: Statement,
    /// Time in the database per second of wall time since the look before, in milliseconds.
    pub(super) recent_ms_per_s: Option<f64>,
}

pub(super) struct State {
    pub(super) view: View,
    pub(super) sort: usize,
    pub(super) selected: usize,
    pub(super) data: Option<Data>,
    pub(super) rows: Vec<Row>,
    pub(super) findings: Vec<Finding>,
    pub(super) routes: Vec<Route>,
    pub(super) message: String,
    /// Text of the filter; typed into while `typing`.
    pub(super) filter_text: String,
    pub(super) typing: bool,
    filter: Filter,
    paused: bool,
    before: HashMap<(String, String), f64>,
    at: Option<std::time::Instant>,
}

impl State {
    pub(super) fn new(sort: &str, filter_text: String, filter: Filter) -> Self {
        Self {
            view: View::default(),
            sort: SORTS.iter().position(|name| *name == sort).unwrap_or(0),
            selected: 0,
            data: None,
            rows: Vec::new(),
            findings: Vec::new(),
            routes: Vec::new(),
            message: String::new(),
            filter_text,
            typing: false,
            filter,
            paused: false,
            before: HashMap::new(),
            at: None,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// The proxy didn't answer.
    pub(super) fn lost(&mut self, why: &str) {
        self.message = format!("no answer: {why}");
    }

    /// A new look.
    pub(super) fn take(&mut self, data: Data) {
        let now = std::time::Instant::now();
        let seconds = self.at.map(|at| now.duration_since(at).as_secs_f64());
        self.at = Some(now);
        self.message.clear();
        let key = |item: &Statement| (item.database.clone(), item.digest.clone());
        let recent = |item: &Statement| {
            let seconds = seconds.filter(|seconds| *seconds > 0.0)?;
            let before = self.before.get(&key(item)).copied().unwrap_or(0.0);
            Some((item.total_ms - before).max(0.0) / seconds)
        };
        let row = |item: &Statement| Row { recent_ms_per_s: recent(item), statement: item.clone() };
        self.rows = data.statements.iter().map(row).collect();
        self.before = data.statements.iter().map(|item| (key(item), item.total_ms)).collect();
        self.data = Some(data);
        self.arrange();
    }

    /// Filters and sorts what is there.
    fn arrange(&mut self) {
        let Some(data) = &self.data else { return };
        let filter = &self.filter;
        self.findings = data.findings.iter().filter(|f| finding_fits(filter, f)).cloned().collect();
        self.routes =
            data.summary.routes.iter().filter(|route| route_fits(filter, route)).cloned().collect();
        self.routes.sort_by(|a, b| {
            let cost = |route: &Route| route.db_ms_per_unit.unwrap_or(0.0) * route.units as f64;
            cost(b).total_cmp(&cost(a))
        });
        let sort = SORTS[self.sort];
        self.rows.sort_by(|a, b| {
            sort_key(sort, &b.statement)
                .total_cmp(&sort_key(sort, &a.statement))
                .then_with(|| a.statement.digest.cmp(&b.statement.digest))
        });
        self.selected = self.selected.min(self.len().saturating_sub(1));
    }

    /// The statements that fit the filter.
    pub(super) fn shown(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| statement_fits(&self.filter, &row.statement)).collect()
    }

    fn len(&self) -> usize {
        match self.view {
            View::Statements => self.shown().len(),
            View::Findings => self.findings.len(),
            View::Routes => self.routes.len(),
        }
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Wish::Interrupt;
        }
        if self.typing {
            self.type_key(key.code);
            return Wish::Nothing;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Wish::Quit,
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::F(1) | KeyCode::Char('1') => self.show(View::Statements),
            KeyCode::F(2) | KeyCode::Char('2') => self.show(View::Findings),
            KeyCode::F(3) | KeyCode::Char('3') => self.show(View::Routes),
            KeyCode::Char('s') => {
                self.sort = (self.sort + 1) % SORTS.len();
                self.arrange();
            }
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('c') => return self.copy(),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::PageDown => self.step(10),
            KeyCode::PageUp => self.step(-10),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = self.len().saturating_sub(1),
            _ => {}
        }
        Wish::Nothing
    }

    fn show(&mut self, view: View) {
        self.view = view;
        self.selected = 0;
    }

    fn step(&mut self, by: isize) {
        let last = self.len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
    }

    fn copy(&mut self) -> Wish {
        let text = match self.view {
            View::Statements => {
                self.shown().get(self.selected).map(|row| row.statement.query_text.clone())
            }
            View::Findings => self.findings.get(self.selected).and_then(|finding| {
                let child = finding.child.as_ref().map(|child| child.query_text.clone());
                finding.fix.sql.clone().or(child)
            }),
            View::Routes => self.routes.get(self.selected).map(|route| route.route.clone()),
        };
        let Some(text) = text else { return Wish::Nothing };
        self.message = "copied".to_owned();
        Wish::Copy(text)
    }

    fn type_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter | KeyCode::Esc => self.typing = false,
            KeyCode::Backspace => drop(self.filter_text.pop()),
            KeyCode::Char(character) => self.filter_text.push(character),
            _ => return,
        }
        match Filter::parse(&self.filter_text) {
            Ok(filter) => {
                self.filter = filter;
                self.message.clear();
                self.arrange();
            }
            // While a term is typed it is often not one yet: the last whole expression holds.
            Err(why) => self.message = why,
        }
    }
}

fn sort_key(sort: &str, item: &Statement) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let float = |value: u64| value as f64;
    match sort {
        "calls" => float(item.calls),
        "mean" => item.mean_ms.unwrap_or(-1.0),
        "p99" => item.p99_ms.unwrap_or(-1.0),
        "rows" => float(item.rows),
        "errors" => float(item.errors),
        _ => item.total_ms,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn us(ms: Option<f64>) -> Option<u64> {
    ms.map(|ms| (ms * 1e3) as u64)
}

/// Of a statement: its mean duration, its rows per call.
fn statement_fits(filter: &Filter, item: &Statement) -> bool {
    filter.holds(&Subject {
        duration_us: us(item.mean_ms),
        rows: Some(item.rows / item.calls.max(1)),
        sent_bytes: Some(item.sent_bytes / item.calls.max(1)),
        failed: item.errors > 0,
        sqlstate: item.sqlstates.first().map(|state| state.sqlstate.as_str()),
        operation: Some(&item.operation),
        database: Some(&item.database),
        route: item.sources.iter().find_map(|source| source.route.as_deref()),
        digest: u64::from_str_radix(&item.digest, 16).ok(),
        summary: Some(&item.summary),
        text: Some(&item.query_text),
        ..Subject::default()
    })
}

fn finding_fits(filter: &Filter, finding: &Finding) -> bool {
    let child = finding.child.as_ref();
    filter.holds(&Subject {
        kind: Some(&finding.kind),
        database: Some(&finding.db_name),
        service: Some(&finding.service),
        route: finding.route.as_deref(),
        digest: child.and_then(|child| u64::from_str_radix(&child.digest, 16).ok()),
        summary: Some(kind_words(&finding.kind)),
        text: Some(&finding.sentence),
        ..Subject::default()
    })
}

fn route_fits(filter: &Filter, route: &Route) -> bool {
    filter.holds(&Subject {
        duration_us: us(route.db_ms_per_unit),
        service: Some(&route.service),
        route: Some(&route.route),
        summary: Some(&route.route),
        text: Some(&route.service),
        ..Subject::default()
    })
}
