//! The index advisor's I/O: side connection, catalogue image, EXPLAIN. It decides nothing; `pgsonde-advisor` does.

mod catalog_sql;
mod explain;
mod image;
pub mod offline;
mod rows;
mod shadow;
mod side;
mod values;
mod workload_file;
