/**
 * Owns measuring what the SDK costs: a server with the guard beside one without, and a token that is new beside the same checks by `jose`
 * alone. In each round all are measured in turns, each first in its turn; what is told are medians over the rounds.
 *
 * Usage: npm run bench [-- [--json] [--rounds N]]
 * --json    ends with one line of JSON; all times are microseconds of CPU (user and system): of the server's process for calls, of this
 *           one, with its threads, for tokens
 * --rounds  9 by default
 */
import { fork, type ChildProcess } from "node:child_process";
import { webcrypto } from "node:crypto";
import { once } from "node:events";
import path from "node:path";
import { parseArgs } from "node:util";

import { Metadata, credentials } from "@grpc/grpc-js";
import { createLocalJWKSet, importJWK, jwtVerify, type CryptoKey, type JSONWebKeySet, type JWK } from "jose";

import { StockService } from "../example/gen/stock/v1/stock_service_pb.js";
import { systemClock } from "../src/clock.js";
import { createClient } from "../src/grpc/protobuf_es.js";
import { Refusal } from "../src/refusal.js";
import { ManualClock, TestIssuer } from "../src/testing/index.js";
import { Verifier } from "../src/verify/verifier.js";

const { values } = parseArgs({ options: { json: { type: "boolean", default: false }, rounds: { type: "string", default: "9" } } });
const ROUNDS = Number(values.rounds);
if (!Number.isInteger(ROUNDS) || ROUNDS < 1) throw new Error("--rounds must be a number from 1");
/** In how many parts a round is measured, and how many tokens and calls there are in each. */
const PARTS = 10;
const TOKENS = 100;
const CALLS = 320;
const AT_ONCE = 16;
const { subtle } = webcrypto;
const ACCESS = { kind: "authenticated", rule: {} } as const;

const median = (numbers: number[]): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
const rounded = (number: number): number => Math.round(number * 100) / 100;

/** Microseconds of CPU that one of `times` runs of `work` takes. */
async function cpu(times: number, work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / times;
}

/** What one of the things that are compared takes, in microseconds, in one part of a round. */
type Measure = (part: number) => Promise<number>;

/**
 * All of `measures` in each part of each round, of which another one is first each time: what each took, round by round. Parts are short,
 * so that whatever else the machine does falls on all alike. The first round is not told.
 */
async function inTurns<K extends string>(measures: Readonly<Record<K, Measure>>): Promise<Record<K, number[]>> {
  const names = Object.keys(measures) as K[];
  const taken = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<K, number[]>;
  for (let round = -1; round < ROUNDS; round++) {
    const sums = new Map<K, number>();
    for (let part = 0; part < PARTS; part++) {
      for (let nth = 0; nth < names.length; nth++) {
        const name = names[(round + 1 + part + nth) % names.length] as K;
        sums.set(name, (sums.get(name) ?? 0) + (await measures[name](part)));
      }
    }
    if (round >= 0) for (const [name, sum] of sums) taken[name].push(sum / PARTS);
  }
  return taken;
}

/** Of each round's ratio of `some` to `others`. */
function ratio(some: number[], others: number[]): { median: number; min: number; max: number } {
  const all = some.map((one, round) => one / (others[round] ?? NaN));
  return { median: rounded(median(all)), min: rounded(Math.min(...all)), max: rounded(Math.max(...all)) };
}

/** What a token takes that has never been seen, the same checks by `jose`, the bare signature, and a token that was seen before. */
async function tokens(issuer: TestIssuer, jwks: string): Promise<Record<"new" | "library" | "signature" | "seen", number[]>> {
  const given = await Promise.all(Array.from({ length: PARTS * TOKENS }, () => issuer.token({ audiences: ["stock"], scopes: ["stock:read"] })));
  const set = JSON.parse(jwks) as JSONWebKeySet;
  const keys = createLocalJWKSet(set);
  const key = (await importJWK(set.keys[0] as JWK)) as CryptoKey;
  const keySource = { fetch: () => Promise.resolve({ document: Buffer.from(jwks) }) };
  const made = async (): Promise<Verifier> => {
    const verifier = new Verifier({ issuer: issuer.issuer, audience: "stock", keySource, cacheSize: PARTS * TOKENS });
    await verifier.ready();
    return verifier;
  };
  const parts = Array.from({ length: PARTS }, (_, part) => given.slice(part * TOKENS, (part + 1) * TOKENS));
  const signed = given.map((token) => {
    const end = token.lastIndexOf(".");
    return { data: Buffer.from(token.slice(0, end)), signature: Buffer.from(token.slice(end + 1), "base64url") };
  });
  const checked = async (verifier: Verifier, some = given): Promise<void> => {
    for (const token of some) {
      const result = verifier.check({ method: "/a/B", authorization: [`Bearer ${token}`], access: ACCESS });
      if ((result instanceof Promise ? await result : result) instanceof Refusal) throw new Error("it was refused");
    }
  };
  const warm = await made();
  await checked(warm);
  const expected = {
    issuer: issuer.issuer, audience: "stock", typ: "at+jwt", algorithms: ["ES256"], clockTolerance: 5,
    requiredClaims: ["sub", "jti", "client_id", "scope", "exp", "iat"],
  };
  const taken = await inTurns({
    new: async (part) => {
      const cold = await made();
      const one = await cpu(TOKENS, () => checked(cold, parts[part]));
      await cold.close();
      return one;
    },
    library: (part) => cpu(TOKENS, async () => {
      for (const token of parts[part] ?? []) await jwtVerify(token, keys, expected);
    }),
    signature: (part) => cpu(TOKENS, async () => {
      for (const { data, signature } of signed.slice(part * TOKENS, (part + 1) * TOKENS)) {
        if (!(await subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, signature, data))) throw new Error("it does not verify");
      }
    }),
    seen: (part) => cpu(TOKENS, () => checked(warm, parts[part])),
  });
  await warm.close();
  return taken;
}

/** A server in a process of its own. */
class Child {
  readonly #process: ChildProcess;
  #client: ReturnType<typeof createClient<typeof StockService>> | undefined;

  constructor(issuer: string, jwks: string, mode: string) {
    this.#process = fork(path.join(import.meta.dirname, "server.js"), [issuer, jwks, mode]);
  }

  async ready(): Promise<void> {
    const [{ port }] = (await once(this.#process, "message")) as [{ port: number }];
    this.#client = createClient(StockService, `127.0.0.1:${port}`, credentials.createInsecure());
  }

  async cpu(): Promise<number> {
    const answer = once(this.#process, "message");
    this.#process.send({});
    const [{ cpuMicros }] = (await answer) as [{ cpuMicros: number }];
    return cpuMicros;
  }

  /** Microseconds of CPU that a call takes there. */
  async measure(token: string): Promise<number> {
    const client = this.#client;
    if (client === undefined) throw new Error("it is not ready");
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    const before = await this.cpu();
    const worker = async (): Promise<void> => {
      for (let nth = 0; nth < CALLS / AT_ONCE; nth++) await client.getItem({ name: "bolt" }, { metadata });
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return ((await this.cpu()) - before) / CALLS;
  }

  close(): void {
    this.#client?.close();
    this.#process.kill();
  }
}

/** What a unary call takes on a server without the guard, and on one with it whose token was seen before; as JSON says it no more. */
async function calls(issuer: TestIssuer, jwks: string): Promise<Record<"unguarded" | "seen" | "context", number[]>> {
  const token = await issuer.token({ audiences: ["stock"], lifetime: 3_600 });
  const modes = { unguarded: "bare", seen: "guarded", ...(values.json ? {} : { context: "guarded with async context" }) };
  const measures: Record<string, Measure> = {};
  const children: Child[] = [];
  for (const [name, mode] of Object.entries(modes)) {
    const child = new Child(issuer.issuer, jwks, mode);
    children.push(child);
    await child.ready();
    measures[name] = () => child.measure(token);
  }
  const taken = await inTurns(measures);
  for (const child of children) child.close();
  return { unguarded: [], seen: [], context: [], ...taken };
}

const issuer = await TestIssuer.create({ clock: new ManualClock(Math.floor(systemClock.now() / 1000)) });
const token = await tokens(issuer, issuer.jwks());
const call = await calls(issuer, issuer.jwks());
const us = (taken: number[]): number => rounded(median(taken));
const times = (taken: number[], beside: number[]): string => `${ratio(taken, beside).median} x`;
const seen = `${us(call.seen)} us, ${times(call.seen, call.unguarded)}`;
console.log(`a unary call: ${us(call.unguarded)} us without the guard; token seen before: ${seen}`);
if (!values.json) console.log(`the same with asyncContext: ${us(call.context)} us, ${times(call.context, call.unguarded)}`);
console.log(`a new token: ${us(token.new)} us; the same checks by jose: ${us(token.library)} us, ${times(token.new, token.library)}`);
console.log(`the bare signature: ${us(token.signature)} us; a token seen before, without a call: ${us(token.seen)} us`);
if (values.json) {
  console.log(JSON.stringify({
    language: "node",
    rounds: ROUNDS,
    call_us: { unguarded: us(call.unguarded), seen: us(call.seen) },
    ratio_seen: ratio(call.seen, call.unguarded),
    token_us: { new: us(token.new), library: us(token.library), signature: us(token.signature) },
    ratio_new: ratio(token.new, token.library),
  }));
}
