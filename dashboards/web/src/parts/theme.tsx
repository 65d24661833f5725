// Light, dark, or as the system has it; kept for the next visit.

import { useEffect, useState } from "preact/hooks";

type Choice = "auto" | "light" | "dark";
const KEY = "pgsonde-theme";
const CHOICES: Choice[] = ["auto", "light", "dark"];

function kept(): Choice {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "auto";
  } catch {
    // Pages from disk may have no storage.
    return "auto";
  }
}

function apply(choice: Choice): void {
  document.documentElement.dataset["theme"] = choice;
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // The choice then lasts as long as the page.
  }
}

export function Theme() {
  const [choice, setChoice] = useState<Choice>(kept);
  useEffect(() => apply(choice), [choice]);
  return (
    <label class="theme">
      <span class="hidden">Colours</span>
      <select value={choice} onChange={(event) => setChoice(event.currentTarget.value as Choice)}>
        {CHOICES.map((each) => <option key={each} value={each}>{each}</option>)}
      </select>
    </label>
  );
}
