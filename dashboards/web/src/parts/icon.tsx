// Icons of one stroke width; each stands beside a word, so none has a name of its own.

const PATHS: Record<string, string> = {
  error: "M8 1.5 15 14H1Zm0 4.5v4m0 2v.5",
  warning: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Zm0 3v4m0 2v.5",
  info: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Zm0 5.5v4m0-6.5v.5",
  proved: "m3 8.5 3.2 3.5L13 4.5",
  candidate: "M5.5 6a2.5 2.5 0 1 1 3.6 2.2C8.3 8.7 8 9.2 8 10m0 2v.5",
  suspect: "M5.5 6a2.5 2.5 0 1 1 3.6 2.2C8.3 8.7 8 9.2 8 10m0 2v.5",
  muted: "M3 6.5v3h2.5L9 12.5v-9L5.5 6.5Zm8.5 0 3 3m0-3-3 3",
  resolved: "m3 8.5 3.2 3.5L13 4.5",
  copy: "M6 5.5h7v8H6Zm-3 5v-8h7",
  route: "M4 12.5a1.5 1.5 0 1 0 0-.1m0 0V8a2 2 0 0 1 2-2h4a2 2 0 0 0 2-2v-.500",
  clock: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Zm0 2.5V8l2.5 1.5",
  table: "M2.5 3.5h11v9h-11Zm0 3h11m-7 0v6",
  chart: "M3 13V8m4 5V3m4 10V6m3 7H2",
  pause: "M5.5 3.5v9m5-9v9",
  play: "m5 3 8 5-8 5Z",
  link: "m6 3.5 4.5 4.5L6 12.5",
  idle: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Z",
  active: "m5 3 8 5-8 5Z",
};

export function Icon({ name }: { name: string }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name] ?? PATHS["info"]} />
    </svg>
  );
}
