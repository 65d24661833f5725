// Where the time goes, as a flame: service, route, statement, phase. A click zooms; the table beside it says the same.

import { useAnswer } from "../data/answer";
import { setQuery, usePlace } from "../data/route";
import type { FlameNode } from "../data/shapes";
import { clean, cut, duration, percent } from "../text/format";
import { PHASES } from "../text/words";
import { useWidth } from "../parts/chart";
import { Share } from "../parts/spark";
import { Loaded, NoStatements } from "../parts/status";
import { Name } from "../parts/text";

const LEVELS = ["Everything", "Service", "Route", "Statement", "Phase"];
/** Narrower than this is neither seen nor hit. */
const WIDTH_MIN_PX = 2;
const ROW_REM = 1.75;

const label = (name: string): string => PHASES.find((phase) => phase.name === name)?.short ?? (name === "" ? "no route" : clean(name));
const children = (node: FlameNode): FlameNode[] => [...(node.children ?? [])].sort((a, b) => b.value_ms - a.value_ms);

/** The address keeps the names on the way down. */
const readPath = (text: string | undefined): string[] => {
  try {
    const path: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(path) ? path.map(String) : [];
  } catch {
    return [];
  }
};

function follow(root: FlameNode, path: string[]): FlameNode[] {
  const way = [root];
  for (const name of path) {
    const next = way.at(-1)?.children?.find((child) => child.name === name);
    if (!next) break;
    way.push(next);
  }
  return way;
}

interface Box { node: FlameNode; path: string[]; depth: number; from: number; share: number }

function boxes(node: FlameNode, path: string[], depth: number, from: number, share: number, least: number): Box[] {
  const own: Box = { node, path, depth, from, share };
  let at = from;
  const below = children(node).flatMap((child) => {
    const part = node.value_ms > 0 ? (child.value_ms / node.value_ms) * share : 0;
    const found = part < least ? [] : boxes(child, [...path, child.name], depth + 1, at, part, least);
    at += part;
    return found;
  });
  return [own, ...below];
}

const zoom = (path: string[]): void => setQuery({ at: path.length === 0 ? undefined : JSON.stringify(path) });

function Graph({ way, path, whole }: { way: FlameNode[]; path: string[]; whole: number }) {
  const [ref, width] = useWidth();
  const node = way.at(-1) ?? { name: "", value_ms: 0 };
  const all = boxes(node, path, way.length - 1, 0, 1, WIDTH_MIN_PX / width);
  const depth = Math.max(...all.map((box) => box.depth));
  return (
    <div ref={ref} class="flame" style={{ height: `${(depth + 1) * ROW_REM}rem` }} role="group" aria-label={`Flame of ${duration(node.value_ms)}: ${LEVELS.slice(way.length).join(", then ").toLowerCase()}. The table says the same.`}>
      {way.slice(0, -1).map((above, index) => (
        <button key={index} type="button" class={`box level-${index} above`} style={{ top: `${index * ROW_REM}rem`, left: "0", width: "100%" }} onClick={() => zoom(path.slice(0, index))}>
          {index === 0 ? "all" : label(above.name)}
        </button>
      ))}
      {all.map((box) => (
        <button
          key={box.path.join("\n")} type="button" class={`box level-${box.depth} ${box.depth === 4 ? box.node.name : ""}`}
          style={{ top: `${box.depth * ROW_REM}rem`, left: `${box.from * 100}%`, width: `${box.share * 100}%` }}
          title={`${cut(label(box.node.name), 300)}: ${duration(box.node.value_ms)}, ${percent(box.node.value_ms / whole)}`}
          tabIndex={box.share * width < 24 ? -1 : 0} onClick={() => zoom(box.path)}
        >
          {box.share * width < 40 ? <span class="hidden">{cut(label(box.node.name), 60)}</span> : box.depth === 0 ? "all" : cut(label(box.node.name), 100)}
        </button>
      ))}
    </div>
  );
}

function Parts({ node, path, depth, whole }: { node: FlameNode; path: string[]; depth: number; whole: number }) {
  const parts = children(node);
  if (parts.length === 0) return <p class="soft">Nothing below.</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`By ${(LEVELS[depth + 1] ?? "part").toLowerCase()}`}>
      <table>
        <thead>
          <tr><th scope="col" class="text">{LEVELS[depth + 1] ?? "Part"}</th><th scope="col">Time</th><th scope="col">Share of all</th></tr>
        </thead>
        <tbody>
          {parts.slice(0, 200).map((part, index) => (
            <tr key={index}>
              <th scope="row">
                {part.children && part.children.length > 0
                  ? <button type="button" class="link" onClick={() => zoom([...path, part.name])}><Name text={label(part.name)} width={80} /></button>
                  : <Name text={label(part.name)} width={80} />}
              </th>
              <td>{duration(part.value_ms)}</td>
              <td><span class="share-cell"><Share share={part.value_ms / whole} />{percent(part.value_ms / whole)}</span></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Body({ root }: { root: FlameNode }) {
  const wanted = readPath(usePlace().query["at"]);
  const way = follow(root, wanted);
  const path = wanted.slice(0, way.length - 1);
  const node = way.at(-1) ?? root;
  const whole = root.value_ms || 1;
  return (
    <>
      <nav class="crumb" aria-label="Zoom">
        {way.map((each, index) => (
          <span key={index}>
            {index > 0 && " › "}
            {index === way.length - 1 ? <strong>{index === 0 ? "all" : cut(label(each.name), 60)}</strong>
              : <button type="button" class="link" onClick={() => zoom(path.slice(0, index))}>{index === 0 ? "all" : cut(label(each.name), 60)}</button>}
          </span>
        ))}
        <span class="soft"> · {duration(node.value_ms)}, {percent(node.value_ms / whole)} of all</span>
      </nav>
      <Graph way={way} path={path} whole={whole} />
      <Parts node={node} path={path} depth={way.length - 1} whole={whole} />
    </>
  );
}

export function Flame() {
  const answer = useAnswer<FlameNode>("/api/v1/flame");
  return (
    <>
      <h1 tabIndex={-1}>Flame</h1>
      <p class="soft">All time in statements: service, then route, then statement, then phase. A click zooms.</p>
      <Loaded answer={answer} what="flame">{(root) => (root.value_ms > 0 ? <Body root={root} /> : <NoStatements />)}</Loaded>
    </>
  );
}
