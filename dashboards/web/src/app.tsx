// The frame around every page: menu, freshness, banner, theme, keys.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { usePlace, type Place } from "./data/route";
import { pause, usePulse } from "./data/pulse";
import { isFile } from "./data/source";
import { count, moments, threeDigits } from "./text/format";
import { PAGES } from "./pages/list";
import { About } from "./pages/about";
import { Compare } from "./pages/compare";
import { Connections } from "./pages/connections";
import { Errors } from "./pages/errors";
import { FindingPage } from "./pages/finding";
import { Findings } from "./pages/findings";
import { Flame } from "./pages/flame";
import { Live } from "./pages/live";
import { RoutePage, Routes, UnitPage } from "./pages/routes";
import { StatementPage } from "./pages/statement";
import { Statements } from "./pages/statements";
import { Tables } from "./pages/tables";
import { Transactions } from "./pages/transactions";
import { Help } from "./parts/help";
import { Icon } from "./parts/icon";
import { Banner, Empty } from "./parts/status";
import { Theme } from "./parts/theme";

function Page({ path, query }: Place): ComponentChildren {
  const [page = "", id, more] = path;
  switch (page) {
    case "": return <Findings />;
    case "findings": return id === undefined ? <Findings /> : <FindingPage key={id} id={id} />;
    case "statements": return id === undefined ? <Statements /> : <StatementPage key={id} digest={id} database={query["database"]} />;
    case "routes": return id === undefined || more === undefined ? <Routes /> : <RoutePage key={`${id}\n${more}`} service={id} route={more} />;
    case "units": return <UnitPage key={id} id={id ?? ""} />;
    case "flame": return <Flame />;
    case "transactions": return <Transactions />;
    case "tables": return <Tables />;
    case "connections": return <Connections />;
    case "errors": return <Errors />;
    case "live": return <Live />;
    case "compare": return <Compare />;
    case "about": return <About />;
    default: return <><h1 tabIndex={-1}>Nowhere</h1><Empty title="There is no such page."><p><a href="#/">To the findings</a></p></Empty></>;
  }
}

function Menu({ current }: { current: string }) {
  const groups = [...new Set(PAGES.map((page) => page.group))];
  return (
    <nav aria-label="Pages" class="menu">
      {groups.map((group) => (
        <ul key={group} aria-label={group}>
          {PAGES.filter((page) => page.group === group).map((page) => (
            <li key={page.path}>
              <a href={`#/${page.path}`} aria-current={current === page.path ? "page" : undefined} title={`g ${page.key}`}>{page.name}</a>
            </li>
          ))}
        </ul>
      ))}
    </nav>
  );
}

function Freshness() {
  const { summary, rate, problem, paused } = usePulse();
  if (!summary) return <span class="soft">{problem ? "no answer" : "connecting …"}</span>;
  if (isFile) return <span class="soft">report of {moments(summary.from, summary.to)}</span>;
  const words = paused ? "paused" : problem ? "no answer" : rate === null ? "live" : rate > 0 ? rate < 10 ? threeDigits(rate) : count(rate) : "quiet";
  return (
    <span class="freshness">
      <span class={`dot ${problem ? "bad" : paused || rate === 0 ? "still" : "good"}`} aria-hidden="true" />
      <span>{words}{/\d/.test(words) && <> <span class="unit">statements</span>/s</>}</span>
      <button type="button" class="plain" onClick={() => pause(!paused)}>
        <Icon name={paused ? "play" : "pause"} /><span class="hidden">{paused ? "Go on refreshing" : "Stop refreshing"}</span>
      </button>
    </span>
  );
}

/** The window is named after the heading, which may come with the data. */
function useTitle(): void {
  useEffect(() => {
    const main = document.getElementById("main");
    if (!main) return;
    const name = () => {
      const words = main.querySelector("h1")?.textContent ?? "";
      const title = words === "" ? "pgsonde" : `${words.slice(0, 80)} – pgsonde`;
      if (document.title !== title) document.title = title;
    };
    const observer = new MutationObserver(name);
    observer.observe(main, { childList: true, subtree: true, characterData: true });
    name();
    return () => observer.disconnect();
  }, []);
}

/** After going to another page, reading begins at its heading. */
function useArrival(path: string): void {
  const first = useRef(true);
  useEffect(() => {
    const heading = document.querySelector<HTMLElement>("main h1");
    if (first.current) {
      first.current = false;
      return;
    }
    scrollTo(0, 0);
    (heading ?? document.getElementById("main"))?.focus({ preventScroll: true });
  }, [path]);
}

export function App() {
  const place = usePlace();
  const path = place.path.join("/");
  const [isOpen, setOpen] = useState(false);
  useArrival(path);
  useTitle();
  useEffect(() => setOpen(false), [path]);
  const current = { findings: "", units: "routes" }[place.path[0] ?? ""] ?? place.path[0] ?? "";
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>To the content</a>
      <header class="top">
        <button type="button" class="plain menu-button" aria-expanded={isOpen} aria-controls="menu" onClick={() => setOpen(!isOpen)}>
          <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="M2 4h12M2 8h12M2 12h12" /></svg><span class="hidden">Menu</span>
        </button>
        <a class="brand" href="#/">
          <svg viewBox="0 0 16 16" aria-hidden="true"><path d="M1 9h3l2-6 3 10 2-6 1 2h3" /></svg>pgsonde
        </a>
        <Freshness />
        <span class="spring" />
        <Theme />
        <Help />
      </header>
      <div class="frame">
        <div id="menu" class={isOpen ? "side open" : "side"}><Menu current={current} /></div>
        <main id="main" tabIndex={-1}>
          <Banner />
          <Page path={place.path} query={place.query} />
        </main>
      </div>
    </>
  );
}
