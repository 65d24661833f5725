// Prints how the page bears 5,000 digests and 500 findings; asserts only that all of it is reached.

import { check, goTo, launch, report, settled, watched } from "./browser.mjs";
import { serve } from "./mock.mjs";

const mock = await serve({ digests: 5_000, findings: 500 });
const browser = await launch();
const page = await watched(browser, mock.url);
const times = {};

async function timed(name, act) {
  const started = performance.now();
  await act().catch((error) => check(false, `${name}: ${error.message}`));
  times[name] = Math.round(performance.now() - started);
}

await timed("first load", () => goTo(page, mock.url, "#/"));
await timed("500 findings", () => page.waitForSelector("article.finding"));
await timed("all findings drawn", async () => {
  await page.getByRole("button", { name: /Show the other/ }).click();
  await page.waitForFunction(() => document.querySelectorAll("article.finding").length > 300);
});
await timed("statements", () => goTo(page, mock.url, "#/statements"));
await timed("read all 5,000", async () => {
  await page.getByRole("button", { name: "Read all" }).click();
  await page.getByRole("button", { name: "Read all" }).waitFor({ state: "detached" });
});
await timed("sort", async () => {
  await page.getByRole("button", { name: "99 %" }).click();
  await page.waitForFunction(() => location.hash.includes("sort=-p99"));
});
await timed("filter", async () => {
  await page.locator("#filter").fill("op:update d>50ms invoices");
  await page.waitForFunction(() => / of 5,000/.test(document.getElementById("filter-notes")?.textContent ?? ""));
});
await timed("one statement", async () => {
  await page.locator("tbody th a").first().click();
  await page.waitForFunction(() => /#\/statements\/[0-9a-f]{16}/.test(location.hash));
  await settled(page);
});
await timed("flame", () => goTo(page, mock.url, "#/flame"));
console.log(`ms: ${JSON.stringify(times)}`);
await browser.close();
mock.close();
report();
