// The report as one file, opened from disk: the same figures as the served page, no request at all, and tables that
// read well without JavaScript.
//
//   node tests/web/file.mjs http://127.0.0.1:9635 report.html FOLDER_FOR_SCREENSHOTS

import { pathToFileURL } from "node:url";
import { accessible, check, goTo, harmless, launch, report, shot, watched } from "./browser.mjs";

const [origin, path, folder] = process.argv.slice(2);
const file = pathToFileURL(path).href;

/** The rows of all tables of a page. Rates differ: the proxy's time goes on, that of the file doesn't. */
async function figures(page) {
  return page.evaluate(() => [...document.querySelectorAll("main table tbody tr")].map((row) => [...row.cells].map((cell) => cell.innerText.trim()).join(" | ")));
}

async function same(browser) {
  const served = await watched(browser, origin);
  const opened = await watched(browser, file);
  opened.on("request", (request) => check(request.url().startsWith(file) || request.url().startsWith("blob:") || request.url().startsWith("data:"), `a file asks for ${request.url()}`));
  const statement = (await (await fetch(`${origin}/api/v1/statements?limit=1`)).json()).items[0];
  const finding = (await (await fetch(`${origin}/api/v1/findings?limit=1`)).json()).items[0];
  for (const hash of ["#/statements", "#/routes?cols=service,units,statements,time,p95", "#/transactions", "#/tables", "#/errors", `#/statements/${statement.digest}`, `#/findings/${finding.id}`, "#/flame"]) {
    await goTo(served, origin, hash);
    await opened.goto(`${file}${hash}`);
    await opened.reload();
    await opened.waitForSelector("main h1");
    await opened.waitForFunction(() => !document.querySelector(".loading"));
    const isStatement = hash.startsWith("#/statements/");
    // Cheap statements are folded in a file, so it calls them by their digests where a shape names them.
    const shown = (rows) => (hash === "#/transactions" ? rows.map((row) => row.slice(row.indexOf(" | "))) : rows);
    const [a, b] = [shown(await figures(served)), shown(await figures(opened))];
    // Examples stay at the proxy, so a statement has fewer rows in the file; all that it has must be equal.
    const wrong = isStatement ? b.filter((row) => !a.includes(row)) : b.filter((row, index) => row !== a[index]);
    check(b.length > 0 && (isStatement || a.length === b.length) && wrong.length === 0, `${hash}: ${a.length} rows served, ${b.length} in the file; ${JSON.stringify(wrong.slice(0, 2))} against ${JSON.stringify(a.slice(0, 2))}`);
    await harmless(opened, `file ${hash}`);
  }
  await opened.goto(`${file}#/statements`);
  await opened.reload();
  await opened.getByRole("button", { name: "Calls" }).click();
  await opened.waitForFunction(() => location.hash.includes("sort=-calls"));
  for (const hash of ["#/live", "#/connections"]) {
    await opened.goto(`${file}${hash}`);
    await opened.reload();
    await opened.waitForSelector(".empty");
  }
  await opened.goto(`${file}#/`);
  await opened.reload();
  await opened.waitForSelector("article.finding");
  check(/Report of .* UTC/.test(await opened.locator("main").innerText()), "the header says what it is a report of");
  await accessible(opened, "file");
  await shot(opened, folder, "file");
}

async function plain(browser) {
  const page = await watched(browser, file, { javaScriptEnabled: false });
  await page.goto(file);
  const text = await page.locator("body").innerText();
  check(/statements/i.test(text) && (await page.locator("noscript table, table").count()) > 0, "tables without JavaScript");
  await shot(page, folder, "file-plain");
}

const browser = await launch();
for (const part of [same, plain]) await part(browser).catch((error) => check(false, `${part.name}: ${error.stack}`));
await browser.close();
report();
