/** Owns testing the middleware of Express on a real server. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";

import express from "express";

import { currentCaller } from "../src/caller.js";
import { callerOf, protect } from "../src/express/index.js";
import { TestIssuer } from "../src/testing/index.js";
import type { Verifier } from "../src/verify/verifier.js";

describe("the middleware of Express", () => {
  let issuer: TestIssuer;
  let verifier: Verifier;
  let url: string;
  let close: () => void;

  before(async () => {
    issuer = await TestIssuer.create();
    verifier = issuer.verifier("stock");
    await verifier.ready();
    const app = express();
    app.get("/items", protect(verifier), async (request, response) => {
      await Promise.resolve();
      response.json({ caller: callerOf(request)?.id, same: callerOf(request) === currentCaller() });
    });
    app.post("/items", protect(verifier, { requiredScopes: ["stock:write"] }), (_request, response) => {
      response.json({});
    });
    app.get("/public", (request, response) => {
      response.json({ caller: callerOf(request) });
    });
    const server = app.listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    close = () => {
      server.closeAllConnections();
      server.close();
    };
  });
  after(async () => {
    close();
    await verifier.close();
  });

  const get = async (path: string, authorization?: string, method = "GET"): Promise<{ status: number; challenge: string | null; body: unknown }> => {
    const answer = await fetch(url + path, { method, headers: authorization === undefined ? {} : { authorization } });
    return { status: answer.status, challenge: answer.headers.get("www-authenticate"), body: await answer.json() };
  };

  test("a good token passes, and the handler knows who calls", async () => {
    const sub = "0193a5b0-0000-7000-8000-000000000001";
    const token = await issuer.token({ sub, audiences: ["stock"], scopes: ["stock:write"] });
    assert.deepEqual((await get("/items", `Bearer ${token}`)).body, { caller: sub, same: true });
    assert.equal((await get("/items", `Bearer ${token}`, "POST")).status, 200);
    assert.deepEqual((await get("/public")).body, {});
  });

  test("a path that is no URL is answered, without a framework that catches what is thrown", async () => {
    const guarded = protect(verifier);
    const server = createServer((request, response) => {
      guarded(request, response, () => response.end());
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    for (const path of ["//", "http://", "/?a=//", "*"]) {
      const asked = httpRequest({ host: "127.0.0.1", port, path }).end();
      const [answer] = (await once(asked, "response")) as [IncomingMessage];
      answer.resume();
      assert.equal(answer.statusCode, 401, path);
    }
    server.closeAllConnections();
    server.close();
  });

  test("others are told why, as RFC 6750 says", async () => {
    const sessionId = "0193a5b0-0000-7000-8000-00000000000a";
    const token = await issuer.token({ audiences: ["stock"], sessionId });
    const told = ({ status, challenge, body }: Awaited<ReturnType<typeof get>>): unknown[] => {
      const { error, reason } = body as { error: string; reason: string };
      return [status, challenge, error, reason];
    };
    assert.deepEqual(told(await get("/items")), [401, "Bearer", "invalid_token", "TOKEN_MISSING"]);
    assert.deepEqual(told(await get("/items", "Bearer x")), [401, 'Bearer error="invalid_token"', "invalid_token", "TOKEN_INVALID"]);
    assert.deepEqual(told(await get("/items", `Bearer ${token}`, "POST")), [
      403,
      'Bearer error="insufficient_scope", scope="stock:write"',
      "insufficient_scope",
      "INSUFFICIENT_SCOPE",
    ]);
    issuer.revokeSession(sessionId);
    assert.deepEqual(told(await get("/items", `Bearer ${token}`)), [401, 'Bearer error="invalid_token"', "invalid_token", "TOKEN_REVOKED"]);
    issuer.silent = true;
    await issuer.clock.turn(41);
    assert.deepEqual(told(await get("/items", `Bearer ${token}`)), [503, null, "temporarily_unavailable", "UNAVAILABLE"]);
    issuer.silent = false;
    await issuer.clock.turn(10);
  });

  test("two headers are one too many", async () => {
    const token = `Bearer ${await issuer.token({ audiences: ["stock"] })}`;
    const request = httpRequest(`${url}/items`, { headers: { authorization: [token, token] as unknown as string } }).end();
    const [response] = (await once(request, "response")) as [{ statusCode: number; resume: () => void }];
    response.resume();
    assert.equal(response.statusCode, 401);
  });
});
