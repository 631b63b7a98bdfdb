// Looks at Signet's own pages and its explorer as a person does, in Chromium: authorizes as NAME, calls GetMe, signs up with bad fields,
// logs out; by the keyboard, at a phone's width too. Prints what axe finds, rule by rule. With SCREENSHOTS, keeps pictures there.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { BROWSER, SIGNET_URL, NAME, PASSWORD, SCREENSHOTS } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const GET_ME = "/identity.v1.IdentityService/GetMe";
const SIGN_UP = "/identity.v1.IdentityService/SignUp";
const PHONE = { width: 360, height: 740 };

// Its sandbox needs more than tests have where they run as root; the pages are ours.
const browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
const problems = [];

/** A page of its own, of which everything that it asks for, and complains of, is looked at. */
async function open(path, viewport = { width: 1280, height: 900 }) {
  const page = await browser.newPage({ viewport });
  page.on("console", (message) => {
    const isRefusal = /status of 4\d\d/.test(message.text());
    if (message.type() === "error" && !isRefusal) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== "data:" && origin !== SIGNET_URL) problems.push(`asks ${request.url()}`);
    if (/ey[\w-]+\.ey/.test(request.url())) problems.push(`a token in ${request.url()}`);
  });
  await page.goto(SIGNET_URL + path);
  return page;
}

const picture = async (page, name) => SCREENSHOTS && page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });

/** How many elements break each rule of axe, of those that matter. */
async function violations(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  return Object.fromEntries(serious.map(({ id, nodes }) => [id, nodes.length]));
}

const fits = (page) => page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);

/** Presses Tab until what has the focus fits `selector`. */
async function tabTo(page, selector) {
  for (let presses = 0; presses < 400; presses += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((selector) => document.activeElement?.matches(selector), selector)) return;
  }
  assert.fail(`the keyboard does not reach ${selector}`);
}

const operation = (page, path) => page.locator(".opblock", { has: page.locator(`[data-path="${path}"]`) });

/** Calls the operation `path` with `body`, or the example that stands there; returns the answer's status and JSON. */
async function call(page, path, body) {
  const block = operation(page, path);
  if (!(await block.locator(".opblock-body").isVisible())) await block.locator(".opblock-summary-control").click();
  const tryOut = block.locator(".try-out__btn");
  if (!(await tryOut.getAttribute("class")).includes("cancel")) await tryOut.click();
  if (body) await block.locator("textarea.body-param__text").fill(JSON.stringify(body));
  const answered = page.waitForResponse((response) => new URL(response.url()).pathname === path);
  await block.locator(".execute").click();
  const response = await answered;
  await block.locator(".live-responses-table .response-col_status").first().waitFor();
  return { status: response.status(), json: await response.json(), shown: () => block.locator(".live-responses-table").innerText() };
}

try {
  const found = {};

  // The page at the root, and from there by the keyboard alone.
  const front = await open("/");
  assert.match(await front.innerText("main"), /It is ready/);
  found.front = await violations(front);
  await picture(front, "front");
  await tabTo(front, "a.explore");
  await front.keyboard.press("Enter");
  await front.waitForURL(`${SIGNET_URL}/explorer`);
  await front.waitForSelector(".opblock");
  await front.close();

  const page = await open("/explorer");
  await page.waitForSelector(".opblock");
  assert.equal((await page.locator(".errors-wrapper").count()), 0, "Swagger UI reads the document");
  found.explorer = await violations(page);
  await picture(page, "explorer");

  // Authorizes without the mouse.
  await tabTo(page, ".auth-wrapper .authorize");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".modal-ux #oauth_username");
  await tabTo(page, "#oauth_username");
  await page.keyboard.type(NAME);
  await tabTo(page, "#oauth_password");
  await page.keyboard.type(PASSWORD);
  await picture(page, "lock");
  found.lock = await violations(page);
  const token = page.waitForResponse((response) => response.url().endsWith("/oauth2/token"));
  await tabTo(page, ".auth-btn-wrapper .authorize");
  await page.keyboard.press("Enter");
  assert.equal((await token).status(), 200, problems.join("\n"));
  await page.locator(".modal-ux button:has-text('Logout')").waitFor();
  await page.locator(".modal-ux .btn-done").first().click();

  const me = await call(page, GET_ME);
  assert.deepEqual([me.status, me.json.user.username], [200, NAME]);
  await picture(page, "get-me");

  const refused = await call(page, SIGN_UP, { username: "al ice", password: "short" });
  assert.equal(refused.status, 400);
  const shown = await refused.shown();
  for (const part of ["username", "FORBIDDEN_CHARACTER", "password", "TOO_SHORT"]) assert.ok(shown.includes(part), `${part}: ${shown}`);
  await picture(page, "violations");
  found.answers = await violations(page);

  // What the page is told, it keeps nowhere.
  const kept = await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie, location.href]);
  assert.deepEqual(kept, [0, 0, "", `${SIGNET_URL}/explorer`]);

  // Logs out.
  await page.locator(".auth-wrapper .authorize").first().click();
  await page.locator(".modal-ux button:has-text('Logout')").click();
  await page.locator(".modal-ux .btn-done").first().click();
  const stranger = await call(page, GET_ME);
  assert.deepEqual([stranger.status, stranger.json.code], [401, "unauthenticated"]);
  await page.close();

  // On a phone.
  for (const path of ["/", "/explorer"]) {
    const phone = await open(path, PHONE);
    if (path === "/explorer") {
      await phone.waitForSelector(".opblock");
      await operation(phone, SIGN_UP).locator(".opblock-summary-control").click();
      await operation(phone, SIGN_UP).locator(".opblock-body").waitFor();
    }
    await picture(phone, path === "/" ? "front-phone" : "explorer-phone");
    assert.ok(await fits(phone), `${path} is wider than a phone`);
    if (path === "/") assert.deepEqual(await violations(phone), {});
    await phone.close();
  }
  assert.deepEqual(problems, []);
  console.log(JSON.stringify(found));
} finally {
  await browser.close();
}
