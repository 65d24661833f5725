-- setup
CREATE TABLE parents (id int PRIMARY KEY, label text);
CREATE TABLE children (id int PRIMARY KEY, parent_id int NOT NULL REFERENCES parents (id), payload text);
INSERT INTO parents SELECT i, 'p' || i FROM generate_series(1, 10000) i;
INSERT INTO children SELECT i, 1 + (i * 7919::bigint) % 10000, md5(i::text) FROM generate_series(1, 100000) i;
VACUUM ANALYZE;
-- workload (@n = n times)
DELETE FROM parents WHERE id = 17;
DELETE FROM parents WHERE id = 18;
-- measure
SELECT 1 FROM ONLY children x WHERE parent_id = 17;
-- expect
CREATE INDEX ON children (parent_id);
