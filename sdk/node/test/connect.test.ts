/** Owns testing the interceptors of Connect on a real server, by Connect's own protocol and by gRPC. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Http2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Client, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter, createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";

import { StockService, WatchItemResponseSchema, type WatchItemResponse } from "../example/gen/stock/v1/stock_service_pb.js";
import { currentCaller } from "../src/caller.js";
import { clientCredentials } from "../src/client/grants.js";
import { TokenSource } from "../src/client/token_source.js";
import { authenticate, callerKey, guard, refusalOf } from "../src/connect/index.js";
import { ConfigurationError } from "../src/keys/http.js";
import { Policy } from "../src/policy/policy.js";
import { TestIssuer } from "../src/testing/index.js";
import type { Verifier } from "../src/verify/verifier.js";
import { ScriptedIssuer, issued } from "./support/issuing.js";

const SUB = "0193a5b0-0000-7000-8000-000000000001";

async function reasonOf(call: Promise<unknown>): Promise<string> {
  const error: unknown = await call.then(() => assert.fail("it passed"), (thrown: unknown) => thrown);
  return refusalOf(error)?.reason ?? assert.fail(String(error));
}

for (const protocol of ["Connect", "gRPC"] as const) {
  describe(`the interceptors of Connect, by ${protocol}`, () => {
    let issuer: TestIssuer;
    let verifier: Verifier;
    let baseUrl: string;
    let close: () => void;
    let signet: ScriptedIssuer;
    let client: Client<typeof StockService>;
    let bare: Client<typeof StockService>;
    const aborted: unknown[] = [];

    async function* watchItem(_request: unknown, context: HandlerContext): AsyncGenerator<WatchItemResponse> {
      yield create(WatchItemResponseSchema, { count: currentCaller()?.id === SUB ? 1 : 0 });
      yield create(WatchItemResponseSchema, { count: currentCaller()?.id === SUB ? 2 : 0 });
      await once(context.signal, "abort");
      aborted.push(context.signal.reason);
    }

    before(async () => {
      issuer = await TestIssuer.create();
      verifier = issuer.verifier("stock");
      await verifier.ready();
      const handler = connectNodeAdapter({
        interceptors: [guard(verifier, Policy.of(StockService))],
        routes: (router) => {
          router.service(StockService, {
            listItems: (_request, context) => ({ names: [context.values.get(callerKey)?.id ?? "nobody"] }),
            getItem: async (_request, context) => {
              await Promise.resolve();
              assert.equal(context.values.get(callerKey), currentCaller());
              return { count: 1, callerId: currentCaller()?.id ?? "" };
            },
            takeItem: () => ({ count: 1 }),
            watchItem,
          });
        },
      });
      const server = createServer((request, response) => {
        handler(request, response);
      });
      const sessions = new Set<Http2Session>();
      server.on("session", (session: Http2Session) => sessions.add(session));
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      signet = new ScriptedIssuer();
      signet.answer = async () => issued({ accessToken: await issuer.token({ sub: SUB, audiences: ["stock"], lifetime: 900 }) });
      const source = new TokenSource({ signet, audience: "stock", clock: issuer.clock, grant: clientCredentials({ clientId: "c", clientSecret: "s" }) });
      const transport = protocol === "gRPC" ? createGrpcTransport : createConnectTransport;
      client = createClient(StockService, transport({ baseUrl, httpVersion: "2", interceptors: [authenticate(source, { baseUrl })] }));
      bare = createClient(StockService, transport({ baseUrl, httpVersion: "2" }));
      close = () => {
        for (const session of sessions) session.destroy();
        server.close();
      };
    });
    after(async () => {
      close();
      await verifier.close();
    });

    test("calls pass with a token, and are refused without", async () => {
      assert.equal((await client.getItem({ name: "bolt" })).callerId, SUB);
      assert.deepEqual((await bare.listItems({})).names, ["nobody"]);
      assert.equal(await reasonOf(bare.getItem({ name: "bolt" })), "TOKEN_MISSING");
      assert.equal(await reasonOf(client.takeItem({ name: "bolt" })), "INSUFFICIENT_SCOPE");
    });

    test("a call whose token was revoked is sent once more", async () => {
      const asked = signet.asked.length;
      const sessionId = "0193a5b0-0000-7000-8000-00000000000a";
      const first = await issuer.token({ sub: SUB, audiences: ["stock"], sessionId });
      const answers = [first];
      signet.answer = async () => issued({ accessToken: answers.shift() ?? (await issuer.token({ sub: SUB, audiences: ["stock"] })) });
      const source = new TokenSource({ signet, audience: "stock", clock: issuer.clock, grant: clientCredentials({ clientId: "c", clientSecret: "s" }) });
      const transport = protocol === "gRPC" ? createGrpcTransport : createConnectTransport;
      const own = createClient(StockService, transport({ baseUrl, httpVersion: "2", interceptors: [authenticate(source, { baseUrl })] }));
      await own.getItem({ name: "bolt" });
      issuer.revokeSession(sessionId);
      assert.equal((await own.getItem({ name: "bolt" })).callerId, SUB);
      assert.equal(signet.asked.length, asked + 2);
    });

    test("a stream ends with its token, and its handler is told", async () => {
      const counts: number[] = [];
      const watching = (async () => {
        for await (const { count } of client.watchItem({ name: "bolt" })) {
          counts.push(count);
          if (count === 2) void issuer.clock.turn(931);
        }
      })();
      assert.equal(await reasonOf(watching), "TOKEN_EXPIRED");
      assert.deepEqual(counts, [1, 2]);
      assert.ok(aborted[0] instanceof ConnectError);
    });

    test("tokens go to their own address alone", async () => {
      const source = new TokenSource({ signet, audience: "stock", grant: clientCredentials({ clientId: "c", clientSecret: "s" }) });
      const interceptors = [authenticate(source, { baseUrl: "http://127.0.0.1:1" })];
      const transport = protocol === "gRPC" ? createGrpcTransport : createConnectTransport;
      const stray = createClient(StockService, transport({ baseUrl, httpVersion: "2", interceptors }));
      await assert.rejects(stray.getItem({ name: "bolt" }), (error) => error instanceof ConnectError && error.code === Code.FailedPrecondition);
      assert.throws(() => authenticate(source, { baseUrl: "http://stock.example" }), ConfigurationError);
      assert.ok(authenticate(source, { baseUrl: "http://stock.example", allowPlaintext: "the sidecar encrypts" }));
    });
  });
}
