// The JSON of the API under the page's names. The types themselves are generated from docs/openapi.json
// (`npm run types`), which the proxy's own types make; a test holds all three against each other.

import type { components } from "./api";

type Schemas = components["schemas"];
/** As the proxy writes it: what is not known is null, never absent and never 0. */
type Written<T> = T extends object ? { [K in keyof T]-?: Written<T[K]> } : T;
/** Parts that reports of older versions don't have. */
type Later<T, K extends keyof T> = Omit<T, K> & Partial<Pick<T, K>>;

export type Loss = Written<Schemas["Loss"]>;
export type Info = Later<Written<Schemas["Info"]>, "advisor" | "exports" | "setup" | "own_use">;
export type Exporter = Written<Schemas["ExportInfo"]>;
export type Advisor = Written<Schemas["AdvisorInfo"]>;
export type StatementPhases = Written<Schemas["StatementPhasesMs"]>;
export type Phases = Written<Schemas["PhasesMs"]>;
export type Books = Written<Schemas["Books"]>;
export type Summary = Written<Schemas["Summary"]>;
export type Rest = Written<Schemas["Rest"]>;
export type List<T> = Omit<Written<Schemas["List_Statement"]>, "items"> & { items: T[] };
export type Route = Written<Schemas["Route"]>;
export type RouteDetail = Written<Schemas["RouteDetail"]>;
export type Unit = Written<Schemas["Unit"]>;
export type UnitStatement = Written<Schemas["UnitStatement"]>;
export type TransactionShape = Written<Schemas["TransactionShape"]>;
export type Source = Written<Schemas["Source"]>;
export type Statement = Written<Schemas["Statement"]>;
export type Bucket = Written<Schemas["Bucket"]>;
export type ColumnShare = Written<Schemas["ColumnShare"]>;
export type Hygiene = Written<Schemas["Hygiene"]>;
export type StatementDetail = Written<Schemas["StatementDetail"]>;
export type StatementPlan = Written<Schemas["StatementPlan"]>;
export type Cost = Written<Schemas["Cost"]>;
/** `known` is said by an audit's report. */
export type Finding = Written<Schemas["Finding"]> & { known?: boolean };
export type Sums = Written<Schemas["TableSums"]>;
export type TableUse = Written<Schemas["TableUse"]>;
export type ErrorGroup = Written<Schemas["ErrorGroup"]>;
export type Connection = Written<Schemas["Connection"]>;
export type SeriesPoint = Written<Schemas["SeriesPoint"]>;
export type Series = Written<Schemas["Series"]>;
export type FlameNode = Omit<Schemas["Flame"], "children"> & { children?: FlameNode[] };

/** One line of the stream of events; readers skip what they do not know. */
export interface EventLine { ev: string; ts_us?: number; [name: string]: unknown }
