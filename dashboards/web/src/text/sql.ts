// A small tokenizer for showing statements: text in, pieces of text out, nothing is ever interpreted as markup.
// Statements arrive redacted and on one line; `layout` breaks them before the words that begin a clause.

export type PieceKind = "keyword" | "string" | "number" | "parameter" | "name" | "quoted" | "space" | "other";
export interface Piece { kind: PieceKind; text: string }

const KEYWORDS = new Set(
  ("select from where group order by having limit offset insert into values update set delete join inner left right " +
    "full outer cross lateral on using union all intersect except with recursive as and or not in is null distinct " +
    "case when then else end exists between like ilike similar any some array create table index unique concurrently " +
    "alter drop add column constraint primary key foreign references default returning conflict do nothing begin " +
    "commit rollback savepoint release copy to stdin stdout asc desc nulls first last for share of skip locked " +
    "interval cast over partition window filter true false fetch next rows only if include explain analyze prepare execute")
    .split(" "),
);

const PATTERN =
  /(\s+)|('(?:[^']|'')*'?)|("(?:[^"]|"")*"?)|(\$\d+|\?|:\w+)|(\d+(?:\.\d+)?)|([\p{L}_][\p{L}\p{N}_$]*)|([\s\S])/gu;

/** Whether a `?` is an operator of jsonb (`?`, `?|`, `?&`, `@?`): unlike a value, it has an operand on its right. */
function isOperator(text: string, at: number): boolean {
  return /[@|&?]/.test(text.charAt(at - 1)) || /^\s*[|&?$']/.test(text.slice(at + 1));
}

/** Texts above this are shown as they are: colours don't help there. */
const TOKENIZED_MAX = 20_000;

export function pieces(text: string): Piece[] {
  if (text.length > TOKENIZED_MAX) return [{ kind: "other", text }];
  const found: Piece[] = [];
  for (const match of text.matchAll(PATTERN)) {
    const [all, space, string, quoted, parameter, number, word] = match;
    const last = found.at(-1);
    if (space !== undefined) found.push({ kind: "space", text: all });
    else if (string !== undefined) found.push({ kind: "string", text: all });
    else if (quoted !== undefined) found.push({ kind: "quoted", text: all });
    else if (parameter !== undefined && !(all === "?" && isOperator(text, match.index))) found.push({ kind: "parameter", text: all });
    else if (number !== undefined) found.push({ kind: "number", text: all });
    else if (word !== undefined) found.push({ kind: KEYWORDS.has(word.toLowerCase()) ? "keyword" : "name", text: all });
    else if (last?.kind === "other") last.text += all;
    else found.push({ kind: "other", text: all });
  }
  return found;
}

const BREAKS = new Set(["from", "where", "group", "having", "order", "limit", "offset", "union", "intersect", "except",
  "set", "values", "returning", "on", "left", "right", "inner", "full", "cross", "join", "and", "or", "window", "for"]);
const INDENTED = new Set(["and", "or", "on"]);
const JOINERS = new Set(["left", "right", "inner", "full", "cross", "outer", "lateral", "join"]);
/** Words after which `on`, `set` and `and` belong to what stands before. */
const HOLDS_AND = "between";

interface Layout { depth: number; before: string; holdsAnd: boolean }

function breakBefore(word: string, state: Layout): boolean {
  if (state.depth > 0 || !BREAKS.has(word)) return false;
  if (word === "and" && state.holdsAnd) return false;
  if (JOINERS.has(word) && JOINERS.has(state.before)) return false;
  // `DELETE FROM`, `DISTINCT ON`, `DO UPDATE SET`, `IS DISTINCT FROM`, `ON CONFLICT`
  return !((word === "from" && ["delete", "distinct"].includes(state.before)) ||
    (word === "on" && state.before === "distinct") || (word === "for" && state.before === "no"));
}

/** The same pieces with line breaks before clauses of the outermost statement. Texts with own lines keep them. */
export function layout(found: Piece[]): Piece[] {
  if (found.length < 12 || found.some((piece) => piece.text.includes("\n"))) return found;
  const out: Piece[] = [];
  const state: Layout = { depth: 0, before: "", holdsAnd: false };
  for (const piece of found) {
    const word = piece.text.toLowerCase();
    if (piece.kind === "other") {
      for (const char of piece.text) state.depth += char === "(" ? 1 : char === ")" ? -1 : 0;
    }
    const last = out.at(-1);
    if (piece.kind === "keyword" && last?.kind === "space" && breakBefore(word, state)) {
      last.text = INDENTED.has(word) ? "\n  " : "\n";
    }
    if (piece.kind === "keyword") {
      state.holdsAnd = word === HOLDS_AND || (state.holdsAnd && word !== "and");
      state.before = word;
    } else if (piece.kind !== "space") state.before = "";
    out.push({ ...piece });
  }
  return out;
}

/** Whether literals were taken out of the text (`?`): it then can't be run as it stands. */
export function parameters(text: string): { sql: string; count: number } {
  const found = pieces(text);
  const numbered = found.filter((piece) => piece.kind === "parameter" && piece.text.startsWith("$"));
  let highest = Math.max(0, ...numbered.map((piece) => Number(piece.text.slice(1))));
  const sql = found.map((piece) => {
    if (piece.kind !== "parameter" || piece.text !== "?") return piece.text;
    highest += 1;
    return `$${highest}`;
  });
  return { sql: sql.join("").replace(/\(…\)/g, "(NULL)"), count: highest };
}

const nulls = (count: number): string =>
  count === 0 ? "" : `(${Array.from({ length: count }, (_, index) => `NULL /* $${index + 1} */`).join(", ")})`;

/** For psql of any version: values are filled in where NULL stands. */
export function forPsql(text: string): string {
  const { sql, count } = parameters(text);
  if (count === 0) return `${sql};`;
  return `PREPARE pgsonde AS\n${sql};\nEXECUTE pgsonde${nulls(count)};\nDEALLOCATE pgsonde;`;
}

/** The generic plan, which needs no values; from PostgreSQL 12 on. */
export function explain(text: string): string {
  const { sql, count } = parameters(text);
  if (count === 0) return `EXPLAIN (VERBOSE, SETTINGS)\n${sql};`;
  return [
    "SET plan_cache_mode = force_generic_plan;",
    `PREPARE pgsonde AS\n${sql};`,
    `EXPLAIN (VERBOSE, SETTINGS) EXECUTE pgsonde${nulls(count)};`,
    "DEALLOCATE pgsonde;",
    "RESET plan_cache_mode;",
  ].join("\n");
}
