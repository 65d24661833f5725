// The page's own functions on tables of cases: filter grammar, formats, SQL, addresses, comparison.
// Vite bundles the sources for Node first.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

const WEB = fileURLToPath(new URL("../../dashboards/web/", import.meta.url));
const { build } = await import(pathToFileURL(createRequire(join(WEB, "package.json")).resolve("vite")).href);
const folder = mkdtempSync(join(tmpdir(), "pgsonde-web-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const NAMES = ["text/filter", "text/format", "text/sql", "text/evidence", "data/route", "data/compare"];
await build({
  configFile: false, logLevel: "error", root: WEB,
  build: { outDir: folder, minify: false, ssr: true, rollupOptions: { input: Object.fromEntries(NAMES.map((name) => [name.replace("/", "-"), join(WEB, "src", `${name}.ts`)])), output: { entryFileNames: "[name].mjs" } } },
  ssr: { noExternal: true },
});
const load = (name) => import(pathToFileURL(join(folder, `${name}.mjs`)).href);
const { parseFilter, matches, unanswered } = await load("text-filter");
const format = await load("text-format");
const sql = await load("text-sql");
const { range } = await load("text-evidence");
const { parsePlace, href } = await load("data-route");
const { since, welch, differences } = await load("data-compare");

const SUBJECT = {
  text: ["SELECT orders customers", "select * from Orders"], duration_ms: 120, rows: 1_000, bytes: 2 ** 20, calls: 7, errors: 3, sqlstates: ["23505"],
  kinds: ["n_plus_one"], op: "select", db: "shop", svc: ["web"], digest: ["9f2c41d07ab85e63"], route: ["/orders/:id", ""],
};

test("terms of a filter hold or not", () => {
  const rows = [
    ["", true], ["d>100ms", true], ["d>120ms", false], ["d>=120ms", true], ["d<0.2s", true], ["d>1m", false], ["d>119000us", true],
    ["rows>1000", false], ["rows>=1000", true], ["bytes>1MiB", false], ["bytes>1MB", true], ["bytes>=1MiB", true], ["calls<8", true],
    ["err", true], ["-err", false], ["err:23505", true], ["err:23", true], ["err:40", false], ["n+1", true], ["kind:n+1", true], ["kind:missing_index", false], ["-kind:missing_index", true],
    ["op:SELECT", true], ["op:sel*", true], ["op:sel", false], ["db:shop svc:web", true], ["db:shop svc:api", false], ["digest:9f2c", true], ["digest:9F2C…", true], ["digest:1", false],
    ["route:/orders/*", true], ["route:/orders", false], ["-route:/items/*", true], ["orders", true], ["ORDERS CUSTOMERS", true], ["\"orders customers\"", true], ["\"customers orders\"", false], ["-\"orders customers\"", false],
    ["route:\"/orders/:id\"", true], ["orders -items", true], ["(.*", false], ["session:4", false], ["-session:4", false],
  ];
  for (const [text, expected] of rows) assert.equal(matches(parseFilter(text), SUBJECT), expected, text);
});

test("a filter says what it can't read or ask", () => {
  assert.deepEqual(parseFilter("d>100").problems, ["a duration has a unit: d>100ms"]);
  assert.deepEqual(parseFilter("bytes>1parsec rows>5ms").problems, ["parsec is no unit of bytes", "ms is no unit of rows"]);
  assert.deepEqual(parseFilter("d>fast").problems, ["d>fast has no number"]);
  assert.deepEqual(unanswered(parseFilter("session:4 orders mark:x"), SUBJECT), ["session:4", "mark:x"]);
});

test("numbers are read as in the terminal report", () => {
  for (const [ms, expected] of [[0, "0"], [0.004, "4.00 µs"], [0.83, "830 µs"], [0.9996, "1.00 ms"], [12.34, "12.3 ms"], [999, "999 ms"], [999.9, "1.00 s"], [4_560, "4.56 s"], [726_000, "12.1 min"], [11_520_000, "3.20 h"], [null, "–"], [Number.NaN, "–"], [undefined, "–"]]) {
    assert.equal(format.duration(ms), expected);
  }
  for (const [value, expected] of [[0, "0"], [999, "999"], [1_234_567, "1,234,567"], [null, "–"]]) assert.equal(format.count(value), expected);
  for (const [value, expected] of [[4, "4"], [1_234, "1,234"], [0.25, "0.25"], [12.34, "12.3"], [null, "–"]]) assert.equal(format.amount(value), expected);
  assert.equal(format.bytes(1_536), "1.50 KiB");
  assert.deepEqual([59, 61, 7_500, 90_000].map(format.span), ["59 s", "1 min 1 s", "2 h 5 min", "1 d 1 h"]);
  assert.equal(format.moments("2026-11-22T20:04:07.995Z", "2026-11-22T20:04:12.982Z"), "2026-11-22 20:04:07 to 20:04:12 UTC");
  assert.equal(format.percent(0.1234), "12.3 %");
  assert.deepEqual([[2, 8.59], [0.8, 1.2], [0, 8.59], [3, 3]].map(([low, high]) => range(low, high)), ["2.00 to 8.59 ms", "800 µs to 1.20 ms", "at most 8.59 ms", "3.00 ms"]);
});

test("names don't steer what stands beside them", () => {
  assert.equal(format.clean("a\n\u001b[2Jb\u202ec"), "a \ufffd[2Jb\ufffdc");
  assert.equal(format.cleanLines("a\nb\r"), "a\nb\ufffd");
  assert.equal(format.cut("abcdef", 4), "abc…");
  assert.equal(format.cut("x".repeat(100_000), 100).length, 100);
});

test("statements are cut into pieces and nothing is lost", () => {
  const texts = ["SELECT 'a''b', \"c\"\"d\", $1, ? FROM t WHERE x IN (…)", "<script>alert(1)</script>", "'open", "\"open", "é_1 ≥ 2", "select\n\tnow()", ""];
  for (const text of texts) assert.equal(sql.pieces(text).map((piece) => piece.text).join(""), text);
  const shown = sql.layout(sql.pieces("SELECT a, b FROM t LEFT JOIN u ON u.id = t.id WHERE a BETWEEN ? AND ? AND b IN (SELECT c FROM d WHERE e = ?) ORDER BY a LIMIT $1")).map((piece) => piece.text).join("");
  assert.equal(shown, "SELECT a, b\nFROM t\nLEFT JOIN u\n  ON u.id = t.id\nWHERE a BETWEEN ? AND ?\n  AND b IN (SELECT c FROM d WHERE e = ?)\nORDER BY a\nLIMIT $1");
  assert.equal(sql.layout(sql.pieces("DELETE FROM t WHERE id IS DISTINCT FROM $1 AND b = ?")).map((piece) => piece.text).join(""), "DELETE FROM t\nWHERE id IS DISTINCT FROM $1\n  AND b = ?");
});

test("what is copied for psql has numbered parameters", () => {
  assert.deepEqual(sql.parameters("select * from t where a = $2 and b = ? and c = '?' and d in (…)"), { sql: "select * from t where a = $2 and b = $3 and c = '?' and d in (NULL)", count: 3 });
  assert.equal(sql.parameters("select * from t where d ? ? and d ?| ? and d @? ? and e = ?").sql, "select * from t where d ? $1 and d ?| $2 and d @? $3 and e = $4");
  assert.equal(sql.forPsql("select 1"), "select 1;");
  assert.ok(sql.explain("select $1").includes("EXECUTE pgsonde(NULL /* $1 */);"));
});

test("addresses are written and read", () => {
  const place = { path: ["routes", "web", "/orders/<id>?#%"], query: { q: "d>1ms a&b" } };
  assert.deepEqual(parsePlace(href(place.path, place.query)), place);
  assert.deepEqual(parsePlace("#token=x"), { path: [], query: {} });
  assert.deepEqual(parsePlace("#/%E0%A4%A"), { path: ["%E0%A4%A"], query: {} });
  assert.equal(href([], { q: "" }), "#/");
});

test("two times are compared", () => {
  const sums = (calls, mean_ms, stddev_ms, more = {}) => ({ key: "k", digest: "d", database: "b", summary: "s", calls, total_ms: calls * mean_ms, rows: calls, errors: 0, mean_ms, stddev_ms, ...more });
  // 100 at 1 ms and then 100 at 3 ms are 200 at 2 ms with a deviation of 1.
  const later = since(sums(100, 1, 0), sums(200, 2, 1));
  assert.deepEqual([later.calls, later.mean_ms, Math.round(later.stddev_ms * 1e6)], [100, 3, 0]);
  assert.equal(since(sums(5, 1, 0), sums(5, 1, 0)), null);
  // (3 - 2) / sqrt(1/100 + 1/100)
  assert.ok(Math.abs(welch(sums(100, 2, 1), sums(100, 3, 1)) - 7.0711) < 1e-3);
  assert.equal(welch(sums(19, 2, 1), sums(100, 3, 1)), null);
  const verdict = (a, b) => differences(a ? [a] : [], b ? [b] : [])[0].verdict;
  assert.equal(verdict(sums(100, 2, 1), sums(100, 3, 1)), "slower");
  assert.equal(verdict(sums(100, 2, 0.01), sums(100, 2.1, 0.01)), "same");
  assert.equal(verdict(sums(100, 2, 5), sums(100, 3, 5)), "same");
  assert.equal(verdict(sums(100, 3, 1), sums(100, 2, 1)), "faster");
  assert.equal(verdict(sums(100, 2, 1), sums(100, 2, 1, { rows: 900 })), "more rows");
  assert.equal(verdict(null, sums(1, 1, 1)), "new");
  assert.equal(verdict(sums(1, 1, 1), null), "gone");
  assert.equal(verdict(sums(3, 1, 1), sums(3, 9, 1)), "not judged");
});
