/** Owns testing that no handler changes what another call of the same token sees of its caller. */
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";

import type { Caller } from "../src/caller.js";
import { Refusal } from "../src/refusal.js";
import { TestIssuer, type TestToken } from "../src/testing/index.js";
import type { Introspector } from "../src/verify/judge.js";

const ACCESS = { kind: "authenticated", rule: { anyRoles: ["clerk"] } } as const;

async function callers(context: TestContext, token: Partial<TestToken>, introspection?: Introspector): Promise<[Caller, Caller]> {
  const issuer = await TestIssuer.create();
  const verifier = issuer.verifier("stock", { introspection });
  context.after(() => verifier.close());
  const authorization = [`Bearer ${await issuer.token({ audiences: ["stock"], ...token })}`];
  const called = async (): Promise<Caller> => {
    const admitted = await verifier.check({ method: "/a.B/C", authorization, access: ACCESS });
    assert.ok(!(admitted instanceof Refusal) && admitted.caller !== undefined);
    return admitted.caller;
  };
  return [await called(), await called()];
}

/** Every object and array within `value`. */
function* within(value: unknown): Generator<object> {
  if (typeof value !== "object" || value === null) return;
  yield value;
  for (const one of Object.values(value)) yield* within(one);
}

describe("a caller", () => {
  test("is frozen, with all that its attributes hold", async (context) => {
    const attributes = { sites: [{ id: 1, tags: ["b", "a"] }], plan: { limits: { seats: [5] } } };
    const [one, other] = await callers(context, { roles: ["clerk"], scopes: ["a"], claims: { attributes, groups: ["g"] } });
    for (const value of within(one)) assert.ok(Object.isFrozen(value), JSON.stringify(value));
    const { sites } = one.attributes as unknown as typeof attributes;
    assert.throws(() => sites[0]?.tags.sort(), TypeError);
    assert.throws(() => sites.push({ id: 2, tags: [] }), TypeError);
    assert.throws(() => (one.roles as string[]).push("admin"), TypeError);
    assert.deepEqual(other.attributes, attributes);
  });

  test("is frozen as deep as a token can say", async (context) => {
    const depth = 2_500;
    const nested: unknown = JSON.parse("[".repeat(depth) + "]".repeat(depth));
    const [one] = await callers(context, { roles: ["clerk"], claims: { attributes: { nested } } });
    let [deepest, steps]: [unknown, number] = [one.attributes["nested"], 1];
    for (; Array.isArray(deepest) && deepest.length > 0; steps++) [deepest] = deepest as unknown[];
    assert.deepEqual([steps, Object.isFrozen(deepest)], [depth, true]);
  });

  test("has roles of its own where introspection tells them", async (context) => {
    const told = { active: true, roles: ["clerk"] };
    const [one, other] = await callers(context, { claims: { roles_omitted: true } }, { introspect: () => Promise.resolve(told) });
    told.roles.push("admin");
    assert.deepEqual([one.roles, other.roles, Object.isFrozen(one.roles)], [["clerk"], ["clerk"], true]);
  });
});
