/** Owns running clients.json of the conformance corpus: when a call is sent again, a token renewed, and one attached. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { mayRetry } from "../src/client/retry.js";
import { mayAttach } from "../src/client/target.js";
import { renewAfter } from "../src/client/token_source.js";
import { Code, Refusal } from "../src/refusal.js";
import { corpusJson } from "./support/corpus.js";

const file = corpusJson("clients.json") as {
  retry: {
    name: string;
    call: { method: string; audience: string; kind: "unary" | "stream"; messages_received: number };
    refusal: { code: string; details: string };
    attempt: number;
    expect: { retry: boolean };
  }[];
  renew: { lifetime: number; random: number; renew_at: number }[];
  attach: {
    name: string;
    target: string;
    authority: string;
    secure: boolean;
    peer_is_loopback: boolean;
    allow_plaintext: boolean;
    expect: "attach" | "refuse";
  }[];
};

/** gRPC codes by name, in their order. */
const CODES = [
  "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
  "UNAUTHENTICATED",
];

describe("clients.json", () => {
  test("the codes are those of gRPC", () => {
    for (const [name, number] of Object.entries(Code)) assert.equal(CODES[number], name);
  });
  for (const { name, call, refusal, attempt, expect } of file.retry) {
    test(`retry: ${name}`, () => {
      const code = CODES.indexOf(refusal.code);
      assert.notEqual(code, -1);
      const details = refusal.details === "" ? undefined : Buffer.from(refusal.details, "base64");
      const failed = { ...call, isUnary: call.kind === "unary", messagesReceived: call.messages_received, attempt };
      assert.equal(mayRetry(failed, Refusal.fromStatus(code, "", details)), expect.retry);
    });
  }
  for (const { lifetime, random, renew_at: renewAt } of file.renew) {
    test(`renew: ${lifetime} seconds, ${random}`, () => {
      assert.ok(Math.abs(renewAfter(lifetime * 1000, random) - renewAt * 1000) <= 1);
    });
  }
  for (const { name, peer_is_loopback: peerIsLoopback, allow_plaintext: allowPlaintext, expect, ...call } of file.attach) {
    test(`attach: ${name}`, () => {
      const { target, authority, secure } = call;
      assert.equal(mayAttach({ target, authority, secure, peerIsLoopback, allowPlaintext }), expect === "attach");
    });
  }
});
