//! What is kept of one result while it comes in: hashes of its key-like cells, and where its bytes are.

use super::outbox::Outbox;
use super::plan::Formats;
use pgsonde_analyzer::record::{ResultColumn, Span, Tag};
use pgsonde_analyzer::value::{SELECTED_COLUMNS_MAX, Salt, SelectedColumns};
use pgsonde_wire::backend::DataRow;
use pgsonde_wire::tracker::Ended;

/// Rows hashed per result (`findings.n_plus_one.result_rows`).
#[derive(Clone, Copy, Debug)]
pub(super) struct RowsMax(pub(super) usize);

impl Default for RowsMax {
    fn default() -> Self {
        Self(1_024)
    }
}

/// Cells hashed per result (`value_cells_max`), for each row that may be hashed.
const VALUE_CELLS_PER_ROW: usize = 4;

/// Bytes of cells hashed per result (`value_scan_max_kib`). Other cells cost their length word only.
const VALUE_SCAN_BYTES_MAX: usize = 64 * 1024;

/// A scratch vector that grew above this many cells is given back after its result.
const SCRATCH_CELLS_KEPT: usize = 1_024;

/// Rows of which the bytes per column are summed (`wide_sample_rows_max`).
const WIDE_SAMPLE_ROWS_MAX: u32 = 128;

/// Columns whose bytes are told apart; those of later ones count as nobody's.
const WIDE_SAMPLE_COLUMNS_MAX: usize = 64;

/// Results with an answer below this many bytes keep no sample.
const WIDE_SAMPLE_BYTES_MIN: u64 = 32 * 1024;

/// The result that is coming in, or that ended and waits for its times.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    begun: bool,
    columns: SelectedColumns,
    formats: Formats,
    /// Row by row, `columns.len()` cells each.
    cells: Vec<u32>,
    pub(super) rows_max: RowsMax,
    rows: usize,
    bytes: usize,
    truncated: bool,
    /// Bytes by column, over the sampled rows.
    widths: Vec<u64>,
    sampled_rows: u32,
    sampled_bytes: u64,
}

impl Scratch {
    /// Forgets the result.
    pub(super) fn clear(&mut self) {
        self.begun = false;
        self.columns = SelectedColumns::default();
        self.cells.clear();
        self.cells.shrink_to(SCRATCH_CELLS_KEPT);
        (self.rows, self.bytes, self.truncated) = (0, 0, false);
        self.widths.clear();
        (self.sampled_rows, self.sampled_bytes) = (0, 0);
    }

    /// A result with these columns begins.
    pub(super) fn begin(&mut self, columns: SelectedColumns, formats: Formats) {
        self.clear();
        self.begun = true;
        (self.columns, self.formats) = (columns, formats);
    }

    /// Whether the columns of the result are known.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether rows or cells beyond the limits were not hashed.
    pub(super) fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Whether another row is of interest.
    pub(super) fn wants_more(&self) -> bool {
        self.samples() || (!self.columns.is_empty() && !self.truncated)
    }

    fn samples(&self) -> bool {
        self.sampled_rows < WIDE_SAMPLE_ROWS_MAX
    }

    /// Hashes the selected cells of a row (or notes that a limit was reached) and sums its bytes by column.
    pub(super) fn add(&mut self, row: &DataRow<'_>, salt: &Salt) {
        let width = self.columns.len();
        self.truncated |= width > 0
            && (self.rows >= self.rows_max.0
                || self.cells.len() + width > self.rows_max.0 * VALUE_CELLS_PER_ROW
                || self.bytes > VALUE_SCAN_BYTES_MAX);
        let hashes = width > 0 && !self.truncated;
        match (self.samples(), hashes) {
            (true, _) => self.sample(row, salt, hashes),
            (false, true) => self.hash(row, salt),
            (false, false) => {}
        }
        if hashes {
            self.rows += 1;
            // A row that ends early (cut, or lying about its count) counts as NULLs.
            self.cells.resize(self.rows * width, 0);
        }
    }

    fn hash(&mut self, row: &DataRow<'_>, salt: &Salt) {
        let mut selected = self.columns.as_slice().iter().peekable();
        for (field, cell) in (0_u16..).zip(row.cells()) {
            let Some(column) = selected.peek() else { break };
            if column.field == field {
                self.bytes += cell.map_or(0, <[u8]>::len);
                let binary = self.formats.is_binary(field);
                self.cells.push(cell.map_or(0, |bytes| salt.cell(column.type_oid, binary, bytes)));
                selected.next();
            }
        }
    }

    fn sample(&mut self, row: &DataRow<'_>, salt: &Salt, hashes: bool) {
        let selected = if hashes { self.columns.as_slice() } else { &[] };
        let mut selected = selected.iter().peekable();
        for (field, (len, cell)) in (0_u16..).zip(row.sized_cells()) {
            let at = usize::from(field);
            match self.widths.get_mut(at) {
                Some(sum) => *sum += len,
                None if at < WIDE_SAMPLE_COLUMNS_MAX => self.widths.push(len),
                None if selected.peek().is_none() => break,
                None => {}
            }
            if let Some(column) = selected.next_if(|column| column.field == field) {
                self.bytes += cell.map_or(0, <[u8]>::len);
                let binary = self.formats.is_binary(field);
                self.cells.push(cell.map_or(0, |bytes| salt.cell(column.type_oid, binary, bytes)));
            }
        }
        self.sampled_rows += 1;
        self.sampled_bytes += row.size();
    }

    /// A SELECT of at most one row is nobody's parent: its cells need not travel. Neither need the sums of a small
    /// result.
    pub(super) fn forget_useless(&mut self, tag: Tag, ended: &Ended<'_>) {
        if tag == Tag::Select && ended.rows <= 1 && !ended.part {
            self.cells.clear();
            self.rows = 0;
        }
        if ended.sent_bytes < WIDE_SAMPLE_BYTES_MIN {
            self.sampled_rows = 0;
        }
    }

    /// Places the hashed columns in the batch of the next event.
    pub(super) fn place_columns(&self, outbox: &mut Outbox) -> Span {
        let width = self.columns.len();
        if self.rows == 0 || width == 0 {
            return Span::default();
        }
        let mut columns = [ResultColumn::default(); SELECTED_COLUMNS_MAX];
        for (at, (place, column)) in columns.iter_mut().zip(self.columns.as_slice()).enumerate() {
            *place = ResultColumn {
                field: column.field,
                attnum: column.attnum,
                table_oid: column.table_oid,
                cells: outbox.cells(self.cells.iter().skip(at).step_by(width).copied()),
            };
        }
        outbox.columns(columns.into_iter().take(width))
    }

    /// Places the sums in the batch of the next event; 0 where there are none.
    pub(super) fn place_sample(&self, outbox: &mut Outbox) -> u32 {
        match self.sampled_rows {
            0 => 0,
            rows => outbox.sample(rows, self.sampled_bytes, &self.widths),
        }
    }
}
