// Opens a page of an origin that may call Signet and one of another, in Chromium, and looks at what each of them gets.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const { BROWSER, SIGNET_URL, ORIGIN, FOREIGN_ORIGIN, PASSWORD } = process.env;

/** Serves the page at `origin`. */
async function serve(origin) {
  const script = readFileSync("page.js");
  const server = createServer((request, response) => {
    const [type, body] = request.url === "/page.js" ? ["text/javascript", script] : ["text/html", "<script src=page.js></script>"];
    response.writeHead(200, { "content-type": type }).end(body);
  });
  const { hostname, port } = new URL(origin);
  await new Promise((listening) => server.listen(Number(port), hostname, listening));
  return server;
}

const servers = [await serve(ORIGIN), await serve(FOREIGN_ORIGIN)];
// Its sandbox needs more than tests have where they run as root; the pages are ours.
const browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
try {
  const open = async (origin) => {
    const page = await browser.newPage();
    const console = [];
    page.on("console", (message) => console.push(message.text()));
    await page.goto(origin);
    return { page, console };
  };

  const ours = await open(ORIGIN);
  const foreign = await open(FOREIGN_ORIGIN);
  const transports = await ours.page.evaluate(() => window.transports);
  assert.equal(transports.length, 4);
  for (const [index, transport] of transports.entries()) {
    const visitor = [transport, SIGNET_URL, `alice${index}`, PASSWORD];
    const got = await ours.page.evaluate((visitor) => window.visit(...visitor), visitor);
    assert.equal(got.username, visitor[2]);
    assert.deepEqual([...got.recognised, got.expiresIn, got.isAnother], [got.id, got.id, 900, true]);
    const { taken, fields, missing, forged } = got.refusals;
    assert.deepEqual(taken, { code: "AlreadyExists", message: "the username is taken", reason: "USERNAME_TAKEN", fields: [] });
    assert.deepEqual([fields.code, fields.reason], ["InvalidArgument", "INVALID_FIELDS"]);
    assert.deepEqual(fields.fields, ["username: FORBIDDEN_CHARACTER", "password: TOO_SHORT"]);
    assert.deepEqual([missing.code, missing.reason], ["Unauthenticated", "TOKEN_MISSING"]);
    assert.deepEqual([forged.code, forged.reason], ["Unauthenticated", "TOKEN_INVALID"]);

    const intruder = [transport, SIGNET_URL, "mallory", PASSWORD];
    const refusal = await foreign.page.evaluate((intruder) => window.intrude(...intruder), intruder);
    assert.match(refusal.message, /Failed to fetch/);
    assert.ok(foreign.console.some((line) => line.includes("blocked by CORS policy")), foreign.console.join("\n"));
    console.log(`Chromium ${browser.version()}, ${transport}:`, JSON.stringify(got), JSON.stringify(refusal));
  }
} finally {
  await browser.close();
  servers.forEach((server) => server.close());
}
