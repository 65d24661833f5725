// Silences a finding: needs a reason and the proxy's token, ends by itself if asked to.

import { useState } from "preact/hooks";
import { refresh } from "../data/pulse";
import { isFile, Problem, send, token } from "../data/source";
import type { Finding } from "../data/shapes";
import { Icon } from "./icon";
import { TokenForm } from "./status";

const ENDS: Record<string, { name: string; days: number | null }> = {
  week: { name: "for a week", days: 7 },
  month: { name: "for 30 days", days: 30 },
  good: { name: "for good", days: null },
};

function until(end: string): string | undefined {
  const days = ENDS[end]?.days ?? null;
  return days === null ? undefined : `${new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 19)}Z`;
}

function Form({ finding, done }: { finding: Finding; done: () => void }) {
  const [reason, setReason] = useState("");
  const [end, setEnd] = useState("month");
  const [typed, setTyped] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const needsToken = token.value() === null || problem?.status === 401;
  const submit = (event: Event) => {
    event.preventDefault();
    if (needsToken) token.keep(typed.trim());
    send<Finding>("POST", `/api/v1/findings/${finding.id}/mute`, { reason, until: until(end) })
      .then(() => {
        done();
        refresh();
      })
      .catch((error: unknown) => setProblem(error instanceof Problem ? error : new Problem(0, null, "It could not be muted.")));
  };
  return (
    <form class="mute row" onSubmit={submit}>
      <label>Reason <input required maxLength={200} value={reason} onInput={(event) => setReason(event.currentTarget.value)} autofocus /></label>
      <label>
        <span class="hidden">Until</span>
        <select value={end} onChange={(event) => setEnd(event.currentTarget.value)}>
          {Object.entries(ENDS).map(([id, each]) => <option key={id} value={id}>{each.name}</option>)}
        </select>
      </label>
      {needsToken && (
        <label title="The proxy printed it in its report line when it started">
          Token <input type="password" autocomplete="off" required value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
        </label>
      )}
      <button type="submit">Mute</button>
      <button type="button" class="plain" onClick={done}>Cancel</button>
      <span class="problem" role="alert">{problem === null ? "" : problem.status === 404 ? "This proxy cannot mute findings." : problem.message}</span>
    </form>
  );
}

function Unmute({ finding }: { finding: Finding }) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const unmute = () =>
    void send("DELETE", `/api/v1/findings/${finding.id}/mute`, {})
      .then(refresh)
      .catch((error: unknown) => setProblem(error instanceof Problem ? error : new Problem(0, null, "It could not be unmuted.")));
  return (
    <>
      <button type="button" class="plain" onClick={unmute}>Unmute</button>
      {problem?.status === 401 ? <TokenForm /> : <span class="problem" role="alert">{problem?.message}</span>}
    </>
  );
}

export function Mute({ finding }: { finding: Finding }) {
  const [isOpen, setOpen] = useState(false);
  if (isFile) return null;
  if (finding.state === "muted") return <Unmute finding={finding} />;
  if (finding.state !== "open") return null;
  if (isOpen) return <Form finding={finding} done={() => setOpen(false)} />;
  return (
    <button type="button" class="plain" onClick={() => setOpen(true)}>
      <Icon name="muted" />
      Mute …
    </button>
  );
}
