-- setup
CREATE TABLE events (id bigint NOT NULL, device int NOT NULL, at timestamp NOT NULL, payload text) PARTITION BY RANGE (at);
CREATE TABLE events_a PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2024-05-01');
CREATE TABLE events_b PARTITION OF events FOR VALUES FROM ('2024-05-01') TO ('2025-01-01');
INSERT INTO events SELECT i, (i * 7919::bigint) % 5000, timestamp '2024-01-01' + i * interval '3 minutes', md5(i::text) FROM generate_series(1, 120000) i;
VACUUM ANALYZE;
-- workload (@n = n times)
@20 SELECT * FROM events WHERE device = 17;
-- expect
CREATE INDEX ON events (device);
