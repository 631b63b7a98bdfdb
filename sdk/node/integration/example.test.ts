/** Owns testing the example's service and client, and with them the SDK, against the real Signet. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { credentials } from "@grpc/grpc-js";

import { Health, HealthCheckResponse_ServingStatus as Serving } from "../example/gen/grpc/health/v1/health_pb.js";
import { StockService } from "../example/gen/stock/v1/stock_service_pb.js";
import { Introspection } from "../src/introspection.js";
import { SignetChannel, TokenSource, attach, clientCredentials, createClient } from "../src/index.js";
import { Example, Signet, eventually, type Registered } from "./support/signet.js";

describe("the example with the real Signet", () => {
  let signet: Signet;
  let events: Registered;
  let service: Example;
  let stockAddress: string;
  const clientOf = ({ id, secret }: Registered, ...args: string[]): Example =>
    new Example(
      "client.js",
      { SIGNET_GRPC_ADDR: signet.grpc, SIGNET_CLIENT_ID: id, SIGNET_CLIENT_SECRET: secret, STOCK_ADDR: stockAddress },
      ...args,
    );
  const shop = (name: string): Registered => signet.register(name, "--scope", "stock:write", "--allow-audience", "stock");
  const ready = async (): Promise<void> => {
    const health = createClient(Health, stockAddress, credentials.createInsecure());
    await eventually(async () => ((await health.check({})).status === Serving.SERVING ? true : undefined));
    health.close();
  };

  before(async () => {
    signet = await Signet.start();
    events = signet.register("stock-events", "--scope", "signet.events.watch", "--allow-audience", "stock", "--allow-audience", "signet");
    service = new Example("service.js", {
      SIGNET_GRPC_ADDR: signet.grpc,
      SIGNET_ISSUER: signet.issuer,
      STOCK_ADDR: "127.0.0.1:0",
      SIGNET_CLIENT_ID: events.id,
      SIGNET_CLIENT_SECRET: events.secret,
    });
    stockAddress = await service.line(["127.0.0.1:"]);
    await ready();
  });
  after(async () => {
    assert.ok((await service.stop()) < 2_000, "it ends within two seconds");
    await signet.close();
  });

  test("calls pass, and what a client may not have does not", async () => {
    const taking = clientOf(shop("taking"), "--calls", "3", "--take");
    assert.equal(await taking.ended(), 0);
    assert.deepEqual(taking.lines, [999, 998, 997].map((count) => JSON.stringify({ code: "OK", count })));
    const reading = clientOf(signet.register("reading", "--scope", "stock:read", "--allow-audience", "stock"), "--take");
    assert.equal(await reading.ended(), 0);
    assert.deepEqual(reading.lines, [JSON.stringify({ code: "PERMISSION_DENIED", reason: "INSUFFICIENT_SCOPE" })]);
  });

  test("keys rotate under load, and no call is refused", async () => {
    const client = shop("rotating");
    const before_ = clientOf(client, "--calls", "120", "--interval-ms", "25");
    await before_.line(["OK"]);
    signet.command("keys", "rotate", "--now");
    // Its token is signed with the new key, which the service has to fetch.
    const after_ = clientOf(client, "--calls", "40", "--interval-ms", "25");
    assert.deepEqual([await before_.ended(), await after_.ended()], [0, 0]);
    const lines = [...before_.lines, ...after_.lines];
    assert.equal(lines.length, 160);
    assert.deepEqual(lines.filter((line) => !line.includes('"OK"')), []);
  });

  test("tokens of a key that is revoked are refused at once, and those of the next one pass", async () => {
    const client = shop("revoking");
    const calling = clientOf(client, "--calls", "80", "--interval-ms", "50");
    await calling.line(["OK"]);
    const listed = signet.command("keys", "list", "--json").trim().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
    const signing = listed.find((key) => Object.values(key).includes("signing"));
    const kid = String(signing?.["kid"] ?? signing?.["id"]);
    signet.command("keys", "revoke", kid, "--yes");
    const revoked = calling.lines.length;
    assert.equal(await calling.ended(), 0);
    assert.ok(calling.lines.slice(revoked + 20).every((line) => line.includes("TOKEN_INVALID")), calling.lines.join("\n"));
    const next = clientOf(client);
    assert.equal(await next.ended(), 0);
    assert.deepEqual(next.lines.filter((line) => !line.includes('"OK"')), []);
  });

  test("a client that is disabled is refused within a second, and its stream ends", async () => {
    const client = shop("ending");
    const watching = clientOf(client, "--watch");
    await watching.line(["count"]);
    const calling = clientOf(client, "--calls", "60", "--interval-ms", "50");
    await calling.line(["OK"]);
    signet.command("clients", "disable", client.id);
    const disabled = calling.lines.length;
    await watching.line(["ended", "TOKEN_REVOKED"]);
    assert.equal(await calling.ended(), 0);
    assert.ok(calling.lines.slice(disabled + 20).every((line) => !line.includes('"OK"')), calling.lines.join("\n"));
    await watching.stop();
  });

  test("Signet is away for some seconds, and no call is refused; then its stream is followed again", async () => {
    const client = shop("away");
    const calling = clientOf(client, "--calls", "120", "--interval-ms", "50");
    await calling.line(["OK"]);
    await signet.down();
    const before_ = calling.lines.length;
    await eventually(() => (calling.lines.length > before_ + 20 ? true : undefined));
    await signet.up();
    assert.equal(await calling.ended(), 0);
    assert.deepEqual(calling.lines.filter((line) => !line.includes('"OK"')), []);
    const watching = clientOf(client, "--watch");
    await watching.line(["count"]);
    signet.command("clients", "disable", client.id);
    await watching.line(["ended", "TOKEN_REVOKED"]);
    await watching.stop();
  });

  test("introspection answers, with a token of its own", async () => {
    const asking = signet.register("asking", "--scope", "introspect", "--allow-audience", "signet");
    const introspection = new Introspection({ addresses: signet.grpc, client: { clientId: asking.id, clientSecret: asking.secret } });
    const channel = new SignetChannel({ addresses: signet.grpc });
    const { id, secret } = shop("asked");
    const source = new TokenSource({ signet: channel, audience: "stock", grant: clientCredentials({ clientId: id, clientSecret: secret }) });
    assert.equal((await introspection.introspect(await source.token())).active, true);
    assert.equal((await introspection.introspect("nonsense")).active, false);
    introspection.close();
    channel.close();
  });

  test("the first of two addresses is away, and the second answers", async () => {
    const { id, secret } = shop("two-addresses");
    const channel = new SignetChannel({ addresses: ["127.0.0.1:1", signet.grpc] });
    const source = new TokenSource({ signet: channel, audience: "stock", grant: clientCredentials({ clientId: id, clientSecret: secret }) });
    const { target, credentials: channelCredentials, options } = attach(source, { target: stockAddress });
    const stock = createClient(StockService, target, channelCredentials, options);
    assert.equal((await stock.getItem({ name: "bolt" })).callerId, id);
    stock.close();
    channel.close();
  });
});

describe("short tokens", () => {
  test("a stream ends with its token, and its client opens it anew with another", async () => {
    const signet = await Signet.start("--access-token-ttl", "2s");
    const service = new Example("service.js", { SIGNET_ISSUER: signet.issuer, STOCK_ADDR: "127.0.0.1:0", STOCK_STREAM_GRACE: "0" });
    const STOCK_ADDR = await service.line(["127.0.0.1:"]);
    const { id, secret } = signet.register("shop", "--scope", "stock:write", "--allow-audience", "stock");
    const env = { SIGNET_GRPC_ADDR: signet.grpc, SIGNET_CLIENT_ID: id, SIGNET_CLIENT_SECRET: secret, STOCK_ADDR };
    const watching = new Example("client.js", env, "--watch");
    await watching.line(["ended", "TOKEN_EXPIRED"]);
    const ended = watching.lines.findIndex((line) => line.includes("ended"));
    await watching.line(["count"], ended);
    await watching.stop();
    await service.stop();
    await signet.close();
  });
});
