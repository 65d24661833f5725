// The filter grammar of lists, `tail` and the live page: terms joined by AND, `-` in front negates.

export interface Subject {
  text: string[];
  duration_ms?: number | null | undefined;
  rows?: number | null | undefined;
  bytes?: number | null | undefined;
  calls?: number | null | undefined;
  errors?: number | undefined;
  sqlstates?: string[] | undefined;
  kinds?: string[] | undefined;
  op?: string | undefined;
  db?: string | undefined;
  svc?: string[] | undefined;
  digest?: string[] | undefined;
  unit?: string | undefined;
  session?: string | undefined;
  route?: string[] | undefined;
  mark?: string | undefined;
}

type Comparison = ">" | ">=" | "<" | "<=";
type Named = "op" | "db" | "svc" | "digest" | "unit" | "session" | "route" | "mark";

type Test =
  | { is: "number"; field: "duration_ms" | "rows" | "bytes" | "calls"; comparison: Comparison; value: number }
  | { is: "error"; sqlstate: string | null }
  | { is: "kind"; kind: string }
  | { is: "named"; field: Named; pattern: RegExp }
  | { is: "word"; word: string };

export interface Term { source: string; negated: boolean; test: Test }
export interface Filter { terms: Term[]; problems: string[] }

const DURATIONS: Record<string, number> = { us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 6e4, min: 6e4, h: 3.6e6, d: 8.64e7 };
const SIZES: Record<string, number> = {
  "": 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 1_024, mib: 1_048_576, gib: 1_073_741_824,
};
const NAMED: readonly string[] = ["op", "db", "svc", "digest", "unit", "session", "route", "mark"];

/** Words, or `"several words"`, also behind a `key:`. */
function tokens(text: string): string[] {
  return text.match(/-?(?:[\w+]+[:<>]=?)?"[^"]*"?|\S+/g) ?? [];
}

const unquoted = (text: string): string => text.replace(/^"|"$/g, "");

function glob(pattern: string, isPrefix: boolean): RegExp {
  const escaped = pattern.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replace(/\*+/g, ".*");
  return new RegExp(`^${escaped}${isPrefix ? "" : "$"}`, "is");
}

function number(field: string, amount: string, unit: string): number | string {
  const value = Number(amount);
  if (field === "d") {
    const factor = DURATIONS[unit];
    return factor === undefined ? `a duration has a unit: d>${amount}ms` : value * factor;
  }
  const factor = field === "bytes" ? SIZES[unit.toLowerCase()] : unit === "" ? 1 : undefined;
  return factor === undefined ? `${unit} is no unit of ${field}` : value * factor;
}

const FIELDS = { d: "duration_ms", rows: "rows", bytes: "bytes", calls: "calls" } as const;

function comparison(body: string): Test | string | undefined {
  const found = /^(d|rows|bytes|calls)(>=|<=|>|<)(\d+(?:\.\d+)?)([a-zµ]*)$/i.exec(body);
  if (!found) return /^(d|rows|bytes|calls)[<>]/.test(body) ? `${body} has no number` : undefined;
  const [, field = "", sign = ">", amount = "", unit = ""] = found;
  const value = number(field.toLowerCase(), amount, unit);
  if (typeof value === "string") return value;
  return { is: "number", field: FIELDS[field.toLowerCase() as keyof typeof FIELDS], comparison: sign as Comparison, value };
}

function keyed(key: string, value: string): Test | undefined {
  if (key === "err") return { is: "error", sqlstate: value.toUpperCase() };
  if (key === "kind") return { is: "kind", kind: value.toLowerCase() === "n+1" ? "n_plus_one" : value.toLowerCase() };
  if (!NAMED.includes(key)) return undefined;
  const isId = key === "digest" || key === "unit";
  return { is: "named", field: key as Named, pattern: glob(value.replace(/…$/, ""), isId) };
}

function test(body: string): Test | string {
  if (body.toLowerCase() === "err") return { is: "error", sqlstate: null };
  if (body.toLowerCase() === "n+1") return { is: "kind", kind: "n_plus_one" };
  const compared = comparison(body);
  if (compared !== undefined) return compared;
  const [, key = "", value = ""] = /^([a-z]+):(.*)$/is.exec(body) ?? [];
  const named = value === "" ? undefined : keyed(key.toLowerCase(), unquoted(value));
  return named ?? { is: "word", word: unquoted(body).toLowerCase() };
}

export function parseFilter(text: string): Filter {
  const filter: Filter = { terms: [], problems: [] };
  for (const source of tokens(text)) {
    const negated = source.startsWith("-") && source.length > 1;
    const parsed = test(negated ? source.slice(1) : source);
    if (typeof parsed === "string") filter.problems.push(parsed);
    else filter.terms.push({ source, negated, test: parsed });
  }
  return filter;
}

function compare(value: number, sign: Comparison, limit: number): boolean {
  if (sign === ">") return value > limit;
  if (sign === ">=") return value >= limit;
  return sign === "<" ? value < limit : value <= limit;
}

/** Whether a term holds; undefined where the subject has no such property at all. */
function holds(term: Test, subject: Subject): boolean | undefined {
  switch (term.is) {
    case "word":
      return subject.text.some((text) => text.toLowerCase().includes(term.word));
    case "number": {
      const value = subject[term.field];
      return value === undefined ? undefined : value !== null && compare(value, term.comparison, term.value);
    }
    case "error":
      if (term.sqlstate === null) return subject.errors === undefined ? undefined : subject.errors > 0;
      return subject.sqlstates?.some((code) => code.startsWith(term.sqlstate ?? ""));
    case "kind":
      return subject.kinds?.includes(term.kind);
    case "named": {
      const value = subject[term.field];
      if (value === undefined) return undefined;
      return (Array.isArray(value) ? value : [value]).some((text) => term.pattern.test(text));
    }
  }
}

/** What the subject doesn't know can't be said of it: such a term matches nothing, negated or not. */
export function matches(filter: Filter, subject: Subject): boolean {
  return filter.terms.every((term) => {
    const held = holds(term.test, subject);
    return held !== undefined && held !== term.negated;
  });
}

/** Terms that no subject of a list can answer, to be said beside the box. */
export function unanswered(filter: Filter, sample: Subject | undefined): string[] {
  if (!sample) return [];
  return filter.terms.filter((term) => holds(term.test, sample) === undefined).map((term) => term.source);
}
