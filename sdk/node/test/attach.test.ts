/** Owns testing calls with tokens over real channels of grpc-js: where tokens go, and when a call is sent once more. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, test } from "node:test";
import { inspect } from "node:util";

import { Server, ServerCredentials, credentials, status, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";

import { StockService, type GetItemRequest, type GetItemResponse } from "../example/gen/stock/v1/stock_service_pb.js";
import { attach, callCredentials } from "../src/client/attach.js";
import { clientCredentials } from "../src/client/grants.js";
import { TokenSource } from "../src/client/token_source.js";
import { createClient, serviceDefinition, type ClientOf } from "../src/grpc/protobuf_es.js";
import { refusalOf, toStatus } from "../src/grpc/status.js";
import { ConfigurationError } from "../src/keys/http.js";
import { Code, Refusal, unavailable } from "../src/refusal.js";
import { ManualClock } from "../src/testing/index.js";
import { ScriptedIssuer, issued, pending } from "./support/issuing.js";
import type { IssuedToken } from "../src/client/grants.js";

const GET_ITEM = "/stock.v1.StockService/GetItem";

type Answer = (token: string, call: ServerUnaryCall<GetItemRequest, GetItemResponse>, done: sendUnaryData<GetItemResponse>) => void;

interface World {
  address: string;
  tokens: string[];
  signet: ScriptedIssuer;
  source: TokenSource;
  client: ClientOf<typeof StockService>;
  retried: () => number;
  close: () => void;
}

const found: Answer = (_token, _call, done) => {
  done(null, { $typeName: "stock.v1.GetItemResponse", count: 1, callerId: "" });
};

function refusing(reason: string, metadata: Record<string, string>): Answer {
  return (_token, _call, done) => {
    done(toStatus(new Refusal(Code.UNAUTHENTICATED, reason, "no", metadata)));
  };
}

/** A service that answers by `answers`, one call after the other, and a client of it. */
async function world(
  answers: Answer[],
  secure?: { server: ServerCredentials; client: ReturnType<typeof credentials.createSsl> },
): Promise<World> {
  const tokens: string[] = [];
  const server = new Server();
  server.addService(serviceDefinition(StockService), {
    getItem: (call: ServerUnaryCall<GetItemRequest, GetItemResponse>, done: sendUnaryData<GetItemResponse>) => {
      const token = call.metadata.get("authorization").join("|");
      tokens.push(token);
      (answers.shift() ?? found)(token, call, done);
    },
    watchItem: (call: { emit: (name: string, error: unknown) => void; metadata: { get: (name: string) => unknown[] } }) => {
      tokens.push(call.metadata.get("authorization").join("|"));
      call.emit("error", toStatus(new Refusal(Code.UNAUTHENTICATED, "TOKEN_EXPIRED", "no", { audience: "stock", method: "/stock.v1.StockService/WatchItem" })));
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("localhost:0", secure?.server ?? ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  const signet = new ScriptedIssuer();
  let nth = 0;
  signet.answer = () => Promise.resolve(issued({ accessToken: `t${++nth}` }));
  const source = new TokenSource({
    signet,
    audience: "stock",
    clock: new ManualClock(),
    grant: clientCredentials({ clientId: "c", clientSecret: "s" }),
  });
  let retried = 0;
  const channel = attach(source, { target: `localhost:${port}`, credentials: secure?.client, hooks: { callRetried: () => retried++ } });
  const client = createClient(StockService, channel.target, channel.credentials, channel.options);
  const close = (): void => {
    client.close();
    server.forceShutdown();
  };
  return { address: `localhost:${port}`, tokens, signet, source, client, retried: () => retried, close };
}

async function failure(promise: Promise<unknown>): Promise<Refusal> {
  const error: unknown = await promise.then(() => assert.fail("it succeeded"), (thrown: unknown) => thrown);
  assert.ok(error instanceof Refusal, String(error));
  return error;
}

describe("a call with a token", () => {
  test("carries it, and calls at the same time share it", async () => {
    const { client, tokens, signet, close } = await world([]);
    await Promise.all(Array.from({ length: 20 }, () => client.getItem({ name: "bolt" })));
    assert.deepEqual(tokens, Array<string>(20).fill("Bearer t1"));
    assert.equal(signet.asked.length, 1);
    close();
  });

  test("that gets none says why", async () => {
    const { client, signet, close } = await world([]);
    const cause = unavailable("the replica is at lunch");
    signet.answer = () => Promise.reject(cause);
    const unary = await failure(client.getItem({ name: "bolt" }));
    const stream = client.watchItem({ name: "bolt" });
    const [streamed] = (await once(stream, "error")) as [Error];
    for (const refusal of [unary, refusalOf(streamed)]) {
      assert.deepEqual([refusal?.code, refusal?.reason], [Code.UNAVAILABLE, "UNAVAILABLE"]);
      assert.match(inspect(refusal), /the replica is at lunch/);
    }
    close();
  });

  for (const reason of ["TOKEN_EXPIRED", "TOKEN_REVOKED"]) {
    test(`is sent once more after ${reason} of its own`, async () => {
      const { client, tokens, retried, close } = await world([refusing(reason, { audience: "stock", method: GET_ITEM })]);
      assert.equal((await client.getItem({ name: "bolt" })).count, 1);
      assert.deepEqual(tokens, ["Bearer t1", "Bearer t2"]);
      assert.equal(retried(), 1);
      close();
    });
  }

  test("is not sent a third time", async () => {
    const own = refusing("TOKEN_REVOKED", { audience: "stock", method: GET_ITEM });
    const { client, tokens, close } = await world([own, own, own]);
    assert.equal((await failure(client.getItem({ name: "bolt" }))).reason, "TOKEN_REVOKED");
    assert.equal(tokens.length, 2);
    assert.equal((await failure(client.getItem({ name: "bolt" }))).reason, "TOKEN_REVOKED");
    assert.equal(tokens.length, 3, "one was dropped only just");
    close();
  });

  test("is not sent again for the refusal of another service that was passed on", async () => {
    const { client, tokens, close } = await world([
      refusing("TOKEN_EXPIRED", { audience: "orders", method: "/orders.v1.Orders/Get" }),
      refusing("TOKEN_EXPIRED", { audience: "stock", method: "/stock.v1.StockService/TakeItem" }),
      refusing("TOKEN_EXPIRED", {}),
      refusing("TOKEN_INVALID", { audience: "stock", method: GET_ITEM }),
    ]);
    for (let nth = 0; nth < 4; nth++) await failure(client.getItem({ name: "bolt" }));
    assert.deepEqual(tokens, Array<string>(4).fill("Bearer t1"));
    close();
  });

  test("a stream is not opened again, and its token is dropped", async () => {
    const { client, tokens, source, close } = await world([]);
    const [error] = (await once(client.watchItem({ name: "bolt" }), "error")) as [{ code: number }];
    assert.equal(error.code, status.UNAUTHENTICATED);
    assert.deepEqual(tokens, ["Bearer t1"]);
    assert.equal(source.live(), undefined);
    close();
  });

  test("fails with the reason why there is no token, and is not sent", async () => {
    const { client, tokens, signet, close } = await world([]);
    signet.answer = () => Promise.reject(new Refusal(Code.UNAUTHENTICATED, "INVALID_CLIENT", "no"));
    const refusal = await failure(client.getItem({ name: "bolt" }));
    assert.deepEqual([refusal.code, refusal.reason], [Code.UNAUTHENTICATED, "INVALID_CLIENT"]);
    assert.deepEqual(tokens, []);
    close();
  });

  test("that is cancelled while it waits for a token ends at once", async () => {
    const { address, source, signet, tokens, close } = await world([]);
    const answer = pending<IssuedToken>();
    signet.answer = () => answer.promise;
    const channel = attach(source, { target: address });
    const client = createClient(StockService, channel.target, channel.credentials, channel.options);
    const stream = client.watchItem({ name: "bolt" });
    const ended = once(stream, "error");
    stream.cancel();
    const [error] = (await ended) as [{ code: number }];
    assert.equal(error.code, status.CANCELLED);
    answer.reject(unavailable("away"));
    assert.deepEqual(tokens, []);
    client.close();
    close();
  });
});

describe("a token leaves only to its target", () => {
  test("another authority, and another channel, fail before any token is got", async () => {
    const { address, client, signet, source, tokens, close } = await world([]);
    const host = { host: "orders.example:50052" } as object;
    assert.equal((await failure(client.getItem({ name: "bolt" }, host))).code, Code.FAILED_PRECONDITION);
    const { options } = attach(source, { target: "localhost:1" });
    const stray = createClient(StockService, address, credentials.createInsecure(), options);
    assert.equal((await failure(stray.getItem({ name: "bolt" }))).code, Code.FAILED_PRECONDITION);
    assert.deepEqual([tokens, signet.asked], [[], []]);
    stray.close();
    close();
  });

  test("not in plaintext to another machine without a reason", async () => {
    const { source, close } = await world([]);
    const plaintext = credentials.createInsecure();
    for (const target of ["stock.example:50052", "10.0.0.1:50052", "dns:///stock:50052", "[2001:db8::1]:50052", "localhost.example:1"]) {
      assert.throws(() => attach(source, { target }), ConfigurationError, target);
      assert.throws(() => attach(source, { target, credentials: plaintext, allowPlaintext: " " }), ConfigurationError);
      assert.ok(attach(source, { target, allowPlaintext: "the sidecar encrypts" }));
      assert.ok(attach(source, { target, credentials: credentials.createSsl() }));
    }
    for (const target of ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/run/stock.sock", "ipv4:127.0.0.1:1,127.0.0.2:1"]) {
      assert.ok(attach(source, { target }), target);
    }
    close();
  });

  test("over TLS it goes by call credentials, which grpc-js refuses on plaintext channels", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "signet-sdk-"));
    const file = (name: string): string => path.join(folder, name);
    execFileSync("openssl", [
      "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=localhost",
      "-addext", "subjectAltName=DNS:localhost", "-keyout", file("key"), "-out", file("crt"),
    ], { stdio: "ignore" });
    const [key, crt] = [readFileSync(file("key")), readFileSync(file("crt"))];
    rmSync(folder, { recursive: true });
    const server = ServerCredentials.createSsl(null, [{ private_key: key, cert_chain: crt }]);
    const own = refusing("TOKEN_EXPIRED", { audience: "stock", method: GET_ITEM });
    const { address, client, source, tokens, close } = await world([own], { server, client: credentials.createSsl(crt) });
    assert.equal((await client.getItem({ name: "bolt" })).count, 1);
    assert.deepEqual(tokens, ["Bearer t1", "Bearer t2"]);
    // Made for another host, they let no call through.
    const stray = credentials.combineChannelCredentials(credentials.createSsl(crt), callCredentials(source, "orders.example:50052"));
    const other = createClient(StockService, address, stray);
    assert.notEqual((await failure(other.getItem({ name: "bolt" }))).code, status.OK);
    assert.equal(tokens.length, 2);
    assert.throws(() => credentials.combineChannelCredentials(credentials.createInsecure(), callCredentials(source, address)));
    other.close();
    close();
  });
});
