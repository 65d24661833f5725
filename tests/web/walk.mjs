// Walks every page of a running proxy, with mouse and keyboard, in both themes and on a small screen.
//
//   node tests/web/walk.mjs http://127.0.0.1:9635 FOLDER_FOR_SCREENSHOTS TOKEN

import { accessible, check, fits, goTo, harmless, launch, report, settled, shot, watched } from "./browser.mjs";

const [origin, folder, token] = process.argv.slice(2);
const api = async (path) => (await fetch(`${origin}/api/v1/${path}`)).json();

const finding = (await api("findings?limit=50")).items.find((each) => each.kind === "n_plus_one") ?? (await api("findings")).items[0];
const statements = (await api("statements?limit=200")).items;
const statement = statements.find((each) => each.operation === "select" && each.calls > 50) ?? statements[0];
const routes = (await api("routes")).items;
const route = routes.find((each) => each.route.startsWith("/")) ?? routes[0];
const unit = route?.typical_unit ?? route?.worst_unit;

const PAGES = {
  findings: "#/", finding: `#/findings/${finding?.id}`, statements: "#/statements",
  statement: `#/statements/${statement.digest}?database=${statement.database}`, routes: "#/routes",
  route: `#/routes/${encodeURIComponent(route?.service)}/${encodeURIComponent(route?.route)}`, unit: `#/units/${unit}`,
  flame: "#/flame", transactions: "#/transactions", tables: "#/tables", live: "#/live", connections: "#/connections",
  errors: "#/errors", compare: "#/compare", about: "#/about",
};

async function look(browser) {
  for (const scheme of ["light", "dark"]) {
    const page = await watched(browser, origin, { colorScheme: scheme, reducedMotion: "reduce" });
    for (const [name, hash] of Object.entries(PAGES)) {
      await goTo(page, origin, hash);
      await accessible(page, `${name} (${scheme})`);
      await harmless(page, name);
      await shot(page, folder, `${name}-${scheme}`, name !== "statements");
    }
    await page.context().close();
  }
  const small = await watched(browser, origin, { viewport: { width: 360, height: 740 } });
  for (const [name, hash] of Object.entries(PAGES)) {
    await goTo(small, origin, hash);
    await fits(small, `${name} at 360 px`);
    await shot(small, folder, `${name}-360`);
  }
  await small.getByRole("button", { name: "Menu" }).click();
  check(await small.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Statements" }).isVisible(), "the menu opens on a small screen");
  await small.context().close();
  // 200 % zoom of a window of 1280 is a window of 640 with twice the pixels.
  const zoomed = await watched(browser, origin, { viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 });
  for (const [name, hash] of Object.entries(PAGES)) {
    await goTo(zoomed, origin, hash);
    await fits(zoomed, `${name} at 200 %`);
  }
  await zoomed.context().close();
}

async function keyboard(browser) {
  const page = await watched(browser, origin);
  await goTo(page, origin, "#/");
  const heading = () => page.locator("main h1").first().innerText();
  for (const [key, name] of [["s", "Statements"], ["r", "Routes"], ["m", "Flame"], ["t", "Transactions"], ["b", "Tables"], ["l", "Live"], ["c", "Connections"], ["e", "Errors"], ["d", "Compare"], ["a", "About"], ["f", "Findings"]]) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    await page.waitForFunction((wanted) => document.querySelector("main h1")?.textContent === wanted, name).catch(() => {});
    check((await heading()) === name, `g ${key} goes to ${name}`);
    await page.waitForFunction(() => document.activeElement?.tagName === "H1", undefined, { timeout: 3_000 }).catch(() => check(false, `reading begins at the heading of ${name}`));
  }
  await page.keyboard.press("?");
  check(await page.getByRole("dialog").isVisible(), "? opens the list of keys");
  await accessible(page, "list of keys");
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await settled(page);
  await page.keyboard.press("/");
  check(await page.evaluate(() => document.activeElement?.id === "filter"), "/ goes to the filter");
  await page.keyboard.type("op:select web_carts");
  await page.waitForFunction(() => location.hash.includes("q=op"));
  check(await page.locator("tbody tr").count() > 0, "the filter leaves some");
  const operations = await page.locator("tbody th a").allInnerTexts();
  check(operations.every((text) => text.startsWith("SELECT")), `only reads are left: ${operations.slice(0, 3)}`);
  await page.keyboard.press("Escape");
  await page.locator("tbody th a").first().focus();
  await page.keyboard.press("ArrowDown");
  check(await page.evaluate(() => document.activeElement?.closest("tr")?.rowIndex === 2), "the arrow goes to the next row");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => /#\/statements\/[0-9a-f]{16}/.test(location.hash));
  await page.goBack();
  check(page.url().includes("q=op"), "back keeps the filter");
  await page.context().close();
}

async function mouse(browser) {
  const page = await watched(browser, origin);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin });
  await goTo(page, origin, `#token=${token}`);
  check(!page.url().includes(token) && (await page.evaluate(() => sessionStorage.getItem("pgsonde-token"))) === token, "the token leaves the address");
  await page.getByRole("button", { name: "Copy fix" }).first().click();
  check((await page.evaluate(() => navigator.clipboard.readText())).length > 10, "the fix is on the clipboard");
  await page.getByRole("link", { name: "Statements", exact: true }).click();
  await settled(page);
  await page.getByRole("button", { name: "Calls" }).click();
  await page.waitForFunction(() => location.hash.includes("sort=-calls"));
  check((await page.locator("th[aria-sort=descending]").innerText()).startsWith("Calls"), "aria-sort follows");
  const calls = await page.locator("tbody tr td:nth-child(3)").allInnerTexts();
  const values = calls.map((text) => Number(text.replace(/,/g, "")));
  check(values.length > 1 && values.every((value, index) => index === 0 || value <= values[index - 1]), `calls go down: ${calls.slice(0, 5)}`);
  await ranged(page);
  await page.locator(".chooser summary").click();
  await page.getByLabel("Median").check();
  await page.waitForFunction(() => location.hash.includes("p50"));
  check(await page.getByRole("columnheader", { name: "Median" }).isVisible(), "a chosen column is shown");
  await page.locator("tbody th a").first().click();
  await page.waitForFunction(() => /#\/statements\/[0-9a-f]{16}/.test(location.hash));
  await settled(page);
  const chart = page.locator("section.chart", { hasText: "Distribution of times" });
  check(/executions, most of them at/.test(await chart.locator(".picture").getAttribute("aria-label") ?? ""), "the histogram says what it shows");
  await chart.getByRole("button", { name: /Table/ }).click();
  check(await chart.getByRole("columnheader", { name: "Executions" }).isVisible(), "the histogram has a table");
  await page.getByRole("button", { name: "Copy EXPLAIN" }).click();
  check((await page.evaluate(() => navigator.clipboard.readText())).includes("EXPLAIN"), "EXPLAIN is on the clipboard");
  await page.getByRole("button", { name: "Plan it now" }).click();
  await page.getByRole("alert").filter({ hasText: "there is no side connection" }).waitFor();
  await flame(page);
  await mute(page);
  await page.locator("label.theme select").selectOption("dark");
  check((await page.evaluate(() => getComputedStyle(document.body).colorScheme)).includes("dark"), "dark is dark");
  await page.context().close();
}

/** Of the last minutes: the sums of their steps, which the address keeps. */
async function ranged(page) {
  await page.getByLabel("Time range").selectOption("last 5 minutes");
  await page.waitForFunction(() => location.hash.includes("range=5m"));
  await page.locator("caption", { hasText: "in whole steps" }).waitFor();
  check((await page.locator("tbody tr").count()) > 0, "the last minutes have statements");
  check((await page.locator("tbody tr td:nth-child(6)").first().innerText()) === "–", "99 % is not known of a time range");
  await page.getByLabel("Time range").selectOption("since the start");
  await page.waitForFunction(() => !location.hash.includes("range="));
  await page.locator("caption", { hasNotText: "in whole steps" }).waitFor();
}

/** Silences a finding and lets it speak again, with the token that came in the address. */
async function mute(page) {
  await goTo(page, origin, "#/");
  const card = page.locator("article.finding").last();
  const sentence = await card.getByRole("heading").innerText();
  await card.getByRole("button", { name: "Mute" }).click();
  await card.getByLabel("Reason").fill("known");
  await card.getByRole("button", { name: "Mute", exact: true }).click();
  await page.getByRole("button", { name: /^muted 1/ }).waitFor();
  await page.getByRole("button", { name: /^muted/ }).click();
  const muted = page.locator("article.finding", { hasText: sentence });
  await muted.getByRole("button", { name: "Unmute" }).click();
  await page.getByRole("button", { name: /^muted 0/ }).waitFor();
}

async function flame(page) {
  await goTo(page, origin, "#/flame");
  await phases(page);
  await page.locator(".flame .box").nth(1).click();
  await page.waitForFunction(() => location.hash.includes("at="));
  check(await page.getByRole("navigation", { name: "Zoom" }).getByRole("button", { name: "all" }).isVisible(), "a click zooms, and there is a way back");
}

/** Which phases are wide enough for a label depends on the load; the contrast of each is looked at in any case. */
async function phases(page) {
  await page.locator(".flame .box").first().waitFor();
  await page.evaluate((names) => {
    const shown = document.createElement("div");
    for (const name of names) {
      const box = document.createElement("button");
      box.className = `box level-4 ${name}`;
      box.style.position = "static";
      box.textContent = name;
      shown.append(box);
    }
    shown.id = "phases";
    document.querySelector("main").append(shown);
  }, ["queue", "first_row", "transfer", "client_stall"]);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await accessible(page, `every phase of the flame (${colorScheme})`);
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.evaluate(() => document.getElementById("phases").remove());
}

/** Numbers move under traffic; what has the focus keeps it, and nothing jumps. */
async function refreshes(browser) {
  const page = await watched(browser, origin);
  await goTo(page, origin, "#/statements?q=web_carts");
  await page.evaluate(() => scrollTo(0, 120));
  const link = page.locator("tbody th a").first();
  await link.focus();
  const [text, calls] = [await link.innerText(), await page.locator("tbody tr td:nth-child(3)").first().innerText()];
  await page.waitForFunction((before) => [...document.querySelectorAll("tbody tr td:nth-child(3)")].some((cell) => cell.textContent !== before) && document.querySelector("tbody tr td:nth-child(3)")?.textContent !== before, calls, { timeout: 9_000 })
    .catch(() => check(false, "the numbers follow the traffic"));
  check((await page.evaluate(() => document.activeElement?.textContent)) === text, "the focus stays");
  check(Math.abs((await page.evaluate(() => scrollY)) - 120) < 2 || (await page.evaluate(() => document.documentElement.scrollHeight <= innerHeight + 120)), "the page doesn't jump");
  await page.context().close();
}

const browser = await launch();
for (const part of [look, keyboard, mouse, refreshes]) {
  const started = performance.now();
  await part(browser).catch((error) => check(false, `${part.name}: ${error.stack}`));
  console.log(`${part.name}: ${((performance.now() - started) / 1e3).toFixed(1)} s`);
}
await browser.close();
report();
