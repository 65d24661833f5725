// The plan of a statement, asked for with a click: it costs the server an EXPLAIN, and nothing is executed.

import { useState } from "preact/hooks";
import type { StatementPlan } from "../data/shapes";
import { Problem, send, token, type Parameters } from "../data/source";
import { clean, cleanLines } from "../text/format";

function Lines({ of }: { of: StatementPlan }) {
  const settings = Object.entries(of.settings);
  return (
    <>
      <pre tabIndex={0} role="region" aria-label="Plan now">{cleanLines(of.plan.join("\n"))}</pre>
      <p class="soft">
        Planned now, not executed, {of.generic ? "with values that the statistics suggest" : "with values that were sent"}; values are hidden.
        {settings.length > 0 && ` Set differently from PostgreSQL's defaults: ${clean(settings.map((pair) => pair.join(" = ")).join(", "))}.`}
      </p>
    </>
  );
}

export function PlanNow({ digest, parameters }: { digest: string; parameters: Parameters }) {
  const [plan, setPlan] = useState<StatementPlan | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [typed, setTyped] = useState("");
  const [waiting, setWaiting] = useState(false);
  const needsToken = token.value() === null || problem?.status === 401;
  const ask = (event: Event) => {
    event.preventDefault();
    if (needsToken) token.keep(typed.trim());
    setWaiting(true);
    send<StatementPlan>("POST", `/api/v1/statements/${digest}/explain?${new URLSearchParams(parameters).toString()}`, null)
      .then((answer) => {
        setPlan(answer);
        setProblem(null);
      })
      .catch((error: unknown) => setProblem(error instanceof Problem ? error : new Problem(0, null, "It could not be planned.")))
      .finally(() => setWaiting(false));
  };
  return (
    <>
      {plan !== null && <Lines of={plan} />}
      <form class="row" onSubmit={ask}>
        {needsToken && (
          <label title="The proxy printed it in its report line when it started">
            Token <input type="password" autocomplete="off" required value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
          </label>
        )}
        <button type="submit" disabled={waiting}>{plan === null ? "Plan it now" : "Plan it again"}</button>
        <span class="problem" role="alert">{problem === null ? "" : [problem.message, problem.help].filter(Boolean).join("; ")}</span>
      </form>
    </>
  );
}
