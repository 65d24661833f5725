// Keys: what they do, and the list of them.

import { useEffect, useRef, useState } from "preact/hooks";
import { go } from "../data/route";
import { PAGES } from "../pages/list";

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.matches("input, textarea, select") || target.isContentEditable);
}

/** `/`, `?` and `g` with a letter; tells when the list of keys is asked for. */
function useKeys(ask: () => void): void {
  const afterG = useRef(false);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const wasG = afterG.current;
      afterG.current = event.key === "g";
      if (wasG) {
        const page = PAGES.find((each) => each.key === event.key);
        if (page) {
          event.preventDefault();
          go(`#/${page.path}`);
        }
        return;
      }
      if (event.key === "?") ask();
      if (event.key === "/") {
        const box = document.getElementById("filter");
        if (box) {
          event.preventDefault();
          box.focus();
        }
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  const [isOpen, setOpen] = useState(false);
  const show = () => {
    setOpen(true);
    if (!dialog.current?.open) dialog.current?.showModal();
  };
  useKeys(show);
  return (
    <>
      <button type="button" class="plain" onClick={show} title="Keys (?)">
        <span aria-hidden="true">?</span>
        <span class="hidden">List of keys</span>
      </button>
      <dialog ref={dialog} aria-labelledby="keys" onClose={() => setOpen(false)}>
        <h2 id="keys">Keys</h2>
        {isOpen && (
          <dl class="keys">
            <dt><kbd>/</kbd></dt><dd>to the filter</dd>
            <dt><kbd>?</kbd></dt><dd>this list</dd>
            <dt><kbd>↑</kbd> <kbd>↓</kbd></dt><dd>from row to row in a table</dd>
            <dt><kbd>Space</kbd></dt><dd>pauses the live page</dd>
            <dt><kbd>Esc</kbd></dt><dd>leaves a box</dd>
            {PAGES.map((page) => [
              <dt key={page.key}><kbd>g</kbd> <kbd>{page.key}</kbd></dt>,
              <dd key={page.path}>{page.name}</dd>,
            ])}
          </dl>
        )}
        <h3>Filters</h3>
        <p class="soft">
          Words are looked for in names and text; all terms must hold; <code>-</code> negates.
        </p>
        <p><code>d&gt;100ms</code> <code>rows&gt;1000</code> <code>bytes&gt;1MiB</code> <code>op:select</code>{" "}
          <code>db:shop</code> <code>svc:web</code> <code>route:/orders/*</code> <code>err:23505</code>{" "}
          <code>kind:n_plus_one</code> <code>digest:9f2c…</code></p>
        <p class="soft">In lists <code>d</code> is the 95 % quantile of a statement, and <code>rows</code> the rows of a call.</p>
        <form method="dialog"><button>Close</button></form>
      </dialog>
    </>
  );
}
