-- setup
CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL, name text NOT NULL, country text NOT NULL, created_at timestamp NOT NULL, tags text[] NOT NULL, data jsonb NOT NULL, deleted_at timestamp);
INSERT INTO users SELECT i, 'User' || i || '@example.com', md5(i::text), (ARRAY['de','fr','us','uk'])[1 + i % 4], timestamp '2020-01-01' + i * interval '1 minute', ARRAY['t' || i % 500, 'u' || i % 7], jsonb_build_object('plan', i % 5, 'ref', i % 5000), CASE WHEN i % 100 <> 0 THEN timestamp '2024-01-01' END FROM generate_series(1, 60000) i;
VACUUM ANALYZE;
-- workload (@n = n times)
@20 SELECT * FROM users WHERE email = 'User17@example.com' OR name = 'abc';
-- expect
CREATE INDEX ON users (email);
CREATE INDEX ON users (name);
