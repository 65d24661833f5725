// What every chart has: a title, a sentence for those who don't see it, and the same numbers as a table.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "./icon";

/** Width of an element, followed as it changes. */
export function useWidth(): [ref: { current: HTMLDivElement | null }, width: number] {
  const ref = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(640);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver((entries) => {
      const now = Math.round(entries[0]?.contentRect.width ?? 0);
      if (now > 0) setWidth(now);
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

export interface Numbers { head: string[]; rows: (string | number)[][] }

function NumberTable({ label, numbers }: { label: string; numbers: Numbers }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>{numbers.head.map((name, index) => <th key={name} scope="col" class={index === 0 ? "text" : ""}>{name}</th>)}</tr>
        </thead>
        <tbody>
          {numbers.rows.map((row, at) => (
            <tr key={at}>
              {row.map((cell, index) => (index === 0 ? <th key={index} scope="row">{cell}</th> : <td key={index}>{cell}</td>))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** `sentence` says what the picture shows. */
export function Chart({ title, sentence, numbers, controls, children }: {
  title: string;
  sentence: string;
  numbers: Numbers;
  controls?: ComponentChildren;
  children: (width: number) => ComponentChildren;
}) {
  const [isTable, setTable] = useState(false);
  const [ref, width] = useWidth();
  return (
    <section class="chart">
      <header>
        <h2>{title}</h2>
        <span class="tools">
          {controls}
          <button type="button" class="plain" aria-pressed={isTable} onClick={() => setTable(!isTable)}>
            <Icon name={isTable ? "chart" : "table"} />
            {isTable ? "Chart" : "Table"}<span class="hidden"> of {title}</span>
          </button>
        </span>
      </header>
      {isTable ? (
        <NumberTable label={title} numbers={numbers} />
      ) : (
        <div ref={ref} role="img" aria-label={sentence} class="picture">{children(width)}</div>
      )}
    </section>
  );
}
