// What the Node programs share; scenario.py tells how such programs speak.
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

// Packages live where scripts/setup.sh put them: under the target folder.
const folder = process.env.PGSONDE_NODE ?? new URL("../../target/node/", import.meta.url).pathname;
export const require = createRequire(`${folder.replace(/\/$/, "")}/package.json`);
export { sleep };

export const PAGE = 40;
export const PAGE_CUSTOMERS = 23;
const scenarios = new Map();

/** The program has a problem: `expect` must be found. */
export function finds(expect, run, options = {}) {
  scenarios.set(run.name, { expect, never: [], may: [], repeats: 3, pause: 300, ...options, run });
}

/** The program is healthy: nothing of warning or above, and none of the kinds that it was repaired of. */
export function silent(never, run, options = {}) {
  scenarios.set(run.name, { expect: [], never, may: [], repeats: 3, pause: 300, ...options, run });
}

export const nPlusOne = (parent, child, more = {}) => ({ kind: "n_plus_one", proof: "dataflow", parent, child, ...more });
export const kind = (name, more = {}) => ({ kind: name, ...more });
export const word = () => Math.random().toString(36).slice(2);
export const email = (number) => `c${(number * 7) % 300}@example.net`;
export const product = (number) => 500000 + number * 7;
export const upTo = (count) => Array.from({ length: count }, (_, number) => number);

async function played(name, url, openShop) {
  const { run, repeats, pause } = scenarios.get(name);
  const shop = await openShop(`${url}_${name}`, name);
  let seen;
  for (let repeat = 0; repeat < repeats; repeat++) {
    if (repeat > 0) await sleep(pause);
    seen = await run(shop.client, shop);
  }
  await shop.close();
  return (seen ?? []).map((numbers) => ({ sightings: repeats, ...numbers }));
}

/** `openShop(url, applicationName)` gives `{ client, close }`. */
export async function main(openShop) {
  const [task, url, ...names] = process.argv.slice(2);
  if (task === "list") {
    for (const [name, { expect, never, may }] of scenarios) console.log(JSON.stringify({ name, expect, never, may }));
    return;
  }
  for (const name of names) {
    let answer;
    try {
      answer = { scenario: name, truth: await played(name, url, openShop) };
    } catch (error) {
      answer = { scenario: name, error: String(error.stack ?? error) };
    }
    console.log(JSON.stringify(answer));
  }
  process.exit(0);
}
