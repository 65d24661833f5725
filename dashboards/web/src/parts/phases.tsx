// Where a time went: one bar that adds up to the whole, and its legend as a table.

import type { StatementPhases } from "../data/shapes";
import { duration, percent } from "../text/format";
import { PHASES } from "../text/words";

export interface Slice { name: string; short: string; long: string; ms: number }

export function slices(phases: StatementPhases): Slice[] {
  return PHASES.filter((phase) => phase.name in phases).map((phase) => ({
    ...phase,
    ms: phases[phase.name as keyof StatementPhases],
  }));
}

export function PhaseBar({ parts }: { parts: Slice[] }) {
  const whole = parts.reduce((sum, part) => sum + part.ms, 0);
  return (
    <div class="phases" aria-hidden="true">
      {parts.filter((part) => part.ms > 0).map((part) => (
        <span
          key={part.name} class={`phase ${part.name}`} style={{ flexGrow: part.ms / whole }}
          title={`${part.short}: ${duration(part.ms)}`}
        />
      ))}
    </div>
  );
}

export function PhaseTable({ title, phases, more = [] }: { title: string; phases: StatementPhases; more?: Slice[] }) {
  const parts = [...slices(phases), ...more];
  const whole = parts.reduce((sum, part) => sum + part.ms, 0);
  return (
    <section class="chart">
      <h2>{title}</h2>
      {whole === 0 ? <p class="soft">No time was measured yet.</p> : <PhaseBar parts={parts} />}
      <table class="legend">
        <thead class="hidden"><tr><th scope="col">Phase</th><th scope="col">Time</th><th scope="col">Share</th></tr></thead>
        <tbody>
          {parts.map((part) => (
            <tr key={part.name}>
              <th scope="row"><span class={`swatch ${part.name}`} aria-hidden="true" />{part.long}</th>
              <td>{duration(part.ms)}</td>
              <td>{whole === 0 ? "–" : percent(part.ms / whole)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
