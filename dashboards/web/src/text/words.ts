// Words that people read for kinds, grades, phases and states.

import type { Finding } from "../data/shapes";

const KINDS: Record<string, string> = {
  n_plus_one: "N+1",
  missing_index: "Index missing",
  redundant_index: "Index redundant",
  looped_lookup: "Looped look-up",
  duplicate_query: "Repeated read",
  write_loop: "Row-by-row write",
  upsert_loop: "Read, then write",
  savepoint_loop: "Savepoint per row",
  sequential_independent: "Could run at once",
  tiny_fetch: "Tiny fetches",
  sql_smell: "SQL smell",
  unbounded_result: "Unbounded result",
  wide_fetch: "Heavy column",
  cartesian_explosion: "Multiplied join",
  deep_offset: "Deep offset",
  count_every_page: "Count on every page",
  large_in_list: "Huge IN list",
  in_list_churn: "IN lists of every length",
  statement_churn: "Texts never repeat",
  idle_in_transaction: "Idle in transaction",
  long_transaction: "Long transaction",
  tx_chatter: "Chatter",
  ping_overhead: "Pings",
  connection_churn: "Connection churn",
  polling: "Polling",
  lock_hazard: "Risky DDL",
  reparse: "Re-parse",
  new_statement: "New since baseline",
  slower: "Slower than baseline",
};

export const kindWords = (kind: string): string => KINDS[kind] ?? kind;

/** What was looked for, said where nothing was found. */
export const KINDS_LOOKED_FOR = [
  "N+1", "looped look-ups", "repeated reads", "row-by-row writes", "missing indexes", "unbounded and wide results",
  "deep offsets", "huge IN lists", "idle and long transactions", "chatter", "polling", "connection churn", "risky DDL",
];

const PROVED = ["dataflow", "duplicate", "observed", "plan"];

export const isProved = (finding: Finding): boolean => PROVED.includes(finding.proof);

/** `proved`; `suspect` where only text and timing speak; else `candidate`. */
export function grade(finding: Finding): "proved" | "candidate" | "suspect" {
  if (isProved(finding)) return "proved";
  return finding.proof === "text" ? "suspect" : "candidate";
}

const PROOFS: Record<string, string> = {
  dataflow: "the parameters were values of an earlier result",
  duplicate: "statement and values were the same each time",
  observed: "the wire shows it directly",
  plan: "a planner chose it with the server's own statistics",
  sequence: "order, timing and repetition speak for it",
};

export const proofWords = (proof: string): string =>
  PROOFS[proof] ?? "only the statement's text and its times speak for it";

const CHANGES: Record<string, string> = {
  dataflow: "It is a fact: only the repair, or a parent that no longer runs, makes it go away.",
  duplicate: "It is a fact: reading once and keeping the answer makes it go away.",
  observed: "It is a fact: the wire shows it, whatever the reason.",
  plan: "It holds for the server's present statistics. Much more data, or other data, may change the plan.",
  sequence: "A result that supplies the values makes it an N+1; values that come from elsewhere leave it a candidate.",
};

export const changeWords = (proof: string): string =>
  CHANGES[proof] ?? "A plan of the server would decide it: give pgsonde a side connection (findings.missing_index), or look at EXPLAIN yourself.";

export type PhaseName = "queue" | "first_row" | "transfer" | "client_stall" | "think_in_transaction" | "think_idle";

export const PHASES: { name: PhaseName; short: string; long: string }[] = [
  { name: "queue", short: "proxy", long: "In the proxy, before the server had it" },
  { name: "first_row", short: "server", long: "At the server, to the first row" },
  { name: "transfer", short: "transfer", long: "Transfer of the rest" },
  { name: "client_stall", short: "client", long: "Waiting for the client to read" },
];

export const severityWords = (severity: string): string => (severity === "info" ? "note" : severity);

export function stateWords(state: string): string {
  return state.replace(/_/g, " ");
}
