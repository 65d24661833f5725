// Puts text on the clipboard and says that it did.

import { useEffect, useState } from "preact/hooks";
import { Icon } from "./icon";

async function put(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages from disk or from a plain address may not use the clipboard that way.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function Copy({ text, what, label }: { text: string; what: string; label?: string }) {
  const [told, setTold] = useState<string | null>(null);
  useEffect(() => {
    if (told === null) return;
    const timer = setTimeout(() => setTold(null), 2_000);
    return () => clearTimeout(timer);
  }, [told]);
  const copy = () => void put(text).then((done) => setTold(done ? "Copied" : "Not allowed here"));
  return (
    <button type="button" class="copy" onClick={copy} title={`Copy ${what}`}>
      <Icon name={told === "Copied" ? "proved" : "copy"} />
      <span aria-live="polite">{told ?? label ?? `Copy ${what}`}</span>
    </button>
  );
}
