/** Owns running streams.json of the conformance corpus: when open streams end. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Policy } from "../src/policy/policy.js";
import { Refusal } from "../src/refusal.js";
import { ManualClock } from "../src/testing/index.js";
import { Verifier } from "../src/verify/verifier.js";
import { ScriptedRevocations, codeName, corpusFile, corpusJson, corpusKeys, watchResponse } from "./support/corpus.js";

interface Case {
  name: string;
  why: string;
  method: string;
  authorization: string[];
  opened: number;
  audience?: string;
  leeway?: number;
  grace?: number;
  max_age?: number;
  when_stale?: "refuse" | "continue";
  followed?: boolean;
  events: { at: number; told?: unknown; feed?: "down" }[];
  until: number;
  expect: { open: true } | { ends_at: number; code: string; reason: string };
}

const file = corpusJson("streams.json") as { issuer: string; audience: string; cases: Case[] };
const policy = Policy.fromDescriptorSet(corpusFile("policies/corpus.binpb"));

async function run(one: Case): Promise<{ at: number; refusal: Refusal } | undefined> {
  const clock = new ManualClock(Math.min(one.opened, ...one.events.map(({ at }) => at)));
  const source = new ScriptedRevocations();
  const verifier = new Verifier({
    issuer: file.issuer,
    audience: one.audience ?? file.audience,
    leeway: one.leeway,
    streamGrace: one.grace,
    revocationMaxAge: one.max_age,
    whenStale: one.when_stale,
    revocations: (one.followed ?? one.events.length > 0) ? source : undefined,
    keySource: { fetch: () => Promise.resolve({ document: corpusKeys("main") }) },
    clock,
  });
  let ended: { at: number; refusal: Refusal } | undefined;
  for (;;) {
    const now = clock.now() / 1000;
    for (const event of one.events.filter(({ at }) => at === now)) {
      if (event.told === undefined) source.state("down");
      else source.tell(watchResponse(event.told));
    }
    if (now === one.opened) {
      const { method, authorization } = one;
      const admitted = await verifier.check({ method, authorization, access: policy.access(method) });
      assert.ok(!(admitted instanceof Refusal), "it passes when it is opened");
      verifier.watch(admitted, method, (refusal) => {
        assert.equal(ended, undefined, "it ends once");
        ended = { at: clock.now() / 1000, refusal };
      });
    }
    if (now >= one.until) break;
    await clock.turn(1);
  }
  await verifier.close();
  return ended;
}

describe("streams.json", () => {
  for (const one of file.cases) {
    test(one.name, async () => {
      const ended = await run(one);
      if ("open" in one.expect) {
        assert.equal(ended, undefined, one.why);
        return;
      }
      assert.ok(ended, `it has ended: ${one.why}`);
      const { ends_at: endsAt, code, reason } = one.expect;
      const { refusal } = ended;
      assert.deepEqual([Math.ceil(ended.at), codeName(refusal), refusal.reason], [endsAt, code, reason]);
      const rule = policy.access(one.method);
      const audience = (rule.kind === "authenticated" ? rule.rule.audience : undefined) ?? one.audience ?? file.audience;
      assert.deepEqual(refusal.metadata, { audience, method: one.method });
    });
  }
});
