/** Owns testing that the middleware answers requests of any form: it never throws, and lets nobody in that shows no token. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import http2, { type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import { connect, type AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";

import express from "express";

import { callerOf, protect } from "../src/express/index.js";
import { TestIssuer } from "../src/testing/index.js";
import type { Verifier } from "../src/verify/verifier.js";
import { pending } from "./support/issuing.js";

const SUB = "0193a5b0-0000-7000-8000-000000000001";

/** What stands between the method and the version of a request, as nobody's client would write it. */
const TARGETS = [
  "http://x/", "http://x", "http://", "http:", "https://user:pass@x:99999/%", "*", "//", "///", "//x//", "/%2F", "/a%2Fb%5c..%2f", "/%", "/%00",
  "/%ff%fe", "/../../x", "/\\", "?", "?a=//", "#", "/?", "/#//", "/;a=b", "/\u00e9", "/[", "::", "@", `/${"a".repeat(8_000)}`,
];
const METHODS = ["GET", "OPTIONS", "POST", "HEAD"];

/** An answer by HTTP/2. */
type Answered = IncomingHttpHeaders & { body: string };

describe("a request that is odd", () => {
  let issuer: TestIssuer;
  let verifier: Verifier;
  let token: string;
  const closing: (() => void)[] = [];
  const handled: string[] = [];
  const failed: unknown[] = [];
  const fail = (error: unknown): void => {
    failed.push(error);
  };

  /** Node's own server: nothing catches what is thrown, and nothing looks at what `next` is told. */
  const plain: RequestListener = (request, response) => {
    protect(verifier)(request, response, () => {
      handled.push(callerOf(request)?.id ?? "nobody");
      response.end("handled");
    });
  };

  async function listen(handler: RequestListener): Promise<number> {
    const server = createServer(handler).listen(0, "127.0.0.1");
    closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }

  before(async () => {
    issuer = await TestIssuer.create();
    verifier = issuer.verifier("stock");
    await verifier.ready();
    token = await issuer.token({ audiences: ["stock"], sub: SUB });
    process.on("unhandledRejection", fail);
  });
  after(async () => {
    process.off("unhandledRejection", fail);
    for (const close of closing) close();
    await verifier.close();
  });

  /** The status that a request line is answered with, by HTTP/1.1. */
  async function raw(port: number, line: string, authorization?: string): Promise<number> {
    const socket = connect(port, "127.0.0.1");
    const header = authorization === undefined ? "" : `Authorization: ${authorization}\r\n`;
    socket.write(`${line} HTTP/1.1\r\nHost: x\r\n${header}Connection: close\r\n\r\n`);
    return Number(/^HTTP\/1\.1 (\d+)/.exec(await text(socket))?.[1]);
  }

  test("is refused by a server of node:http without a token, and passes with one", async () => {
    const port = await listen(plain);
    for (const method of METHODS) {
      for (const target of TARGETS) {
        const line = `${method} ${target}`;
        handled.length = 0;
        // What the parser of Node does not take reaches nobody.
        const status = await raw(port, line);
        assert.ok(status === 401 || status === 400, `${line}: ${status}`);
        assert.deepEqual(handled, []);
        const passed = await raw(port, line, `Bearer ${token}`);
        assert.deepEqual([passed, handled], status === 401 ? [200, [SUB]] : [400, []], line);
      }
      assert.equal(await raw(port, `${method} `), 400, "no target at all");
    }
    assert.deepEqual(failed, []);
  });

  test("is refused by Express", async () => {
    const app = express();
    app.use(protect(verifier));
    app.use((request, response) => {
      handled.push(callerOf(request)?.id ?? "nobody");
      response.end("handled");
    });
    const port = await listen((request, response) => {
      app(request, response);
    });
    handled.length = 0;
    for (const method of METHODS) {
      for (const target of TARGETS) {
        const status = await raw(port, `${method} ${target}`);
        // Express itself has no route for what is no path.
        assert.ok([400, 401, 404].includes(status), `${method} ${target}: ${status}`);
      }
    }
    assert.deepEqual([handled, failed], [[], []]);
    assert.equal(await raw(port, "GET http://x/items", `Bearer ${token}`), 200);
    assert.deepEqual(handled, [SUB]);
  });

  describe("by HTTP/2", () => {
    let session: ClientHttp2Session;

    before(async () => {
      const server = http2.createServer((request, response) => {
        plain(request as unknown as IncomingMessage, response as unknown as ServerResponse);
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
      closing.push(() => {
        session.destroy();
        server.close();
      });
    });

    async function get(path: string, more: Record<string, string> = {}): Promise<Answered | undefined> {
      const stream = session.request({ ":path": path, ...more });
      // What nghttp2 does not take reaches nobody.
      const refused = await once(stream, "response").then(([headers]) => headers as IncomingHttpHeaders, () => undefined);
      return refused === undefined ? undefined : { ...refused, body: await text(stream) };
    }

    test("is refused without a token, and passes with one", async () => {
      for (const path of [...TARGETS.filter((target) => !target.includes("\u00e9")), ""]) {
        handled.length = 0;
        const refused = await get(path);
        const passed = await get(path, { authorization: `Bearer ${token}` });
        if (refused === undefined) {
          assert.deepEqual([passed, handled, path.startsWith("/")], [undefined, [], false], path);
          continue;
        }
        assert.deepEqual([refused[":status"], refused["www-authenticate"]], [401, "Bearer"], path);
        assert.equal((JSON.parse(refused.body) as { reason: string }).reason, "TOKEN_MISSING");
        assert.deepEqual([passed?.[":status"], handled], [200, [SUB]], path);
      }
      assert.deepEqual(failed, []);
    });

    test("is given up if its client goes before it is judged", async () => {
      const keys = pending<{ document: Uint8Array }>();
      const slow = issuer.verifier("stock", { keySource: { fetch: () => keys.promise } });
      const answered: ServerResponse[] = [];
      const server = http2.createServer((request, response) => {
        answered.push(response as unknown as ServerResponse);
        protect(slow)(request as unknown as IncomingMessage, response as unknown as ServerResponse, () => {
          handled.push("too late");
        });
        stream.close(http2.constants.NGHTTP2_CANCEL);
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
      handled.length = 0;
      const stream = client.request({ ":path": "/", authorization: `Bearer ${token.slice(0, -2)}AA` });
      stream.on("error", fail);
      const served = await new Promise<http2.ServerHttp2Stream>((resolve) => server.once("stream", resolve));
      await once(served, "close");
      keys.resolve({ document: new TextEncoder().encode(issuer.jwks()) });
      await issuer.clock.turn(0);
      await issuer.clock.turn(0);
      assert.deepEqual([answered.length, handled, failed], [1, [], []]);
      client.destroy();
      server.close();
      await slow.close();
    });
  });

  test("that somebody has answered already, or that is none of Node's, is let through to nobody", async () => {
    const port = await listen((request, response) => {
      response.write("answered");
      plain(request, response);
    });
    handled.length = 0;
    assert.equal(await raw(port, "GET /"), 200);
    const answers: number[] = [];
    const response = { setHeader: () => undefined, set statusCode(status: number) { answers.push(status); }, end: () => undefined };
    for (const request of [{}, { rawHeaders: "authorization" }, { url: 7, rawHeaders: [] }, { rawHeaders: ["authorization"] }]) {
      protect(verifier)(request as unknown as IncomingMessage, response as unknown as ServerResponse, () => handled.push("let in"));
    }
    await issuer.clock.turn(0);
    assert.deepEqual([handled, failed], [[], []]);
    assert.deepEqual(answers.map((status) => status >= 401), [true, true, true, true]);
  });
});
