//! What a request asks for: ids and query strings, checked before anything is rendered.

use super::super::api::{FindingQuery, Page, Sort, StatementQuery};
use super::super::clock::{TimeRange, moment, now_unix_us};
use super::answers::{Refusal, bad};
use crate::filter::Filter;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use std::collections::BTreeMap;

/// Items of a list that asks for none in particular.
const LIMIT_DEFAULT: usize = 50;
/// Most items of a list.
const LIMIT_MAX: usize = 500;

/// The query string as axum reads it.
pub(super) type Parameters = Result<Query<BTreeMap<String, String>>, QueryRejection>;

pub(super) fn hex(text: &str, digits: usize) -> Result<u64, Refusal> {
    let fits = text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = fits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
    number.ok_or_else(|| bad(format!("an id has {digits} hexadecimal digits")))
}

pub(super) fn given(parameters: Parameters) -> Result<BTreeMap<String, String>, Refusal> {
    match parameters {
        Ok(Query(map)) => Ok(map),
        Err(_) => Err(bad("the query string cannot be read".to_owned())),
    }
}

/// A parameter that does nothing would make its answer a lie.
pub(super) fn none_left(given: &BTreeMap<String, String>) -> Result<(), Refusal> {
    match given.keys().next() {
        Some(name) => Err(bad(format!("unknown parameter `{}`", name.escape_debug()))),
        None => Ok(()),
    }
}

/// `limit` and `cursor`.
pub(super) fn page(given: &mut BTreeMap<String, String>) -> Result<Page, Refusal> {
    let limit = match given.remove("limit") {
        None => Some(LIMIT_DEFAULT),
        Some(text) => text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)),
    };
    let limit = limit.ok_or_else(|| bad(format!("`limit` is a number from 1 to {LIMIT_MAX}")))?;
    let offset = match given.remove("cursor") {
        None => Some(0),
        Some(text) => text.parse().ok(),
    };
    let offset =
        offset.ok_or_else(|| bad("`cursor` is the `next_cursor` of the page before".to_owned()))?;
    Ok(Page { offset, limit })
}

/// `from` and `to`; `None` where neither is given.
pub(super) fn range(given: &mut BTreeMap<String, String>) -> Result<Option<TimeRange>, Refusal> {
    let now_us = now_unix_us();
    let mut read = |name: &str| match given.remove(name) {
        None => Ok(None),
        Some(text) => moment(&text, now_us).map(Some).ok_or_else(|| {
            bad(format!("`{name}` is a moment such as 2026-11-23T05:00:00Z, or -15m before now"))
        }),
    };
    let range = match (read("from")?, read("to")?) {
        (None, None) => return Ok(None),
        (from_us, to_us) => {
            TimeRange { from_us: from_us.unwrap_or(0), to_us: to_us.unwrap_or(u64::MAX) }
        }
    };
    match range.from_us < range.to_us {
        true => Ok(Some(range)),
        false => Err(bad("`from` is before `to`".to_owned())),
    }
}

pub(super) fn statement_query(parameters: Parameters) -> Result<StatementQuery, Refusal> {
    let mut given = given(parameters)?;
    let page = page(&mut given)?;
    let sort = match given.remove("sort") {
        None => Sort::default(),
        Some(text) => Sort::parse(&text).ok_or_else(|| {
            bad("`sort` is one of time, calls, mean, p99, rows, bytes, errors".to_owned())
        })?,
    };
    let [database, service, route] =
        ["database", "service", "route"].map(|name| given.remove(name));
    let range = range(&mut given)?;
    if range.is_some() && sort == Sort::P99 {
        return Err(bad("within a time range 99 % quantiles are not known: `sort` is one of time, calls, mean, rows, bytes, errors".to_owned()));
    }
    let filter = given.remove("q").unwrap_or_default();
    let filter = Filter::parse(&filter).map_err(|why| bad(format!("`q`: {why}")))?;
    none_left(&given)?;
    Ok(StatementQuery { sort, database, service, route, filter, range, page })
}

/// `sort` and the page of a list that has no other parameters.
pub(super) fn sorted<T: Default>(
    parameters: Parameters,
    parse: fn(&str) -> Option<T>,
    words: &str,
) -> Result<(T, Page), Refusal> {
    let mut given = given(parameters)?;
    let page = page(&mut given)?;
    let sort = match given.remove("sort") {
        None => T::default(),
        Some(text) => parse(&text).ok_or_else(|| bad(format!("`sort` is one of {words}")))?,
    };
    none_left(&given)?;
    Ok((sort, page))
}

pub(super) fn finding_query(parameters: Parameters) -> Result<FindingQuery, Refusal> {
    let mut given = given(parameters)?;
    let query = FindingQuery {
        page: page(&mut given)?,
        kind: given.remove("kind"),
        severity: given.remove("severity"),
        state: given.remove("state"),
        range: range(&mut given)?,
    };
    none_left(&given)?;
    Ok(query)
}
