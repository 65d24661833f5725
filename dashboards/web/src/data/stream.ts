// The stream of events, line by line, for as long as somebody looks.

import type { EventLine } from "./shapes";
import { open, Problem, type Parameters } from "./source";

/** A line that never ends is no line. */
const LINE_MAX = 1 << 20;

function parsed(line: string): EventLine | undefined {
  try {
    const value = JSON.parse(line) as EventLine;
    return typeof value.ev === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Reads until `signal` aborts or the proxy ends the stream. */
export async function follow(
  parameters: Parameters,
  signal: AbortSignal,
  take: (lines: EventLine[]) => void,
): Promise<void> {
  const response = await open("/api/v1/events", parameters, { signal });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) throw new Problem(0, null, "The stream has no body.");
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = (lines.pop() ?? "").slice(0, LINE_MAX);
    const events = lines.map(parsed).filter((event) => event !== undefined);
    if (events.length > 0) take(events);
  }
}
