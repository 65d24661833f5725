-- setup
CREATE SCHEMA "App";
CREATE TABLE "App"."Order" (id int PRIMARY KEY, "customerId" int NOT NULL, "select" text);
INSERT INTO "App"."Order" SELECT i, (i * 7919::bigint) % 9000, md5(i::text) FROM generate_series(1, 100000) i;
VACUUM ANALYZE;
-- workload (@n = n times)
@20 SELECT * FROM "App"."Order" WHERE "customerId" = 17;
-- expect
CREATE INDEX ON "App"."Order" ("customerId");
