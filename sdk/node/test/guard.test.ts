/** Owns testing the guard of grpc-js on a real server: what reaches handlers, and how streams end. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { after, before, describe, test } from "node:test";

import { Metadata, status } from "@grpc/grpc-js";

import { StockService } from "../example/gen/stock/v1/stock_service_pb.js";
import { currentCaller } from "../src/caller.js";
import { guard } from "../src/grpc/guard.js";
import { refusalOf } from "../src/grpc/status.js";
import { Policy } from "../src/policy/policy.js";
import type { Refusal } from "../src/refusal.js";
import { TestIssuer } from "../src/testing/index.js";
import type { FetchedKeys } from "../src/keys/http.js";
import { Verifier } from "../src/verify/verifier.js";
import { pending } from "./support/issuing.js";
import { startStock, type Stock } from "./support/stock.js";

function bearer(token: string): { metadata: Metadata } {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  return { metadata };
}

async function refusal(call: Promise<unknown>): Promise<Pick<Refusal, "code" | "reason" | "metadata">> {
  const error: unknown = await call.then(
    () => assert.fail("it passed"),
    (thrown: unknown) => thrown,
  );
  const refused = refusalOf(error);
  assert.ok(refused);
  return { code: refused.code, reason: refused.reason, metadata: refused.metadata };
}

test("who asks for a context that nobody offers is told so", () => {
  assert.throws(() => currentCaller(), /asyncContext/);
});

describe("the guard of grpc-js", () => {
  let issuer: TestIssuer;
  let verifier: Verifier;
  let stock: Stock;
  const ended: string[] = [];
  const method = (name: string): string => `/stock.v1.StockService/${name}`;

  before(async () => {
    issuer = await TestIssuer.create();
    verifier = issuer.verifier("stock", { hooks: { streamEnded: (reason) => ended.push(reason) } });
    stock = await startStock({ interceptors: [guard(verifier, Policy.of(StockService), { asyncContext: true })] });
    await verifier.ready();
  });
  after(async () => {
    stock.close();
    await verifier.close();
  });

  test("a public method has no caller, whatever token is sent", async () => {
    assert.deepEqual((await stock.client.listItems({}, bearer("nonsense"))).names, ["bolt", "crane"]);
    assert.deepEqual((await stock.client.listItems({})).names, ["bolt", "crane"]);
  });

  test("a handler knows its caller by the async context and by its call", async () => {
    const sub = "0193a5b0-0000-7000-8000-000000000001";
    const token = await issuer.token({ sub, audiences: ["stock"], scopes: ["stock:write"] });
    for (let nth = 0; nth < 2; nth++) {
      assert.equal((await stock.client.getItem({ name: "bolt" }, bearer(token))).callerId, sub);
      assert.equal((await stock.client.takeItem({ name: "bolt" }, bearer(token))).callerId, sub);
    }
  });

  test("calls at the same time have their own callers each", async () => {
    const subs = Array.from({ length: 50 }, (_, nth) => `0193a5b0-0000-7000-8000-0000000001${String(nth).padStart(2, "0")}`);
    const tokens = await Promise.all(subs.map((sub) => issuer.token({ sub, audiences: ["stock"] })));
    const calls = tokens.map((token) => stock.client.getItem({ name: "bolt" }, bearer(token)));
    assert.deepEqual((await Promise.all(calls)).map(({ callerId }) => callerId), subs);
  });

  test("what is refused does not reach its handler, and says why", async () => {
    const before_ = stock.calls();
    const places = (name: string): Record<string, string> => ({ audience: "stock", method: method(name) });
    assert.deepEqual(await refusal(stock.client.getItem({ name: "bolt" })), {
      code: status.UNAUTHENTICATED,
      reason: "TOKEN_MISSING",
      metadata: places("GetItem"),
    });
    const token = await issuer.token({ audiences: ["stock"] });
    assert.deepEqual(await refusal(stock.client.takeItem({ name: "bolt" }, bearer(token))), {
      code: status.PERMISSION_DENIED,
      reason: "INSUFFICIENT_SCOPE",
      metadata: { ...places("TakeItem"), required_scope: "stock:write" },
    });
    const client = await issuer.clientToken({ audiences: ["stock"] });
    assert.deepEqual(await refusal(stock.client.restockItem({ name: "bolt", count: 1 }, bearer(client))), {
      code: status.PERMISSION_DENIED,
      reason: "CALLER_NOT_ALLOWED",
      metadata: { ...places("RestockItem"), callers: "user" },
    });
    assert.equal(stock.calls(), before_);
  });

  test("a call whose message comes after its session has ended does not reach its handler", async (context) => {
    const sessionId = "0193a5b0-0000-7000-8000-0000000000aa";
    const token = await issuer.token({ audiences: ["stock"], sessionId });
    await stock.client.getItem({ name: "bolt" }, bearer(token));
    const before_ = stock.calls();
    const session = http2.connect(`http://${stock.address}`);
    context.after(() => {
      session.destroy();
    });
    const call = session.request({
      ":method": "POST",
      ":path": method("GetItem"),
      "content-type": "application/grpc",
      te: "trailers",
      authorization: `Bearer ${token}`,
    });
    // What was sent before a ping has been read when it is answered.
    await new Promise<void>((resolve) => {
      call.once("ready", () => session.ping(() => { resolve(); }));
    });
    issuer.revokeSession(sessionId);
    const ends = Promise.race([once(call, "trailers"), once(call, "response")]);
    call.end(Buffer.from([0, 0, 0, 0, 0]));
    const [headers] = (await ends) as [http2.IncomingHttpHeaders];
    assert.equal(headers["grpc-status"], String(status.UNAUTHENTICATED));
    assert.equal(stock.calls(), before_);
  });

  test("a call that its client ends while its token is verified does not reach its handler", async () => {
    const before_ = stock.calls();
    const keys = pending<FetchedKeys>();
    const slow = new Verifier({
      issuer: issuer.issuer,
      audience: "stock",
      clock: issuer.clock,
      keySource: { fetch: () => keys.promise },
    });
    const own = await startStock({ interceptors: [guard(slow, Policy.of(StockService))] });
    const stream = own.client.watchItem({ name: "bolt" }, bearer(await issuer.token({ audiences: ["stock"] })));
    const ended_ = once(stream, "error");
    await own.client.listItems({});
    stream.cancel();
    await ended_;
    // A call behind it on the same connection has been answered: so it has come, and is over.
    await own.client.listItems({});
    keys.resolve({ document: Buffer.from(issuer.jwks()) });
    await slow.ready();
    await issuer.clock.turn(0);
    assert.deepEqual([own.calls(), own.watches.size, stock.calls()], [2, 0, before_]);
    own.close();
    await slow.close();
  });

  test("a stream ends when its token has expired for longer than the grace, though its handler does nothing", async () => {
    const token = await issuer.token({ audiences: ["stock"], lifetime: 10 });
    const stream = stock.client.watchItem({ name: "bolt" }, bearer(token));
    await once(stream, "data");
    assert.equal(stock.watches.size, 1);
    await issuer.clock.turn(39);
    assert.equal(stock.watches.size, 1, "it is within the grace");
    const failed = once(stream, "error");
    await issuer.clock.turn(1);
    const [error] = await failed as [Error];
    assert.equal(refusalOf(error)?.reason, "TOKEN_EXPIRED");
    assert.equal(stock.watches.size, 0, "its handler was told");
    assert.equal(ended.at(-1), "TOKEN_EXPIRED");
  });

  test("a stream ends as soon as its token is revoked, and others go on", async () => {
    const sessionId = "0193a5b0-0000-7000-8000-00000000000a";
    const [revoked, kept] = await Promise.all([
      issuer.token({ audiences: ["stock"], sessionId }),
      issuer.token({ audiences: ["stock"] }),
    ]);
    const first = stock.client.watchItem({ name: "bolt" }, bearer(revoked));
    const second = stock.client.watchItem({ name: "bolt" }, bearer(kept));
    await Promise.all([once(first, "data"), once(second, "data")]);
    const failed = once(first, "error");
    issuer.revokeSession(sessionId);
    const [error] = await failed as [Error];
    const refused = refusalOf(error);
    assert.equal(refused?.reason, "TOKEN_REVOKED");
    assert.deepEqual(refused.metadata, { audience: "stock", method: method("WatchItem") });
    assert.equal(stock.watches.size, 1);
    assert.equal((await refusal(stock.client.getItem({ name: "bolt" }, bearer(revoked)))).reason, "TOKEN_REVOKED");
    const [call] = stock.watches;
    assert.ok(call);
    const cancelled = once(call, "cancelled");
    second.on("error", () => undefined);
    second.cancel();
    await cancelled;
  });

  test("the watch of a stream that its client ends is given up", async () => {
    const before_ = issuer.clock.waiting;
    const stream = stock.client.watchItem({ name: "bolt" }, bearer(await issuer.token({ audiences: ["stock"] })));
    await once(stream, "data");
    await issuer.clock.turn(0);
    assert.equal(issuer.clock.waiting, before_ + 1);
    const [call] = stock.watches;
    assert.ok(call);
    const cancelled = once(call, "cancelled");
    stream.on("error", () => undefined);
    stream.cancel();
    await cancelled;
    assert.equal(issuer.clock.waiting, before_);
  });

  test("a stream that its handler ends keeps the handler's status", async () => {
    const stream = stock.client.watchItem({ name: "bolt" }, bearer(await issuer.token({ audiences: ["stock"] })));
    await once(stream, "data");
    const [call] = stock.watches;
    assert.ok(call);
    const ended_ = once(stream, "status");
    call.end();
    stream.resume();
    const [{ code }] = await ended_ as [{ code: number }];
    assert.equal(code, status.OK);
  });
});
