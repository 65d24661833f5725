// One unit of work, statement by statement, over its time.

import type { Unit, UnitStatement } from "../data/shapes";
import { href } from "../data/route";
import { count, counted, duration, moment } from "../text/format";
import { PHASES } from "../text/words";
import { Name } from "./text";
import { slices } from "./phases";

function Bar({ statement, whole }: { statement: UnitStatement; whole: number }) {
  const at = (ms: number) => `${Math.min(100, (ms / whole) * 100).toFixed(3)}%`;
  return (
    <div class="lane" aria-hidden="true">
      <div class="lane-bar" style={{ marginLeft: at(statement.offset_ms), width: at(statement.duration_ms) }}>
        {slices(statement.phases_ms).filter((part) => part.ms > 0).map((part) => (
          <span key={part.name} class={`phase ${part.name}`} style={{ flexGrow: part.ms }} title={`${part.short}: ${duration(part.ms)}`} />
        ))}
      </div>
    </div>
  );
}

/** For each statement whether its digest ran before in the unit. */
function repeats(unit: Unit): boolean[] {
  const seen = new Set<string>();
  return unit.statements.map(({ digest }) => {
    const repeated = seen.has(digest);
    seen.add(digest);
    return repeated;
  });
}

export function Waterfall({ title, unit }: { title: string; unit: Unit | null }) {
  if (unit === null) {
    return (
      <section class="chart"><h2>{title}</h2><p class="soft">No unit of it is kept.</p></section>
    );
  }
  const repeated = repeats(unit);
  const whole = Math.max(unit.duration_ms, ...unit.statements.map((each) => each.offset_ms + each.duration_ms), 1e-6);
  return (
    <section class="chart">
      <h2>{title}</h2>
      <p class="soft">
        {counted(unit.statement_count, "statement")} in {counted(unit.round_trips, "round trip")},{" "}
        {duration(unit.duration_ms)} from first to last, {duration(unit.db_ms)} of it in the database; {count(unit.similar)}{" "}
        similar, {count(unit.duplicate)} duplicate. {moment(unit.at)}.
      </p>
      <p class="legend-line">
        {PHASES.map((phase) => (
          <span key={phase.name}><span class={`swatch ${phase.name}`} aria-hidden="true" />{phase.short}</span>
        ))}
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label={title}>
        <table class="waterfall">
          <thead>
            <tr>
              <th scope="col" class="text">Statement</th><th scope="col" class="text lane-head">0 to {duration(whole)}</th>
              <th scope="col">At</th><th scope="col">Took</th><th scope="col">Rows</th>
            </tr>
          </thead>
          <tbody>
            {unit.statements.map((statement, index) => (
              <tr key={index} class={repeated[index] ? "repeated" : ""}>
                <th scope="row">
                  <a href={href(["statements", statement.digest])}><Name text={statement.summary ?? statement.digest} width={48} /></a>
                  {repeated[index] && <span class="soft"> again</span>}
                </th>
                <td class="lane-cell"><Bar statement={statement} whole={whole} /></td>
                <td>{duration(statement.offset_ms)}</td>
                <td>{duration(statement.duration_ms)}</td>
                <td>{count(statement.rows)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {unit.cut && <p class="soft">Only its first {count(unit.statements.length)} statements are kept.</p>}
    </section>
  );
}
