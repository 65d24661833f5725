// A real browser that notices everything a page must not do, and what the tests ask of it.

import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(new URL("../../dashboards/web/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const CHROMIUM = process.env.PGSONDE_CHROMIUM ?? "/usr/bin/chromium";
const LIMIT_MS = 10_000;

export const problems = [];

export function check(condition, what) {
  if (!condition) problems.push(what);
}

export function report() {
  for (const problem of problems) console.error(`not ok: ${problem}`);
  process.exit(problems.length === 0 ? 0 : 1);
}

export async function launch() {
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath: CHROMIUM, args, timeout: 20_000 });
}

/** A page whose console, requests and errors are watched. */
export async function watched(browser, origin, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  page.on("pageerror", (error) => problems.push(`error on ${page.url().slice(0, 200)}: ${error.stack}`));
  page.on("console", (message) => {
    // The browser says itself that a read was answered 404; that a page may ask for what a proxy lacks is part of it,
    // as it is that a plan is asked for where there is no side connection (503).
    const absent = /\/explain(\?|$)/.test(message.location().url) ? / 503 / : / 404 /;
    const isAbsence = message.text().startsWith("Failed to load resource") && absent.test(message.text());
    if (["error", "warning"].includes(message.type()) && !isAbsence) problems.push(`console on ${page.url().slice(0, 200)}: ${message.text().slice(0, 400)}`);
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith("data:") && !url.startsWith("blob:")) problems.push(`a request to ${url}`);
  });
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  return page;
}

/** Accessibility: nothing serious or critical. */
export async function accessible(page, name) {
  // Not as a script element: the policy of the page would refuse it.
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    // Colours on their way from one theme to the other have contrasts that nobody gets to read.
    await Promise.allSettled(document.getAnimations().map((animation) => animation.finished));
    const { violations, passes } = await globalThis.axe.run(document);
    if (passes.length < 10) return [`only ${passes.length} rules were applied`];
    return violations.filter((each) => ["serious", "critical"].includes(each.impact))
      .map((each) => `${each.id} (${each.nodes.length}): ${each.nodes.slice(0, 3).map((node) => `${node.target.join(" ")}: ${node.failureSummary?.split("\n").slice(1, 3).join(" ")}`).join(" | ")}`);
  });
  for (const each of found) problems.push(`axe on ${name}: ${each.slice(0, 700)}`);
}

export async function shot(page, folder, name, fullPage = true) {
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage });
}

/** Goes to a place of the page and waits until it has its heading and its data. */
export async function goTo(page, origin, hash) {
  await page.goto(`${origin}/${hash}`);
  await settled(page);
}

export async function settled(page) {
  await page.waitForSelector("main h1");
  await page.waitForFunction(() => !document.querySelector(".loading"));
}

/** Nothing of hostile text became an element, an attribute or a script. */
export async function harmless(page, name) {
  const found = await page.evaluate(() => ({
    pwned: globalThis.pwned !== undefined,
    images: document.images.length,
    scripts: document.querySelectorAll("main script, main style, main iframe, main object").length,
    handlers: [...document.querySelectorAll("*")].filter((each) => [...each.attributes].some((attribute) => attribute.name.startsWith("on"))).length,
    steers: /[\u200b-\u200f\u202a-\u202e\u2066-\u2069]/.test(document.body.innerText),
  }));
  check(!found.pwned && found.images === 0 && found.scripts === 0 && found.handlers === 0 && !found.steers, `hostile text on ${name}: ${JSON.stringify(found)}`);
}

/** Whether the page is wider than its window. */
export async function fits(page, name) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  check(over <= 0, `${name} is ${over} px too wide`);
}
