/** Owns running server.json and jwks.json of the conformance corpus: each call, and each key set. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";

import type { Caller } from "../src/caller.js";
import { ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../src/gen/google/rpc/status_pb.js";
import { readKeySet } from "../src/keys/jwk_set.js";
import { Policy } from "../src/policy/policy.js";
import { PolicyError } from "../src/policy/descriptors.js";
import { Refusal } from "../src/refusal.js";
import { ManualClock } from "../src/testing/index.js";
import { Verifier, type Admitted } from "../src/verify/verifier.js";
import { ScriptedRevocations, codeName, corpusFile, corpusJson, corpusKeys, watchResponse } from "./support/corpus.js";

interface Case {
  name: string;
  why: string;
  method: string;
  authorization: string[];
  now?: number;
  jwks?: string;
  policy?: string;
  public_services?: string[];
  audience?: string;
  leeway?: number;
  token_typ_jwt?: boolean;
  max_age?: number;
  when_stale?: "refuse" | "continue";
  followed?: boolean;
  told?: { at: number; message: unknown }[];
  introspection?: { active: boolean; roles?: string[] };
  expect: Record<string, unknown>;
}

const file = corpusJson("server.json") as {
  issuer: string;
  audience: string;
  now: number;
  refused_policies?: { name: string; why: string; policy: string }[];
  cases: Case[];
};

function readPolicy(name: string): Policy {
  return Policy.fromDescriptorSet(corpusFile(`policies/${name}.binpb`));
}

function toldCaller(caller: Caller): Record<string, unknown> {
  const told = {
    kind: caller.kind,
    id: caller.id,
    client_id: caller.clientId,
    session_id: caller.sessionId,
    audiences: caller.audiences,
    scopes: caller.scopes,
    roles: caller.roles,
    groups: caller.groups,
    amr: caller.amr,
    auth_time: caller.authTime,
    acr: caller.acr,
    attributes: caller.attributes,
  };
  return Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined));
}

/** The same with what the corpus leaves out where it is empty. */
function whole(caller: Record<string, unknown>): Record<string, unknown> {
  return { audiences: [], scopes: [], roles: [], groups: [], amr: [], attributes: {}, ...caller };
}

function toldRefusal(refusal: Refusal): Record<string, unknown> {
  const status = fromBinary(StatusSchema, refusal.toDetails());
  assert.equal(status.code, refusal.code);
  const infos = status.details.flatMap((detail) => anyUnpack(detail, ErrorInfoSchema) ?? []);
  const delays = status.details.flatMap((detail) => anyUnpack(detail, RetryInfoSchema)?.retryDelay ?? []);
  assert.equal(infos.length, 1);
  assert.equal(infos[0]?.domain, "identity.v1");
  const told = { code: codeName(refusal), reason: infos[0].reason, metadata: infos[0].metadata };
  return delays[0] === undefined ? told : { ...told, retry_info: Number(delays[0].seconds) };
}

async function outcome(one: Case): Promise<Record<string, unknown>> {
  const now = one.now ?? file.now;
  const told = one.told ?? [];
  const clock = new ManualClock(Math.min(now, ...told.map(({ at }) => at)));
  const source = new ScriptedRevocations();
  const { introspection } = one;
  const verifier = new Verifier({
    issuer: file.issuer,
    audience: one.audience ?? file.audience,
    leeway: one.leeway,
    tokenTypJwt: one.token_typ_jwt,
    revocationMaxAge: one.max_age,
    whenStale: one.when_stale,
    revocations: (one.followed ?? one.told !== undefined) ? source : undefined,
    introspection: introspection && { introspect: () => Promise.resolve(introspection) },
    keySource: { fetch: () => Promise.resolve({ document: corpusKeys(one.jwks ?? "main") }) },
    fetchSettings: { minPauseMs: 0, timeoutMs: 5_000 },
    clock,
  });
  for (const { at, message } of told) {
    await clock.turn(at - clock.now() / 1000);
    source.tell(watchResponse(message));
  }
  await clock.turn(now - clock.now() / 1000);
  const policy = readPolicy(one.policy ?? "corpus").withPublic(...(one.public_services ?? []));
  const { method, authorization } = one;
  const check = (): Admitted | Refusal | Promise<Admitted | Refusal> =>
    verifier.check({ method, authorization, access: policy.access(method) });
  const first = await check();
  // What was verified once must not be judged otherwise when it is remembered.
  const again = await check();
  await verifier.close();
  const describe_ = (result: Admitted | Refusal): Record<string, unknown> => {
    if (result instanceof Refusal) return toldRefusal(result);
    return result.caller === undefined ? { code: "OK" } : { code: "OK", caller: whole(toldCaller(result.caller)) };
  };
  assert.deepEqual(describe_(again), describe_(first));
  return describe_(first);
}

describe("server.json", () => {
  for (const one of file.cases) {
    test(one.name, async () => {
      const { caller } = one.expect;
      const expected = caller === undefined ? one.expect : { ...one.expect, caller: whole(caller as Record<string, unknown>) };
      assert.deepEqual(await outcome(one), expected, one.why);
    });
  }
  for (const one of file.refused_policies ?? []) {
    test(`no policy: ${one.name}`, () => {
      assert.throws(() => readPolicy(one.policy), PolicyError, one.why);
    });
  }
});

describe("jwks.json", () => {
  const { cases } = corpusJson("jwks.json") as {
    cases: { name: string; why: string; document: string; expect: string[] | "refused" }[];
  };
  for (const one of cases) {
    test(one.name, async () => {
      const read = readKeySet(Buffer.from(one.document));
      if (one.expect === "refused") await assert.rejects(read, one.why);
      else assert.deepEqual([...(await read).keys()], one.expect, one.why);
    });
  }
});
