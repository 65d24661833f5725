//! What one request sends.

use super::Truth;
use super::chance::Chance;
use super::shop::Query;

/// One statement of a request.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) query: &'static Query,
    /// Its text with placeholders.
    pub(super) sql: String,
    pub(super) binds: Vec<i64>,
    /// By column.
    pub(super) cells: Vec<Vec<i64>>,
    pub(super) rows: u64,
    pub(super) us: u64,
    /// Pause of the client before it.
    pub(super) think_us: u64,
    /// Connection of the request.
    pub(super) lane: usize,
}

/// One request.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Groups of statements; each is one transaction in that mode.
    pub(super) groups: Vec<Vec<Step>>,
    pub(super) truths: Vec<Truth>,
    think_us: u64,
    lane: usize,
}

impl Script {
    /// Pause before each further statement, about.
    pub(super) fn thinks(&mut self, us: u64) {
        self.think_us = us;
    }

    /// Further statements go over that connection.
    pub(super) fn lane(&mut self, lane: usize) {
        self.lane = lane;
    }

    /// Ends a transaction and begins another.
    pub(super) fn commit(&mut self) {
        self.groups.push(Vec::new());
    }

    /// One statement whose result has these columns.
    pub(super) fn exec(
        &mut self,
        chance: &mut Chance,
        query: &'static Query,
        binds: &[i64],
        cells: Vec<Vec<i64>>,
    ) {
        let rows = cells.first().map_or(1, |column| column.len() as u64);
        self.push(chance, query, query.sql.to_owned(), binds, (cells, rows));
    }

    /// One statement with a list of keys.
    pub(super) fn list(
        &mut self,
        chance: &mut Chance,
        query: &'static Query,
        keys: &[i64],
        cells: Vec<Vec<i64>>,
    ) {
        if keys.is_empty() {
            return;
        }
        let parameters: Vec<String> = (1..=keys.len()).map(|n| format!("${n}")).collect();
        let sql = format!("{}({})", query.sql, parameters.join(", "));
        let rows = cells.first().map_or(0, |column| column.len() as u64);
        self.push(chance, query, sql, keys, (cells, rows));
    }

    fn push(
        &mut self,
        chance: &mut Chance,
        query: &'static Query,
        sql: String,
        binds: &[i64],
        (cells, rows): (Vec<Vec<i64>>, u64),
    ) {
        let us = query.us / 2 + chance.wait(query.us / 2) + 50;
        let think_us = 30 + chance.wait(self.think_us.max(80));
        let lane = self.lane;
        let step = Step { query, sql, binds: binds.to_vec(), cells, rows, us, think_us, lane };
        match self.groups.last_mut() {
            Some(group) => group.push(step),
            None => self.groups.push(vec![step]),
        }
    }

    /// Notes a planted loop, if it is one that can be told: five values at least.
    pub(super) fn plant(&mut self, parent: &Query, field: u16, child: &Query, n: usize) {
        if n >= 5 {
            let (parent, child) = (parent.sql.to_owned(), child.sql.to_owned());
            self.truths.push(Truth { parent, field, child, n: n as u64 });
        }
    }
}
