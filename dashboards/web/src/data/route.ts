// The address: `#/statements/9f2c…?q=d>100ms`. Whatever a person can choose lives in it, so that a link shows the same.

import { useEffect, useState } from "preact/hooks";

export interface Place {
  path: string[];
  query: Record<string, string>;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function parsePlace(hash: string): Place {
  if (!hash.startsWith("#/")) return { path: [], query: {} };
  const [path = "", query = ""] = hash.slice(2).split(/\?(.*)/s);
  return {
    path: path === "" ? [] : path.split("/").map(decoded),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

export function href(path: string[], query: Record<string, string | undefined> = {}): string {
  const given = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== "");
  const text = new URLSearchParams(given).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text === "" ? "" : `?${text}`}`;
}

export function usePlace(): Place {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const follow = () => setHash(location.hash);
    addEventListener("hashchange", follow);
    addEventListener("popstate", follow);
    return () => {
      removeEventListener("hashchange", follow);
      removeEventListener("popstate", follow);
    };
  }, []);
  return parsePlace(hash);
}

/** Changes parts of the query without a new entry in the history. */
export function setQuery(change: Record<string, string | undefined>): void {
  const { path, query } = parsePlace(location.hash);
  const next = href(path, { ...query, ...change });
  if (next === location.hash) return;
  history.replaceState(null, "", next);
  dispatchEvent(new PopStateEvent("popstate"));
}

export function go(target: string): void {
  location.hash = target;
}
