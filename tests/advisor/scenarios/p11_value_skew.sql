-- setup
CREATE TABLE jobs (id int PRIMARY KEY, state text NOT NULL, payload text);
INSERT INTO jobs SELECT i, CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'ok' END, repeat(md5(i::text), 3) FROM generate_series(1, 100000) i;
VACUUM ANALYZE;
-- workload (@n = n times)
@20 SELECT * FROM jobs WHERE state = 'failed';
-- expect
CREATE INDEX ON jobs (state);
