-- setup
CREATE TABLE settings (id int PRIMARY KEY, name text);
INSERT INTO settings SELECT i, 'k' || i FROM generate_series(1, 500) i;
VACUUM ANALYZE;
-- workload (@n = n times)
@40 SELECT * FROM settings WHERE name = 'k7';
-- expect
none
