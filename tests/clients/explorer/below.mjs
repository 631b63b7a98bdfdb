// Uses the explorer where it is below a path, as the issuer's is: authorizes as NAME, and calls what is served there with the token.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const { BROWSER, SIGNET_URL, NAME, PASSWORD } = process.env;

// Its sandbox needs more than tests have where they run as root; the pages are ours.
const browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  const elsewhere = [];
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith("data:") && !url.startsWith(`${SIGNET_URL}/`)) elsewhere.push(url);
  });
  await page.goto(`${SIGNET_URL}/`);
  await page.click("a.explore");
  await page.waitForSelector(".opblock");

  await page.locator(".auth-wrapper .authorize").first().click();
  await page.fill("#oauth_username", NAME);
  await page.fill("#oauth_password", PASSWORD);
  const lock = page.locator(".auth-container", { has: page.locator("#oauth_password") });
  await lock.locator(".auth-btn-wrapper .authorize").click();
  await page.locator(".modal-ux button:has-text('Logout')").waitFor();
  await page.locator(".modal-ux .btn-done").first().click();

  const statuses = {};
  for (const path of ["/identity.v1.IdentityService/GetMe", "/oauth2/userinfo", "/users/me"]) {
    const block = page.locator(".opblock", { has: page.locator(`[data-path="${path}"]`) });
    await block.locator(".opblock-summary-control").click();
    await block.locator(".try-out__btn").click();
    const answered = page.waitForResponse((response) => response.url() === SIGNET_URL + path);
    await block.locator(".execute").click();
    statuses[path] = (await answered).status();
  }
  assert.deepEqual(elsewhere, []);
  console.log(JSON.stringify(statuses));
} finally {
  await browser.close();
}
