// A table of the field: real headers, sorting and columns that live in the address, arrow keys from row to row.

import type { ComponentChildren } from "preact";
import { setQuery, usePlace } from "../data/route";
import { useState } from "preact/hooks";
import { count } from "../text/format";

export interface Column<T> {
  id: string;
  name: string;
  /** Said when the header is pointed at. */
  about?: string;
  /** What rows are sorted by; absent where that makes no sense. */
  sort?: (row: T) => number | string | null;
  cell: (row: T) => ComponentChildren;
  /** Text stands left; numbers stand right. */
  text?: boolean;
  /** The cell that names the row. */
  head?: boolean;
  /** The name is short. */
  slim?: boolean;
  /** Shown only when it is chosen. */
  spare?: boolean;
  /** Not worth its width on a small screen. */
  wide?: boolean;
}

interface Props<T> {
  label: string;
  columns: Column<T>[];
  rows: T[];
  keyOf: (row: T) => string;
  /** Column and direction without a choice: `time` or `-time` (largest first). */
  order?: string;
  /** Rows that are always last and never sorted. */
  last?: ComponentChildren;
  caption?: ComponentChildren;
  chooser?: boolean;
  /** Rows drawn before somebody asks for more. */
  first?: number;
}

function compared(a: number | string | null, b: number | string | null): number {
  if (a === b) return 0;
  // What is not known comes last, whatever the direction.
  if (a === null) return Number.NaN;
  if (b === null) return Number.NaN;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

function sorted<T>(rows: T[], column: Column<T> | undefined, down: boolean): T[] {
  const by = column?.sort;
  if (!by) return rows;
  return [...rows].sort((x, y) => {
    const [a, b] = [by(x), by(y)];
    const difference = compared(a, b);
    if (Number.isNaN(difference)) return a === null ? 1 : -1;
    return down ? -difference : difference;
  });
}

export function visibleColumns<T>(columns: Column<T>[], chosen: string | undefined): Column<T>[] {
  if (chosen === undefined) return columns.filter((column) => !column.spare);
  const ids = chosen.split(",");
  return columns.filter((column) => column.head || ids.includes(column.id));
}

/** Moves to the link of the row above or below. */
function onKeyDown(event: KeyboardEvent): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  const body = event.currentTarget as HTMLElement;
  const row = (event.target as HTMLElement).closest("tr");
  if (row === null || (step === 0 && event.key !== "Home" && event.key !== "End")) return;
  const links = [...body.querySelectorAll<HTMLElement>("tr")]
    .map((each) => each.querySelector<HTMLElement>("a[href], button"))
    .filter((each) => each !== null);
  const at = links.findIndex((link) => row.contains(link));
  const to = event.key === "Home" ? 0 : event.key === "End" ? links.length - 1 : at + step;
  const target = links[to];
  if (!target) return;
  event.preventDefault();
  target.focus();
}

function Header<T>({ column, order }: { column: Column<T>; order: string }) {
  const isSorted = order.replace(/^-/, "") === column.id;
  const down = order.startsWith("-");
  const direction = !isSorted ? undefined : down ? "descending" : "ascending";
  const next = isSorted ? (down ? column.id : `-${column.id}`) : column.text ? column.id : `-${column.id}`;
  const look = `${column.text || column.head ? "text" : ""}${column.wide ? " wide" : ""}`;
  // `Rows/unit` may break behind its stroke.
  const name = column.name.split("/").flatMap((part, index) => (index === 0 ? [part] : ["/", <wbr />, part]));
  if (!column.sort) return <th scope="col" class={look} title={column.about}>{name}</th>;
  return (
    <th scope="col" class={look} aria-sort={direction ?? "none"} title={column.about}>
      <button type="button" class="sort" onClick={() => setQuery({ sort: next })}>
        {name}
        {isSorted && <span class="arrow" aria-hidden="true">{down ? "▾" : "▴"}</span>}
      </button>
    </th>
  );
}

function Chooser<T>({ columns, visible }: { columns: Column<T>[]; visible: Column<T>[] }) {
  const shown = new Set(visible.map((column) => column.id));
  const toggle = (id: string) => {
    if (shown.has(id)) shown.delete(id);
    else shown.add(id);
    const ids = columns.filter((column) => !column.head && shown.has(column.id)).map((column) => column.id);
    setQuery({ cols: ids.join(",") || "none" });
  };
  return (
    <details class="chooser">
      <summary>Columns</summary>
      <fieldset>
        <legend class="hidden">Columns to show</legend>
        {columns.filter((column) => !column.head).map((column) => (
          <label key={column.id}>
            <input type="checkbox" checked={shown.has(column.id)} onChange={() => toggle(column.id)} />
            {column.name}
          </label>
        ))}
        <button type="button" onClick={() => setQuery({ cols: undefined })}>As it was</button>
      </fieldset>
    </details>
  );
}

function Row<T>({ row, columns }: { row: T; columns: Column<T>[] }) {
  return (
    <tr>
      {columns.map((column) => {
        const look = `${column.text ? "text" : ""}${column.wide ? " wide" : ""}`;
        return column.head ? (
          <th key={column.id} scope="row" class={column.slim ? "slim" : ""}>{column.cell(row)}</th>
        ) : (
          <td key={column.id} class={look}>{column.cell(row)}</td>
        );
      })}
    </tr>
  );
}

export function Table<T>({ label, columns, rows, keyOf, order, last, caption, chooser, first = 100 }: Props<T>) {
  const { query } = usePlace();
  const [drawn, setDrawn] = useState(first);
  const visible = visibleColumns(columns, chooser ? query["cols"] : undefined);
  const wanted = query["sort"] ?? order ?? "";
  const column = columns.find((each) => each.id === wanted.replace(/^-/, ""));
  const inOrder = sorted(rows, column, wanted.startsWith("-"));
  return (
    <>
      {chooser && <Chooser columns={columns} visible={visible} />}
      <div class="scroll" tabIndex={0} role="region" aria-label={label}>
        <table>
          {caption !== undefined && <caption>{caption}</caption>}
          <thead>
            <tr>{visible.map((each) => <Header key={each.id} column={each} order={wanted} />)}</tr>
          </thead>
          <tbody onKeyDown={onKeyDown}>
            {inOrder.slice(0, drawn).map((row) => <Row key={keyOf(row)} row={row} columns={visible} />)}
          </tbody>
          {last !== undefined && <tfoot>{last}</tfoot>}
        </table>
      </div>
      {rows.length > drawn && (
        <p>
          <button type="button" onClick={() => setDrawn(drawn + 400)}>
            Show {count(Math.min(400, rows.length - drawn))} more of {count(rows.length - drawn)}
          </button>
        </p>
      )}
    </>
  );
}
