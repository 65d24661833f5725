// The time range of a list. It lives in the address; the proxy's history answers for it.

import { setQuery, usePlace } from "../data/route";
import { isFile, type Parameters } from "../data/source";

const RANGES: Record<string, string> = {
  "1m": "last minute", "5m": "last 5 minutes", "15m": "last 15 minutes", "30m": "last 30 minutes", "1h": "last hour",
};

/** What to ask the API for; empty = since the start. A file has sums only. */
export function useRange(): Parameters {
  const range = usePlace().query["range"] ?? "";
  return !isFile && range in RANGES ? { from: `-${range}` } : {};
}

export function RangeSelect() {
  const range = usePlace().query["range"] ?? "";
  if (isFile) return null;
  return (
    <label>
      <span class="hidden">Time range</span>
      <select
        id="range" value={range in RANGES ? range : ""}
        onChange={(event) => setQuery({ range: event.currentTarget.value || undefined })}
      >
        <option value="">since the start</option>
        {Object.entries(RANGES).map(([id, name]) => <option key={id} value={id}>{name}</option>)}
      </select>
    </label>
  );
}
