// The filter box: its text lives in the address, `/` focuses it.

import { useEffect, useState } from "preact/hooks";
import { setQuery, usePlace } from "../data/route";
import { unanswered, type Filter, type Subject } from "../text/filter";
import { count, cut } from "../text/format";

const WAIT_MS = 150;

export function useFilterText(): string {
  return usePlace().query["q"] ?? "";
}

export function FilterBox({ placeholder, filter, sample, shown, all }: {
  placeholder: string;
  filter: Filter;
  sample?: Subject | undefined;
  shown?: number;
  all?: number;
}) {
  const text = useFilterText();
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => setQuery({ q: typed }), WAIT_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const without = unanswered(filter, sample);
  const notes = [...filter.problems, ...without.map((term) => `${term} can't be asked of this list`)];
  return (
    <div class="filter" role="search">
      <label>
        <span class="hidden">Filter</span>
        <input
          type="search" id="filter" value={typed} placeholder={placeholder} spellcheck={false} autocomplete="off"
          aria-describedby="filter-notes" onInput={(event) => setTyped(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
        />
      </label>
      <span id="filter-notes" class="soft" role="status">
        {notes.length > 0 ? cut(notes.join("; "), 160) : text !== "" && all !== undefined ? `${count(shown)} of ${count(all)}` : ""}
      </span>
    </div>
  );
}
