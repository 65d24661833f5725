//! The screen: a strip of figures, one table, one line of help.

use super::state::{Row as StatementRow, SORTS, State, View};
use crate::commands::plain;
use crate::export::shapes::{Finding, Route, kind_words};
use crate::export::text::{duration, duration_or_dash, percent, short_count};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

/// Draws everything.
pub(super) fn frame(frame: &mut Frame<'_>, state: &State) {
    let areas = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(3),
        Constraint::Length(2),
        Constraint::Length(1),
    ])
    .split(frame.area());
    frame.render_widget(Paragraph::new(strip(state)), areas[0]);
    let mut selected = TableState::default().with_selected(Some(state.selected));
    let table = match state.view {
        View::Statements => statements(state),
        View::Findings => findings(&state.findings),
        View::Routes => routes(&state.routes),
    };
    let table = table.row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, areas[1], &mut selected);
    frame.render_widget(Paragraph::new(detail(state)), areas[2]);
    frame.render_widget(Paragraph::new(help(state)), areas[3]);
}

fn strip(state: &State) -> Vec<Line<'static>> {
    let Some(data) = &state.data else { return vec![Line::from("waiting")] };
    let summary = &data.summary;
    let connections = &summary.connections;
    let found = &summary.findings;
    let first = format!(
        "pgsonde  {:.1} statements/s  p50 {}  p95 {}  p99 {}  errors {}  active {:.2}",
        summary.statements_per_s,
        duration_or_dash(summary.p50_ms),
        duration_or_dash(summary.p95_ms),
        duration_or_dash(summary.p99_ms),
        summary.error_share.map_or_else(|| "–".to_owned(), percent),
        summary.active_statements,
    );
    let second = format!(
        "connections {} active, {} idle, {} idle in transaction   findings {} error, {} warning, {} info",
        connections.active,
        connections.idle,
        connections.idle_in_transaction,
        found.error,
        found.warning,
        found.info,
    );
    vec![Line::from(first), Line::from(second)]
}

fn header(names: &'static [&'static str]) -> Row<'static> {
    let cells = names.iter().map(|name| Cell::from(*name));
    Row::new(cells).style(Style::new().add_modifier(Modifier::BOLD))
}

fn statements(state: &State) -> Table<'static> {
    let rows = state.shown().into_iter().map(statement).collect::<Vec<_>>();
    let widths = [
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Min(20),
    ];
    let names =
        &["share", "ms per s", "total", "calls", "mean", "p99", "rows", "errors", "statement"];
    Table::new(rows, widths).header(header(names))
}

fn statement(row: &StatementRow) -> Row<'static> {
    let item = &row.statement;
    Row::new([
        percent(item.share),
        row.recent_ms_per_s.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}")),
        duration(item.total_ms),
        short_count(item.calls),
        duration_or_dash(item.mean_ms),
        duration_or_dash(item.p99_ms),
        short_count(item.rows),
        short_count(item.errors),
        plain(&item.summary),
    ])
}

fn findings(findings: &[Finding]) -> Table<'static> {
    let rows: Vec<_> = findings
        .iter()
        .map(|finding| {
            Row::new([
                finding.severity.clone(),
                finding.state.clone(),
                kind_words(&finding.kind).to_owned(),
                short_count(finding.sightings),
                duration(finding.cost.busy_total_ms),
                plain(finding.route.as_deref().unwrap_or("-")),
                plain(&finding.sentence),
            ])
        })
        .collect();
    let widths = [
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(20),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Length(18),
        Constraint::Min(20),
    ];
    let names = &["severity", "state", "kind", "seen", "time", "route", "what"];
    Table::new(rows, widths).header(header(names))
}

fn routes(routes: &[Route]) -> Table<'static> {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |n| format!("{n:.1}"));
    let rows: Vec<_> = routes
        .iter()
        .map(|route| {
            Row::new([
                plain(&route.service),
                plain(&route.route),
                short_count(route.units),
                number(route.statements_per_unit),
                duration_or_dash(route.db_ms_per_unit),
                duration_or_dash(route.p95_ms),
                short_count(route.similar),
                short_count(route.duplicate),
            ])
        })
        .collect();
    let widths = [
        Constraint::Length(16),
        Constraint::Min(20),
        Constraint::Length(7),
        Constraint::Length(12),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(9),
    ];
    let names =
        &["service", "route", "units", "stmts/unit", "per unit", "p95", "similar", "duplicate"];
    Table::new(rows, widths).header(header(names))
}

/// The whole text of what is selected.
fn detail(state: &State) -> String {
    match state.view {
        View::Statements => state
            .shown()
            .get(state.selected)
            .map(|row| plain(&row.statement.query_text))
            .unwrap_or_default(),
        View::Findings => {
            state.findings.get(state.selected).map(|one| plain(&one.fix.text)).unwrap_or_default()
        }
        View::Routes => String::new(),
    }
}

fn help(state: &State) -> String {
    if state.typing {
        return format!("filter: {}▏  {}", plain(&state.filter_text), plain(&state.message));
    }
    let paused = if state.is_paused() { "PAUSED  " } else { "" };
    // News stand where a narrow terminal shows them.
    let message = match plain(&state.message) {
        message if message.is_empty() => message,
        message => message + "  ",
    };
    let filter = match state.filter_text.as_str() {
        "" => String::new(),
        text => format!("  filter {}", plain(text)),
    };
    format!(
        "{message}{paused}F1 statements  F2 findings  F3 routes  s sort ({})  / filter  c copy  Space pause  q quit{filter}",
        SORTS[state.sort],
    )
}
