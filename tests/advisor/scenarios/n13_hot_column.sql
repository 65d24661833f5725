-- setup
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id int NOT NULL, status text NOT NULL, region int NOT NULL, created_at timestamp NOT NULL, total numeric NOT NULL, note text);
INSERT INTO orders (customer_id, status, region, created_at, total, note) SELECT 1 + (i * 7919::bigint) % 20000, CASE WHEN i % 50 = 0 THEN 'pending' WHEN i % 3 = 0 THEN 'shipped' ELSE 'done' END, i % 20, timestamp '2024-01-01' + ((i * 104729::bigint) % 31536000) * interval '1 second', (i % 1000) / 10.0, md5(i::text) FROM generate_series(1, 100000) i;
VACUUM ANALYZE;
-- workload (@n = n times)
@1 SELECT id FROM orders WHERE total = 99.9 AND region = 1;
@500 UPDATE orders SET total = 99.9 WHERE id = 4711;
-- expect
none
