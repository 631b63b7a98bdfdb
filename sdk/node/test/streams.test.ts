/** Owns testing when open streams end though timers or the time of day are not what they should be. */
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import type { Clock } from "../src/clock.js";
import { Refusal } from "../src/refusal.js";
import { ManualClock, TestIssuer } from "../src/testing/index.js";
import type { Verifier } from "../src/verify/verifier.js";

/** A clock whose timers fire a moment early, as those of Node may. */
class HastyClock extends ManualClock implements Clock {
  override schedule(ms: number, action: () => void): () => void {
    return super.schedule(ms > 2 ? ms - 2 : ms, action);
  }
}

interface World {
  issuer: TestIssuer;
  verifier: Verifier;
  /** Opens a stream; says why it has ended. */
  open: (lifetime?: number) => Promise<() => string | undefined>;
}

async function world(context: TestContext, clock = new ManualClock()): Promise<World> {
  const issuer = await TestIssuer.create({ clock });
  const verifier = issuer.verifier("stock");
  context.after(() => verifier.close());
  const ready = verifier.ready();
  await clock.turn(0);
  await ready;
  const open = async (lifetime?: number): Promise<() => string | undefined> => {
    const token = await issuer.token({ audiences: ["stock"], lifetime });
    const method = "/stock.v1.StockService/WatchItem";
    const access = { kind: "authenticated", rule: {} } as const;
    const admitted = await verifier.check({ method, authorization: [`Bearer ${token}`], access });
    assert.ok(!(admitted instanceof Refusal));
    let reason: string | undefined;
    const stop = verifier.watch(admitted, method, (refusal) => {
      assert.equal(reason, undefined, "it ends once");
      ({ reason } = refusal);
    });
    context.after(stop);
    return () => reason;
  };
  return { issuer, verifier, open };
}

describe("an open stream", () => {
  test("ends within 5 seconds of its expiry and grace if the time of day steps on", async (context) => {
    const { issuer, open } = await world(context);
    const ended = await open(900);
    await issuer.clock.turn(100);
    issuer.clock.step(829);
    await issuer.clock.turn(0);
    assert.equal(ended(), undefined, "a second is left");
    await issuer.clock.turn(1);
    await issuer.clock.turn(4);
    assert.equal(ended(), "TOKEN_EXPIRED");
  });

  test("lives no longer if the time of day steps back", async (context) => {
    const { issuer, open } = await world(context);
    const ended = await open(900);
    issuer.clock.step(-600);
    await issuer.clock.turn(929);
    assert.equal(ended(), undefined);
    await issuer.clock.turn(1);
    assert.equal(ended(), "TOKEN_EXPIRED");
  });

  test("leaves no timer behind", async (context) => {
    const { issuer, open } = await world(context);
    await issuer.clock.turn(0);
    const before = issuer.clock.waiting;
    const ended = await open(60);
    assert.equal(issuer.clock.waiting, before + 2);
    await issuer.clock.turn(90);
    assert.deepEqual([ended(), issuer.clock.waiting], ["TOKEN_EXPIRED", before]);
  });

  test("ends when what was revoked is not known any more, and when its token expires, also if timers fire early", async (context) => {
    const { issuer, open } = await world(context, new HastyClock());
    const [expiring, stale] = [await open(8), await open(900)];
    await issuer.clock.turn(38.1);
    assert.equal(expiring(), "TOKEN_EXPIRED");
    issuer.silent = true;
    await issuer.clock.turn(30);
    assert.equal(stale(), "UNAVAILABLE");
  });
});
