// Logs in by Swagger UI's own dialogue, in Chromium, at the service TARGET_URL, whose API is that of the model service at SPEC_URL; then
// has it call GET /users/me. The page is of another origin than the service. Prints the status and the body of that answer.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { chromium } from "playwright-core";

const { BROWSER, ORIGIN, SPEC_URL, TARGET_URL, NAME, PASSWORD } = process.env;
const files = createRequire(import.meta.url)("swagger-ui-dist").getAbsoluteFSPath();
const PAGE = `<!doctype html><meta charset=utf-8><link rel=icon href="data:,"><link rel=stylesheet href=/swagger-ui.css><div id=ui></div>
<script src=/swagger-ui-bundle.js></script><script>SwaggerUIBundle({ url: "/openapi.json", dom_id: "#ui" })</script>`;
const TYPES = { ".js": "text/javascript", ".css": "text/css" };

// FastAPI's own page has the service beside it. Here it is elsewhere, as for a page that documents several services.
const spec = await (await fetch(`${SPEC_URL}/openapi.json`)).json();
spec.servers = [{ url: TARGET_URL }];
spec.components.securitySchemes.OAuth2PasswordBearer.flows.password.tokenUrl = `${TARGET_URL}/auth/token`;

const server = createServer(({ url }, response) => {
  const answer = (type, body) => response.writeHead(200, { "content-type": type }).end(body);
  if (url === "/") return answer("text/html", PAGE);
  if (url === "/openapi.json") return answer("application/json", JSON.stringify(spec));
  return answer(TYPES[extname(url)] ?? "text/plain", readFileSync(join(files, url)));
});
const { hostname, port } = new URL(ORIGIN);
await new Promise((listening) => server.listen(Number(port), hostname, listening));
// Its sandbox needs more than tests have where they run as root; the page is ours.
const browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.goto(ORIGIN);
  await page.click(".auth-wrapper .authorize");
  await page.fill("#oauth_username", NAME);
  await page.fill("#oauth_password", PASSWORD);
  const token = page.waitForResponse((response) => response.url().endsWith("/auth/token") && response.request().method() === "POST");
  await page.click(".modal-ux .auth-btn-wrapper .authorize");
  const sent = (await token).request();
  assert.equal((await sent.allHeaders()).authorization, "Basic Og==", "as the other tests have it");
  assert.equal((await token).status(), 200, problems.join("\n"));
  await page.waitForSelector(".modal-ux .auth-btn-wrapper button:has-text('Logout')");
  await page.click(".modal-ux .btn-done");
  await page.click("#operations-default-read_users_me_users_me_get .opblock-summary");
  await page.click("#operations-default-read_users_me_users_me_get .try-out__btn");
  const me = page.waitForResponse((response) => response.url().endsWith("/users/me") && response.request().method() === "GET");
  await page.click("#operations-default-read_users_me_users_me_get .execute");
  console.log(JSON.stringify({ status: (await me).status(), body: await (await me).json() }));
} finally {
  await browser.close();
  server.close();
}
