-- setup
CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL, name text NOT NULL, country text NOT NULL, created_at timestamp NOT NULL, tags text[] NOT NULL, data jsonb NOT NULL, deleted_at timestamp);
INSERT INTO users SELECT i, 'User' || i || '@example.com', md5(i::text), (ARRAY['de','fr','us','uk'])[1 + i % 4], timestamp '2020-01-01' + i * interval '1 minute', ARRAY['t' || i % 500, 'u' || i % 7], jsonb_build_object('plan', i % 5, 'ref', i % 5000), CASE WHEN i % 100 <> 0 THEN timestamp '2024-01-01' END FROM generate_series(1, 60000) i;
CREATE TABLE logins (id int PRIMARY KEY, user_id int NOT NULL, note text NOT NULL);
INSERT INTO logins SELECT i, 1 + (i * 7919::bigint) % 50000, md5(i::text) FROM generate_series(1, 100000) i;
VACUUM ANALYZE;
-- workload (@n = n times)
@20 SELECT u.id FROM users u WHERE u.id BETWEEN 100 AND 130 AND NOT EXISTS (SELECT 1 FROM logins l WHERE l.user_id = u.id);
-- expect
CREATE INDEX ON logins (user_id);
