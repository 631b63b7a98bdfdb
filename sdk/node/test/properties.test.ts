/** Owns testing by properties: whatever bytes come, the readers refuse or understand them, and nobody is let in who should not be. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";

import { AccessSchema, type Access_Callers } from "../src/gen/identity/v1/access_pb.js";
import { readAccess } from "../src/policy/access.js";
import { readDescriptorSet, PolicyError } from "../src/policy/descriptors.js";
import { Refusal } from "../src/refusal.js";
import { bearerToken } from "../src/verify/bearer.js";
import { readClaims } from "../src/verify/claims.js";
import { base64url, takeApart } from "../src/verify/jws.js";
import { isLoopback } from "../src/client/target.js";
import { TestIssuer } from "../src/testing/index.js";

const names = fc.array(fc.string({ minLength: 1, maxLength: 8, unit: "binary" }).filter((text) => Buffer.from(text).toString() === text), { maxLength: 4 });

describe("a rule", () => {
  test("is read as protobuf-es reads it", () => {
    fc.assert(
      fc.property(names, names, names, fc.constantFrom(0, 1, 2), fc.constantFrom("", "orders"), (required, anyScopes, roles, callers, audience) => {
        const value = { requiredScopes: required, anyScopes, anyRoles: roles, callers: callers as Access_Callers, audience };
        const access = create(AccessSchema, { rule: { case: "authenticated", value } });
        assert.deepEqual(readAccess(toBinary(AccessSchema, access)), {
          kind: "authenticated",
          rule: {
            requiredScopes: required,
            anyScopes,
            anyRoles: roles,
            callers: ([undefined, "user", "client"] as const)[callers],
            audience: audience === "" ? undefined : audience,
          },
        });
      }),
    );
  });

  test("of whatever bytes lets nobody in whom protobuf-es would not, and never throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 24 }), (bytes) => {
        const access = readAccess(bytes);
        if (access.kind !== "public" && access.kind !== "authenticated") return;
        const read = fromBinary(AccessSchema, bytes);
        assert.equal(read.rule.case, access.kind);
        assert.equal(read.$unknown, undefined);
        assert.equal(read.rule.value.$unknown, undefined);
      }),
      { numRuns: 5_000 },
    );
  });

  test("with one more field of any number is not understood", () => {
    fc.assert(
      fc.property(fc.integer({ min: 6, max: 15 }), fc.boolean(), (number, nested) => {
        const field = [number << 3, 1];
        const bytes = nested ? [0x12, field.length, ...field] : [0x0a, 0, ...field];
        assert.equal(readAccess(new Uint8Array(bytes)).kind, "not_understood");
      }),
    );
  });
});

test("descriptors of whatever bytes make a policy or are refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      assert.throws(() => readDescriptorSet(bytes), PolicyError, "none of these defines the option");
    }),
    { numRuns: 2_000 },
  );
});

describe("a token", () => {
  test("of whatever text is refused", async () => {
    const issuer = await TestIssuer.create();
    const verifier = issuer.verifier("stock");
    await verifier.ready();
    const part = fc.oneof(fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString("base64url")), fc.string({ maxLength: 8 }),
      fc.json({ maxDepth: 1 }).map((text) => Buffer.from(text).toString("base64url")));
    const text = fc.oneof(fc.string({ unit: "binary" }), fc.tuple(part, part, part).map((parts) => parts.join(".")));
    await fc.assert(
      fc.asyncProperty(text, async (token) => {
        const call = { method: "/a/B", authorization: [`Bearer ${token}`], access: { kind: "authenticated", rule: {} } as const };
        const result = await verifier.check(call);
        assert.ok(result instanceof Refusal && result.reason === "TOKEN_INVALID", token);
      }),
      { numRuns: 2_000 },
    );
    await verifier.close();
  });

  test("with one character changed is refused", async () => {
    const issuer = await TestIssuer.create();
    const verifier = issuer.verifier("stock");
    const token = await issuer.token({ audiences: ["stock"] });
    await verifier.ready();
    await fc.assert(
      fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom("A", "Z", "a", "z", "0", "9", "-", "_", ".", "=", "+", "/", " "), async (at, character) => {
        fc.pre(token[at] !== character);
        const changed = token.slice(0, at) + character + token.slice(at + 1);
        const call = { method: "/a/B", authorization: [`Bearer ${changed}`], access: { kind: "authenticated", rule: {} } as const };
        const result = await verifier.check(call);
        assert.ok(result instanceof Refusal && result.code === 16);
      }),
      { numRuns: 500 },
    );
    await verifier.close();
  });

  test("its readers never throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.string({ unit: "binary" }), fc.boolean(), (bytes, text, plain) => {
        readClaims(bytes, "https://id.example");
        takeApart(text, plain);
        bearerToken([text]);
        bearerToken([bytes]);
      }),
      { numRuns: 2_000 },
    );
  });

  test("base64url is read in one way alone", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), (text) => {
        const bytes = base64url(text);
        if (bytes !== undefined) assert.equal(Buffer.from(bytes).toString("base64url"), text);
      }),
    );
    for (const bad of ["=", "a", "ab=", "a b", "a+/b", "AB", "a\n"]) assert.equal(base64url(bad), undefined, bad);
  });
});

test("nothing but this machine is loopback", () => {
  for (const here of ["127.0.0.1:1", "127.9.9.9", "localhost:1", "LOCALHOST:1", "[::1]:1", "::1", "dns:///127.0.0.1:1", "unix:///run/a"]) {
    assert.ok(isLoopback(here), here);
  }
  for (const elsewhere of ["", "127.0.0.1.example:1", "localhost.example:1", "[::2]:1", "[::11]:1", "[::ffff:10.0.0.1]:1", "10.0.0.1:1",
    "ipv4:127.0.0.1:1,10.0.0.1:1", "dns://127.0.0.1/stock:1", "128.0.0.1", "0.0.0.0:1"]) {
    assert.ok(!isLoopback(elsewhere), elsewhere);
  }
});
