// Text that came from clients or from the analyzer: always as text nodes.

import { useMemo } from "preact/hooks";
import { clean, cleanLines, cut } from "../text/format";
import { layout, pieces } from "../text/sql";
import type { Finding } from "../data/shapes";
import { grade, severityWords, stateWords } from "../text/words";
import { Icon } from "./icon";

/** A name, cut for tables; the title has more of it. */
export function Name({ text, width = 120 }: { text: string; width?: number }) {
  const shown = cut(text, width);
  const whole = clean(text.slice(0, 2_000));
  return shown === whole ? <bdi>{shown}</bdi> : <bdi title={whole}>{shown}</bdi>;
}

/** A sentence with names in backticks; where those don't pair up it is plain text. */
export function Prose({ text }: { text: string }) {
  const parts = clean(text).split("`");
  if (parts.length % 2 === 0) return <>{clean(text)}</>;
  return <>{parts.map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))}</>;
}

const SHOWN_MAX = 20_000;

export function Sql({ text, mark }: { text: string; mark?: string | null }) {
  const shown = useMemo(() => layout(pieces(cleanLines(text.slice(0, SHOWN_MAX)))), [text]);
  const column = mark?.toLowerCase();
  const marked = (piece: string) => column !== undefined && piece.replace(/"/g, "").toLowerCase() === column;
  return (
    <pre class="sql" tabIndex={0} role="region" aria-label="Statement text">
      <code>
        {shown.map((piece, index) =>
          marked(piece.text) && (piece.kind === "name" || piece.kind === "quoted") ? (
            <mark key={index}>{piece.text}</mark>
          ) : piece.kind === "keyword" || piece.kind === "parameter" || piece.kind === "string" ? (
            <span key={index} class={piece.kind}>{piece.text}</span>
          ) : (
            piece.text
          ),
        )}
        {text.length > SHOWN_MAX && " …"}
      </code>
    </pre>
  );
}

export function Severity({ severity }: { severity: string }) {
  return (
    <span class={`badge ${severity}`}>
      <Icon name={severity} />
      {severityWords(severity)}
    </span>
  );
}

export function Grade({ finding }: { finding: Finding }) {
  const word = grade(finding);
  return (
    <span class={`badge ${word}`}>
      <Icon name={word} />
      {word}
    </span>
  );
}

export function State({ state }: { state: string }) {
  if (state === "open") return null;
  return (
    <span class="badge quiet">
      <Icon name={state} />
      {stateWords(state)}
    </span>
  );
}

export function Id({ text }: { text: string }) {
  return <code class="id">{clean(text)}</code>;
}
