// Times of a statement on a logarithmic axis, with its median, 95 % and 99 % marked.

import type { Bucket } from "../data/shapes";
import { count, duration } from "../text/format";
import { Chart } from "./chart";

const HEIGHT = 190;
const TOP = 44;
const BOTTOM = 24;
/** Room that the words of a tick need. */
const TICK = 64;

interface Bin { from: number; to: number; count: number; label: string }

/** From the first filled bucket to the last; each begins where the one before ends. */
export function bins(buckets: Bucket[]): Bin[] {
  const all = buckets.map((bucket, index) => {
    const before = buckets[index - 1]?.le_ms ?? null;
    const to = bucket.le_ms ?? (before ?? 1) * 2.5;
    const label = bucket.le_ms === null ? `> ${duration(before)}` : `≤ ${duration(to)}`;
    return { from: before ?? to / 2.5, to, count: bucket.count, label };
  });
  const first = all.findIndex((bin) => bin.count > 0);
  const last = all.findLastIndex((bin) => bin.count > 0);
  return first < 0 ? [] : all.slice(Math.max(0, first - 1), last + 2);
}

interface Mark { name: string; value: number | null }

function sentence(bars: Bin[], marks: Mark[]): string {
  const calls = bars.reduce((sum, bin) => sum + bin.count, 0);
  const most = bars.reduce((a, b) => (b.count > a.count ? b : a));
  const quantiles = marks.filter((mark) => mark.value !== null).map((mark) => `${mark.name} ${duration(mark.value)}`);
  return `${count(calls)} executions, most of them at ${most.label}; ${quantiles.join(", ")}.`;
}

function Picture({ bars, marks, width }: { bars: Bin[]; marks: Mark[]; width: number }) {
  const [low, high] = [bars[0]?.from ?? 1, bars.at(-1)?.to ?? 10];
  const x = (ms: number) => (Math.log(ms / low) / Math.log(high / low)) * width;
  const most = Math.max(1, ...bars.map((bin) => bin.count));
  const room = HEIGHT - TOP - BOTTOM;
  const every = Math.ceil((bars.length * TICK) / width);
  const ticks = bars.filter((bin, index) => index % every === 0 && x(bin.from) <= width - TICK);
  const shown = marks.filter((mark): mark is { name: string; value: number } =>
    mark.value !== null && mark.value >= low && mark.value <= high);
  return (
    <svg width={width} height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`} class="histogram">
      <line class="axis" x1="0" x2={width} y1={HEIGHT - BOTTOM} y2={HEIGHT - BOTTOM} />
      {bars.map((bin) => {
        const height = bin.count === 0 ? 0 : Math.max(1.5, (bin.count / most) * room);
        return (
          <rect
            key={bin.label} class="bar" x={x(bin.from) + 0.75} width={Math.max(1, x(bin.to) - x(bin.from) - 1.5)}
            y={HEIGHT - BOTTOM - height} height={height} rx="1.5"
          >
            <title>{`${bin.label}: ${count(bin.count)}`}</title>
          </rect>
        );
      })}
      {ticks.map((bin) => (
        <text key={bin.label} class="tick" x={x(bin.from)} y={HEIGHT - 7}>{duration(bin.from)}</text>
      ))}
      {shown.map((mark, index) => {
        const at = x(mark.value);
        const end = at > width - 90;
        return (
          <g key={mark.name} class="mark">
            <line x1={at} x2={at} y1={14 * index + 4} y2={HEIGHT - BOTTOM} />
            <text x={end ? at - 4 : at + 4} y={14 * index + 12} text-anchor={end ? "end" : "start"}>
              {`${mark.name} ${duration(mark.value)}`}
            </text>
          </g>
        );
      })}
    </svg>
  );
}

export function Histogram({ buckets, p50, p95, p99 }: {
  buckets: Bucket[]; p50: number | null; p95: number | null; p99: number | null;
}) {
  const bars = bins(buckets);
  if (bars.length === 0) {
    return (
      <section class="chart">
        <h2>Distribution of times</h2>
        <p class="soft">No execution was timed on its own (members of batches have no time of their own).</p>
      </section>
    );
  }
  const marks = [{ name: "median", value: p50 }, { name: "95 %", value: p95 }, { name: "99 %", value: p99 }];
  return (
    <Chart
      title="Distribution of times" sentence={sentence(bars, marks)}
      numbers={{ head: ["Time", "Executions"], rows: bars.map((bin) => [bin.label, count(bin.count)]) }}
    >
      {(width) => <Picture bars={bars} marks={marks} width={width} />}
    </Chart>
  );
}
