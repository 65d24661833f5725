// Every name and text tries to be markup, to steer the line, or to be endless: all of it stays text.
// Also: what the page does without data, without a proxy, and with a token that is refused.

import { accessible, check, fits, goTo, harmless, launch, report, settled, watched } from "./browser.mjs";
import { HOSTILE, serve } from "./mock.mjs";

const PAGES = ["#/", "#/findings/3f2a00000000", "#/statements", "#/statements?cols=calls,p50,digest,operation,database,seen", "#/statements/9f2c41d07ab85e00", "#/routes",
  `#/routes/web/${encodeURIComponent(HOSTILE)}`, "#/units/00000000000000a1", "#/flame", "#/transactions", "#/tables", "#/connections", "#/errors", "#/live", "#/compare", "#/about",
  `#/${encodeURIComponent(HOSTILE)}`, `#/findings/${encodeURIComponent(HOSTILE)}`, `#/statements?q=${encodeURIComponent(HOSTILE)}`, `#/flame?at=${encodeURIComponent(JSON.stringify([HOSTILE]))}`, "#/%E0%A4%A"];

async function text(browser) {
  const mock = await serve({ hostile: true });
  const page = await watched(browser, mock.url);
  const small = await watched(browser, mock.url, { viewport: { width: 360, height: 740 } });
  let seen = 0;
  for (const hash of PAGES) {
    await goTo(page, mock.url, hash).catch((error) => check(false, `${hash.slice(0, 60)}: ${error.message}`));
    if (hash === "#/live") await page.waitForSelector("table.live");
    await harmless(page, hash.slice(0, 60));
    seen += (await page.locator("body").innerText()).includes("<script>") ? 1 : 0;
    if (hash.includes("?") || hash.startsWith("#/%")) continue;
    await goTo(small, mock.url, hash).catch((error) => check(false, `${hash.slice(0, 60)} small: ${error.message}`));
    await fits(small, `hostile ${hash.slice(0, 60)} at 360 px`);
  }
  check(seen >= 9, `the names are shown as they are (${seen})`);
  mock.close();
}

async function empty(browser) {
  const mock = await serve({ digests: 0 });
  const page = await watched(browser, mock.url);
  const words = { "#/": "No statements yet", "#/statements": "No statements yet", "#/routes": "No route tags seen", "#/flame": "No statements yet", "#/transactions": "autocommit", "#/tables": "No table names parsed", "#/connections": "No clients connected", "#/errors": "No errors", "#/compare": "Choose two times", "#/findings/ffffffffffff": "nothing", "#/nowhere": "no such page" };
  for (const [hash, expected] of Object.entries(words)) {
    await page.goto(`${mock.url}/${hash}`);
    await page.waitForSelector(".empty");
    const shown = await page.locator("main").innerText();
    check(shown.includes(expected), `${hash} teaches: ${shown.slice(0, 200)}`);
    if (hash === "#/") await accessible(page, "empty home");
  }
  mock.close();
}

async function refused(browser) {
  const mock = await serve({ digests: 5, findings: 3 });
  const page = await watched(browser, mock.url);
  await goTo(page, mock.url, "#/");
  await page.getByRole("button", { name: /Mute/ }).first().click();
  await page.getByLabel("Reason").fill("known");
  await page.getByLabel("Token").fill("secret");
  await page.getByRole("button", { name: "Mute", exact: true }).click();
  await page.waitForFunction(() => document.querySelector("form.mute") === null);
  mock.close();
  await page.waitForSelector(".banner", { timeout: 12_000 }).catch(() => check(false, "a silent proxy is said"));
  check((await page.locator("article.finding").count()) === 3, "what was known stays");
  // That its own reads now fail is what the browser prints.
  const { problems } = await import("./browser.mjs");
  const kept = problems.filter((problem) => !problem.includes("ERR_CONNECTION_REFUSED") && !problem.includes("ERR_CONNECTION_RESET") && !problem.includes("ERR_EMPTY_RESPONSE"));
  problems.splice(0, problems.length, ...kept);
}

const browser = await launch();
for (const part of [text, empty, refused]) {
  const started = performance.now();
  await part(browser).catch((error) => check(false, `${part.name}: ${error.stack}`));
  console.log(`${part.name}: ${((performance.now() - started) / 1e3).toFixed(1)} s`);
}
await browser.close();
report();
