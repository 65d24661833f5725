//! The index advisor's I/O: side connection, catalogue image, EXPLAIN. It decides nothing; `pgsonde-advisor` does.

mod catalog_sql;
mod explain;
mod image;
pub mod live;
pub mod offline;
mod pace;
mod rows;
mod run;
mod shadow;
mod side;
mod values;
mod workload_file;
