/** Owns testing the token source: one request for all who wait, renewal in time, failures that wait, refresh tokens that are stored. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import { inspect } from "node:util";

import { status } from "@grpc/grpc-js";
import { decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";

import { clientCredentials, refreshToken, type Grant, type IssuedToken } from "../src/client/grants.js";
import { SignetChannel } from "../src/client/signet_channel.js";
import { TokenSource } from "../src/client/token_source.js";
import { ConfigurationError } from "../src/keys/http.js";
import { Code, Refusal, unavailable } from "../src/refusal.js";
import { ManualClock } from "../src/testing/index.js";
import { ScriptedIssuer, issued, pending, startReplica } from "./support/issuing.js";

const SECRET = clientCredentials({ clientId: "0193a5b0-0000-7000-8000-000000000001", clientSecret: "s3cret" });

function made(grant: Grant = SECRET): { clock: ManualClock; signet: ScriptedIssuer; source: TokenSource; renewed: boolean[] } {
  const clock = new ManualClock();
  const signet = new ScriptedIssuer();
  const renewed: boolean[] = [];
  const source = new TokenSource({ signet, audience: "stock", scopes: ["a", "b"], grant, clock, hooks: { tokenRenewed: (ok) => renewed.push(ok) } });
  return { clock, signet, source, renewed };
}

async function failure(promise: Promise<unknown>): Promise<Refusal> {
  const error: unknown = await promise.then(() => assert.fail("it succeeded"), (thrown: unknown) => thrown);
  assert.ok(error instanceof Refusal, String(error));
  return error;
}

describe("a token source", () => {
  test("asks once for all who wait, and keeps the token", async () => {
    const { signet, source, renewed } = made();
    const answer = pending<IssuedToken>();
    signet.answer = () => answer.promise;
    const waiting = Array.from({ length: 1_000 }, () => source.token());
    answer.resolve(issued({ accessToken: "one" }));
    assert.deepEqual(new Set(await Promise.all(waiting)), new Set(["one"]));
    assert.equal(await source.token(), "one");
    assert.deepEqual(signet.asked, [
      {
        grant: { case: "clientCredentials", value: {} },
        client: { clientId: "0193a5b0-0000-7000-8000-000000000001", credential: { case: "clientSecret", value: "s3cret" } },
        scope: "a b",
        audiences: ["stock"],
      },
    ]);
    assert.deepEqual(renewed, [true]);
  });

  test("renews in the background of a call, which goes on with the token that there is", async () => {
    const { clock, signet, source } = made();
    const first = await source.token();
    await clock.turn(719);
    assert.equal(await source.token(), first);
    assert.equal(signet.asked.length, 1);
    await clock.turn(1);
    const answer = pending<IssuedToken>();
    signet.answer = () => answer.promise;
    assert.equal(await source.token(), first);
    assert.equal(await source.token(), first);
    answer.resolve(issued({ accessToken: "next" }));
    await clock.turn(0);
    assert.equal(await source.token(), "next");
    assert.equal(signet.asked.length, 2);
  });

  test("calls fail only when no token is alive, and a failure is not repeated at once", async () => {
    const { clock, signet, source, renewed } = made();
    const first = await source.token();
    signet.answer = () => Promise.reject(unavailable("away"));
    await clock.turn(720);
    for (let second = 720; second < 900; second++) {
      assert.equal(await source.token(), first);
      await clock.turn(1);
    }
    // Pauses of 0.75, 1.5, 3, 6, 12 and then 22.5 seconds: one a second at the most, and some fifteen in three minutes.
    assert.ok(signet.asked.length > 8 && signet.asked.length < 16, String(signet.asked.length));
    const refusal = await failure(source.token());
    assert.equal(refusal.code, Code.UNAVAILABLE);
    const asked = signet.asked.length;
    await failure(source.token());
    assert.ok(signet.asked.length <= asked + 1);
    signet.answer = () => Promise.resolve(issued({ accessToken: "again" }));
    await clock.turn(30);
    assert.equal(await source.token(), "again");
    assert.equal(renewed.at(-1), true);
  });

  test("a refusal for good is handed on, and not asked for again for ten seconds", async () => {
    const { clock, signet, source } = made();
    for (const [code, reason] of [[Code.UNAUTHENTICATED, "INVALID_CLIENT"], [Code.INVALID_ARGUMENT, "INVALID_SCOPE"]] as const) {
      const asked = signet.asked.length;
      signet.answer = () => Promise.reject(new Refusal(code, reason, "no"));
      for (let nth = 0; nth < 3; nth++) {
        const refusal = await failure(source.token());
        assert.deepEqual([refusal.code, refusal.reason], [Code.UNAUTHENTICATED, reason]);
        assert.ok(!refusal.message.includes("s3cret"));
      }
      assert.equal(signet.asked.length, asked + 1);
      await clock.turn(10);
    }
  });

  test("waits as long as Signet asks, but not for more than a minute", async () => {
    const { clock, signet, source } = made();
    signet.answer = () => Promise.reject(new Refusal(Code.RESOURCE_EXHAUSTED, "TOO_MANY_REFRESHES", "no", {}, { retryAfterSeconds: 20 }));
    await failure(source.token());
    await clock.turn(19);
    await failure(source.token());
    assert.equal(signet.asked.length, 1);
    await clock.turn(1);
    signet.answer = () => Promise.reject(new Refusal(Code.RESOURCE_EXHAUSTED, "OF_A_PROXY", "no", {}, { retryAfterSeconds: 86_400 }));
    await failure(source.token());
    await clock.turn(60);
    await failure(source.token());
    assert.equal(signet.asked.length, 3);
  });

  test("tells its hook why none came", async () => {
    const causes: unknown[] = [];
    const signet = new ScriptedIssuer();
    const cause = new Refusal(Code.UNAUTHENTICATED, "INVALID_CLIENT", "no");
    signet.answer = () => Promise.reject(cause);
    const source = new TokenSource({ signet, audience: "stock", grant: SECRET, hooks: { tokenRenewed: (ok, why) => causes.push(ok, why) } });
    await failure(source.token());
    assert.deepEqual(causes, [false, cause]);
  });

  test("the deadline of a call bounds its wait, and the request goes on for others", async () => {
    const { clock, signet, source } = made();
    const answer = pending<IssuedToken>();
    signet.answer = () => answer.promise;
    const late = failure(source.token({ deadline: clock.now() + 2_000 }));
    const ended = new AbortController();
    const cancelled = failure(source.token({ signal: ended.signal }));
    const patient = source.token();
    ended.abort();
    await cancelled;
    await clock.turn(2);
    assert.equal((await late).code, Code.DEADLINE_EXCEEDED);
    answer.resolve(issued({ accessToken: "one" }));
    assert.equal(await patient, "one");
    assert.equal(clock.waiting, 0);
  });

  test("a token that was refused is dropped once, and not each time that one is refused", async () => {
    const { clock, source, signet } = made();
    const first = await source.token();
    assert.equal(source.drop(first), true);
    const second = await source.token();
    assert.notEqual(second, first);
    assert.equal(source.drop(first), true, "it is another one already");
    assert.equal(source.drop(second), false);
    assert.equal(await source.token(), second);
    await clock.turn(7);
    assert.equal(source.drop(second), true);
    await source.token();
    assert.equal(signet.asked.length, 3);
  });
});

describe("a refresh token", () => {
  test("belongs to one source: two would end the session", () => {
    const grant = refreshToken({ refreshToken: "r1", store: () => Promise.resolve() });
    const options = { signet: new ScriptedIssuer(), audience: "stock", grant };
    assert.throws(() => new TokenSource({ ...options, audience: "" }), ConfigurationError);
    assert.ok(new TokenSource(options), "one that could not be made has not taken it");
    assert.throws(() => new TokenSource({ ...options, audience: "orders" }), ConfigurationError);
    assert.ok(new TokenSource({ ...options, grant: SECRET }));
    assert.ok(new TokenSource({ ...options, grant: SECRET }), "a client's own credentials serve any number");
  });

  interface Broken {
    error?: Error | undefined;
    until?: Promise<undefined>;
  }

  /** Signet, which answers the exchange of `r1` by `r2`, and so on; what was sent; and a store that fails as long as `broken` is set. */
  function user(expiresIn = 900): ReturnType<typeof made> & { sent: string[]; stored: string[]; broken: Broken } {
    const stored: string[] = [];
    const sent: string[] = [];
    const broken: Broken = {};
    const store = (next: string): Promise<void> => {
      stored.push(next);
      if (broken.until !== undefined) return broken.until;
      return broken.error === undefined ? Promise.resolve() : Promise.reject(broken.error);
    };
    const world = made(refreshToken({ refreshToken: "r1", store }));
    world.signet.answer = () => {
      const value = world.signet.asked.at(-1)?.grant?.value;
      const shown = value !== undefined && "refreshToken" in value ? value.refreshToken : assert.fail("no refresh token");
      sent.push(shown);
      return Promise.resolve(issued({ accessToken: `for ${shown}`, refreshToken: `r${Number(shown.slice(1)) + 1}`, expiresIn }));
    };
    return { ...world, sent, stored, broken };
  }

  test("is stored before the access token is used; while that fails the answer is kept, and nothing is exchanged", async () => {
    const { clock, source, renewed, sent, stored, broken } = user();
    broken.error = new Refusal(Code.INVALID_ARGUMENT, "OF_THE_STORE", "the disk is full");
    for (let second = 0; second < 300; second++) {
      const refusal = await failure(source.token());
      assert.deepEqual([refusal.code, source.live()], [Code.UNAVAILABLE, undefined]);
      await clock.turn(1);
    }
    assert.deepEqual(sent, ["r1"], "Signet takes who shows it again and again for a thief");
    assert.ok(stored.length > 8 && stored.every((next) => next === "r2"), String(stored));
    broken.error = undefined;
    await clock.turn(30);
    assert.equal(await source.token(), "for r1");
    assert.deepEqual(new Set(renewed.slice(0, -1)), new Set([false]));
    // It lives since it was given, and not since it was stored.
    await clock.turn(390);
    assert.equal(await source.token(), "for r1");
    await clock.turn(0);
    assert.equal(await source.token(), "for r2");
    assert.deepEqual([sent, stored.at(-1)], [["r1", "r2"], "r3"]);
  });

  test("counts as not stored after 10 seconds, and is not stored beside a store that goes on", async () => {
    const { clock, source, sent, stored, broken } = user();
    const slow = pending<undefined>();
    broken.until = slow.promise;
    const waiting = failure(source.token());
    await clock.turn(9);
    await clock.turn(1);
    assert.equal((await waiting).code, Code.UNAVAILABLE);
    await clock.turn(30);
    const again = source.token();
    await clock.turn(5);
    assert.deepEqual([sent, stored], [["r1"], ["r2"]], "nobody stores beside it");
    slow.resolve(undefined);
    assert.equal(await again, "for r1");
    assert.deepEqual([sent, stored], [["r1"], ["r2"]]);
  });

  test("is exchanged at once if the access token has expired before it was stored", async () => {
    const { clock, source, sent, broken } = user(100);
    broken.error = new Error("the disk is full");
    assert.equal((await failure(source.token())).code, Code.UNAVAILABLE);
    broken.error = undefined;
    await clock.turn(100);
    assert.equal(await source.token(), "for r2");
    assert.deepEqual(sent, ["r1", "r2"]);
  });

  test("is not stored while the token that there is lives on, and calls go on with that", async () => {
    const { clock, source, sent, broken } = user();
    assert.equal(await source.token(), "for r1");
    broken.error = new Error("the disk is full");
    for (let second = 0; second < 899; second++) {
      await clock.turn(1);
      assert.equal(await source.token(), "for r1");
    }
    await clock.turn(1);
    assert.equal((await failure(source.token())).code, Code.UNAVAILABLE);
    assert.deepEqual(sent, ["r1", "r2"]);
  });

  test("that an answer lacks is not kept for: the exchange is made again", async () => {
    const { clock, signet, source, sent } = user();
    const exchange = signet.answer;
    signet.answer = async () => ({ ...(await exchange()), refreshToken: "" });
    const refusal = await failure(source.token());
    assert.equal(refusal.code, Code.UNAVAILABLE);
    assert.equal((refusal.cause as Error).message, "Signet answered without the next refresh token");
    signet.answer = exchange;
    await clock.turn(1);
    assert.equal(await source.token(), "for r1");
    assert.deepEqual(sent, ["r1", "r1"]);
  });

  test("an answer that has expired already is followed by the next exchange", async () => {
    const { signet, source } = made(refreshToken({ refreshToken: "r1", store: () => Promise.resolve() }));
    const answers = [issued({ refreshToken: "r2", expiresIn: 0 }), issued({ refreshToken: "r3", accessToken: "fresh" })];
    signet.answer = () => Promise.resolve(answers.shift() ?? assert.fail());
    assert.equal(await source.token(), "fresh");
    assert.equal(signet.asked.length, 2);
  });
});

describe("private_key_jwt", () => {
  test("signs an assertion for each address that is tried: one is used once", async (context) => {
    const shown: string[] = [];
    const codes = [status.UNAVAILABLE, status.UNAVAILABLE, undefined];
    const replicas = await Promise.all(codes.map((code) => startReplica(code, shown, context)));
    const signet = new SignetChannel({ addresses: replicas });
    context.after(() => {
      signet.close();
    });
    const { privateKey } = generateKeyPairSync("ed25519");
    const grant = clientCredentials({ clientId: "shop", privateKey, alg: "EdDSA", issuer: "https://id.example" });
    const source = new TokenSource({ signet, audience: "stock", grant });
    assert.equal(await source.token(), "from a replica");
    assert.deepEqual([shown.length, new Set(shown.map((assertion) => decodeJwt(assertion).jti)).size], [3, 3]);
  });

  test("that cannot sign asks nobody", async (context) => {
    const shown: string[] = [];
    const replica = await startReplica(undefined, shown, context);
    const signet = new SignetChannel({ addresses: [replica, replica] });
    context.after(() => {
      signet.close();
    });
    const privateKey = { kty: "oct", k: "c2VjcmV0" };
    const source = new TokenSource({ signet, audience: "stock", grant: clientCredentials({ clientId: "shop", privateKey, alg: "ES256", issuer: "i" }) });
    const refusal = await failure(source.token());
    assert.deepEqual([refusal.code, shown.length], [Code.UNAVAILABLE, 0]);
    assert.ok(!inspect(refusal).includes("c2VjcmV0"));
  });

  for (const [alg, pair] of [
    ["ES256", generateKeyPairSync("ec", { namedCurve: "P-256" })],
    ["EdDSA", generateKeyPairSync("ed25519")],
    ["RS256", generateKeyPairSync("rsa", { modulusLength: 2048 })],
  ] as const) {
    test(`signs an assertion by ${alg} that lives a minute`, async () => {
      const clientId = "0193a5b0-0000-7000-8000-000000000001";
      const { clock, signet, source } = made(
        clientCredentials({ clientId, privateKey: pair.privateKey, alg, keyId: "k", issuer: "https://id.example" }),
      );
      await source.token();
      await clock.turn(900);
      await source.token();
      const assertions = signet.asked.map(({ client }) => String(client?.credential?.value));
      const [assertion = "", next = ""] = assertions;
      assert.deepEqual(decodeProtectedHeader(assertion), { alg, kid: "k", typ: "client-authentication+jwt" });
      const { payload } = await jwtVerify(assertion, pair.publicKey, { currentDate: new Date(1_800_000_000_000) });
      const { jti, ...claims } = payload;
      assert.deepEqual(claims, { iss: clientId, sub: clientId, aud: "https://id.example", iat: 1_800_000_000, exp: 1_800_000_060 });
      assert.notEqual(jti, decodeJwt(next).jti);
    });
  }
});
