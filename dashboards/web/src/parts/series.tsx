// The recent past: one number over time, drawn by uPlot.

import { useEffect, useRef, useState } from "preact/hooks";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { setQuery, usePlace } from "../data/route";
import { useAnswer } from "../data/answer";
import type { Series, SeriesPoint } from "../data/shapes";
import type { Parameters } from "../data/source";
import { bytes, clock, count, duration, span } from "../text/format";
import { Chart } from "./chart";
import { Loaded } from "./status";

type Metric = "calls" | "total_ms" | "p95_ms" | "errors" | "rows" | "sent_bytes";
const METRICS: Record<Metric, { name: string; show: (value: number | null) => string }> = {
  calls: { name: "Calls", show: count },
  total_ms: { name: "Time in the database", show: duration },
  p95_ms: { name: "95 % quantile", show: duration },
  errors: { name: "Errors", show: count },
  rows: { name: "Rows", show: count },
  sent_bytes: { name: "Bytes sent", show: bytes },
};
const HEIGHT = 180;

function themeColours(element: Element): { line: string; text: string; grid: string } {
  const style = getComputedStyle(element);
  // Canvas knows no `light-dark()`: computed properties of real elements are resolved, variables are not.
  return { line: style.fill, text: style.color, grid: style.borderTopColor };
}

/** Grows when the colours change. */
function useTheme(): number {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const next = () => setTurn((now) => now + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    const observer = new MutationObserver(next);
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    media.addEventListener("change", next);
    return () => {
      observer.disconnect();
      media.removeEventListener("change", next);
    };
  }, []);
  return turn;
}

function options(metric: Metric, width: number, colours: ReturnType<typeof themeColours>): UPlot.Options {
  const { show, name } = METRICS[metric];
  const font = "12px system-ui, sans-serif";
  const axis = { stroke: colours.text, font, grid: { stroke: colours.grid, width: 1 }, ticks: { show: false } };
  return {
    width, height: HEIGHT, legend: { show: false }, cursor: { y: false, points: { size: 7 } },
    tzDate: (seconds) => UPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
    scales: { y: { range: (_plot, _low, high) => [0, Math.max(high || 0, 1e-3) * 1.1] } },
    axes: [
      { ...axis, size: 28, space: 64, values: (_plot, ticks) => ticks.map((tick) => clock(new Date(tick * 1e3).toISOString()).slice(0, tick % 60 === 0 ? 5 : 8)) },
      { ...axis, size: 62, values: (_plot, ticks) => ticks.map((tick) => show(tick)) },
    ],
    series: [{}, { label: name, stroke: colours.line, width: 1.5, fill: colours.line.replace(/^rgb\((.*)\)$/, "rgba($1, 0.12)"), points: { show: false } }],
  };
}

function Plot({ points, metric, width }: { points: SeriesPoint[]; metric: Metric; width: number }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | null>(null);
  const theme = useTheme();
  const data: UPlot.AlignedData = [
    points.map((point) => Date.parse(point.ts) / 1e3),
    points.map((point) => point[metric]),
  ];
  useEffect(() => {
    if (!host.current) return;
    plot.current = new UPlot(options(metric, width, themeColours(host.current)), data, host.current);
    return () => plot.current?.destroy();
  }, [metric, width, theme]);
  useEffect(() => plot.current?.setData(data), [points]);
  return <div ref={host} class="plot" />;
}

function sentence(series: Series, metric: Metric): string {
  const { name, show } = METRICS[metric];
  const known = series.points.filter((point) => point[metric] !== null);
  const most = known.reduce<SeriesPoint | undefined>((a, b) => (a && (a[metric] ?? 0) >= (b[metric] ?? 0) ? a : b), undefined);
  if (!most) return `${name}: nothing is known yet.`;
  return `${name} in steps of ${span(series.step_s)}, at most ${show(most[metric])} at ${clock(most.ts)} UTC, ` +
    `${show(known.at(-1)?.[metric] ?? null)} at the end.`;
}

export function SeriesChart({ path, parameters = {}, title }: { path: string; parameters?: Parameters; title: string }) {
  const answer = useAnswer<Series>(path, parameters);
  const chosen = usePlace().query["metric"];
  const metric: Metric = chosen !== undefined && chosen in METRICS ? (chosen as Metric) : "calls";
  const { name, show } = METRICS[metric];
  const controls = (
    <label>
      <span class="hidden">Number to draw</span>
      <select value={metric} onChange={(event) => setQuery({ metric: event.currentTarget.value })}>
        {Object.entries(METRICS).map(([id, each]) => <option key={id} value={id}>{each.name}</option>)}
      </select>
    </label>
  );
  if (!answer.data && answer.problem) {
    return (
      <section class="chart">
        <h2>{title}</h2>
        <Loaded answer={answer} what="history">{() => null}</Loaded>
      </section>
    );
  }
  const points = answer.data?.points ?? [];
  if (points.length < 2) {
    return (
      <section class="chart">
        <h2>{title}</h2>
        <p class="soft">The first steps of {span(answer.data?.step_s ?? 60)} are still being counted.</p>
      </section>
    );
  }
  return (
    <Chart
      title={title} controls={controls} sentence={answer.data ? sentence(answer.data, metric) : title}
      numbers={{ head: ["Time (UTC)", name], rows: points.map((point) => [clock(point.ts), show(point[metric])]) }}
    >
      {(width) => <Plot points={points} metric={metric} width={width} />}
    </Chart>
  );
}
