//! The index advisor's I/O: side connection, catalogue image, EXPLAIN. It decides nothing; `pgsonde-advisor` does.

mod catalog_sql;
mod image;
mod rows;
mod side;
