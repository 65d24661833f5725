//! The index advisor's I/O: side connection, catalogue image, EXPLAIN. It decides nothing; `pgsonde-advisor` does.

mod answers;
mod catalog_sql;
mod explain;
mod hypopg;
mod image;
pub mod live;
pub mod offline;
mod pace;
mod proof;
mod rows;
mod run;
mod shadow;
mod side;
mod values;
mod workload_file;
