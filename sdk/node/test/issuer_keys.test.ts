/** Owns testing how keys are fetched: one fetch for all who wait, floods of made-up ids, failures, and keys that go. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { IssuerKeys } from "../src/keys/issuer_keys.js";
import { Refusal } from "../src/refusal.js";
import { ManualClock, TestIssuer } from "../src/testing/index.js";

interface World {
  clock: ManualClock;
  keys: IssuerKeys;
  fetched: boolean[];
  began: number[];
  state: { document: string; fails: boolean; hangs: boolean; maxAgeSeconds?: number };
}

async function world(fails = false): Promise<World> {
  const clock = new ManualClock();
  const issuer = await TestIssuer.create();
  const state: World["state"] = { document: issuer.jwks(), fails, hangs: false };
  const fetched: boolean[] = [];
  const began: number[] = [];
  const source = {
    fetch: () => {
      began.push(clock.monotonic());
      if (state.hangs) return new Promise<never>(() => undefined);
      if (state.fails) return Promise.reject(new Error("away"));
      return Promise.resolve({ document: Buffer.from(state.document), maxAgeSeconds: state.maxAgeSeconds });
    },
  };
  const keys = new IssuerKeys(source, clock, { keysFetched: (ok) => fetched.push(ok) });
  await clock.turn(0);
  return { clock, keys, fetched, began, state };
}

const kidOf = (document: string): string => (JSON.parse(document) as { keys: { kid: string }[] }).keys[0]?.kid ?? "";

describe("the keys of an issuer", () => {
  test("are known at once, once they are fetched", async () => {
    const { keys, state } = await world();
    assert.ok(!(keys.find(kidOf(state.document)) instanceof Promise));
    await keys.ready();
    keys.close();
  });

  test("a key that has just begun to sign is fetched once for all who wait", async () => {
    const { clock, keys, state, began } = await world();
    state.document = (await TestIssuer.create()).jwks();
    const kid = kidOf(state.document);
    await clock.turn(10);
    const found = await Promise.all(Array.from({ length: 900 }, async () => keys.find(kid)));
    assert.ok(found.every((key) => !(key instanceof Refusal) && key?.kid === kid));
    assert.equal(began.length, 2);
    keys.close();
  });

  test("a flood of made-up ids costs one fetch in five seconds, and a thousand may wait", async () => {
    const { clock, keys, began } = await world();
    const results: unknown[] = [];
    for (let nth = 0; nth < 3_000; nth++) void Promise.resolve(keys.find(`made up ${nth}`)).then((result) => results.push(result));
    await clock.turn(0);
    assert.equal(results.filter((result) => result instanceof Refusal).length, 2_000, "the others are refused at once");
    await clock.turn(4);
    assert.equal(began.length, 1, "not before the pause has passed");
    await clock.turn(1);
    assert.deepEqual(began, [0, 5_000]);
    assert.equal(results.filter((result) => result === undefined).length, 1_000);
    for (let second = 0; second < 60; second++) {
      for (let nth = 0; nth < 50; nth++) void keys.find(`more ${second} ${nth}`);
      await clock.turn(1);
    }
    assert.ok(began.length <= 2 + 60 / 5, String(began.length));
    keys.close();
  });

  test("a flood of made-up ids leaves nothing behind, neither timers nor entries of a signal that lives on", async (t) => {
    const any = t.mock.method(AbortSignal, "any");
    const { clock, keys, began } = await world();
    const schedule = t.mock.method(clock, "schedule");
    for (let second = 0; second < 10; second++) {
      for (let nth = 0; nth < 100; nth++) void keys.find(`made up ${second} ${nth}`);
      await clock.turn(1);
    }
    assert.deepEqual(began, [0, 5_000, 10_000]);
    // Two for each fetch, and one for the first id that makes the next fetch due.
    assert.ok(schedule.mock.callCount() <= 8, `${schedule.mock.callCount()} timers`);
    assert.equal(any.mock.callCount(), 0, "each leaves an entry behind in Node 20, as long as one of its signals lives");
    keys.close();
    await clock.turn(0);
    assert.equal(clock.waiting, 0);
  });

  test("an id that a later fetch did not find is refused at once until the next may begin", async () => {
    const { clock, keys, began } = await world();
    await clock.turn(10);
    assert.equal(await keys.find("made up"), undefined);
    assert.equal(keys.find("made up"), undefined);
    assert.equal(began.length, 2);
    await clock.turn(5);
    assert.equal(await keys.find("made up"), undefined);
    assert.equal(began.length, 3);
    keys.close();
  });

  test("an issuer that is away at the start is told at once, and after five seconds if it is silent", async () => {
    const away = await world(true);
    const refusal = await away.keys.find("k");
    assert.ok(refusal instanceof Refusal && refusal.reason === "UNAVAILABLE" && refusal.retryAfterSeconds === 1);
    away.keys.close();
    const silent = await world(true);
    silent.state.hangs = true;
    await silent.clock.turn(1);
    const answers: unknown[] = [];
    void Promise.resolve(silent.keys.find("k")).then((result) => answers.push(result));
    await silent.clock.turn(4);
    assert.equal(answers.length, 0);
    await silent.clock.turn(1);
    assert.ok(answers[0] instanceof Refusal);
    silent.keys.close();
  });

  test("are kept for a day while the issuer is away, and asked for again in longer and longer pauses", async () => {
    const { clock, keys, state, fetched, began } = await world();
    const kid = kidOf(state.document);
    state.fails = true;
    await clock.turn(86_400);
    assert.ok(keys.find(kid) !== undefined && !(keys.find(kid) instanceof Promise));
    const pauses = began.slice(-20).map((at, nth, all) => at - (all[nth - 1] ?? at)).slice(1);
    assert.ok(pauses.every((pause) => pause === 45_000), pauses.join(" "));
    await clock.turn(1);
    assert.ok((await keys.find(kid)) instanceof Refusal);
    assert.equal(fetched.filter(Boolean).length, 1);
    state.fails = false;
    await clock.turn(60);
    assert.ok(!(keys.find(kid) instanceof Promise));
    keys.close();
  });

  test("are fetched again before they are stale, within bounds", async () => {
    for (const [maxAgeSeconds, expected] of [[1_000, 900], [1, 30], [100_000, 3_240], [undefined, 270]] as const) {
      const { clock, keys, state, began } = await world();
      if (maxAgeSeconds !== undefined) state.maxAgeSeconds = maxAgeSeconds;
      keys.refresh();
      await clock.turn(0);
      await clock.turn(expected - 1);
      assert.equal(began.length, 2);
      await clock.turn(1);
      assert.equal(began.length, 3);
      keys.close();
    }
  });

  test("a set that cannot be used leaves the one of before, and a key that is gone counts no more", async () => {
    const { clock, keys, state } = await world();
    const kid = kidOf(state.document);
    const key = await keys.find(kid);
    assert.ok(key !== undefined && !(key instanceof Refusal));
    state.document = "{}";
    keys.refresh();
    await clock.turn(0);
    assert.ok(keys.isInForce(key));
    state.document = (await TestIssuer.create()).jwks();
    keys.refresh();
    await clock.turn(0);
    assert.ok(!keys.isInForce(key));
    keys.close();
  });

  test("who waits is refused when they are closed, and nothing waits for time any more", async () => {
    const { clock, keys, state } = await world();
    state.hangs = true;
    const waiting = keys.find("k");
    await clock.turn(6);
    keys.close();
    assert.ok((await waiting) instanceof Refusal);
    await clock.turn(0);
    assert.equal(clock.waiting, 0);
  });
});
