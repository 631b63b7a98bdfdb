/**
 * Owns measuring what the SDK costs: a token seen before, a new one beside the bare checks of `jose`, and a server with the guard beside
 * one without. Each is measured in turns with the others; medians are told, one JSON object a line.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import path from "node:path";

import { Metadata, credentials } from "@grpc/grpc-js";
import { compactVerify, createLocalJWKSet, importJWK, jwtVerify, type JSONWebKeySet, type JWK } from "jose";

import { StockService } from "../example/gen/stock/v1/stock_service_pb.js";
import { systemClock } from "../src/clock.js";
import { createClient } from "../src/grpc/protobuf_es.js";
import { Refusal } from "../src/refusal.js";
import { ManualClock, TestIssuer } from "../src/testing/index.js";
import { Verifier } from "../src/verify/verifier.js";

const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 7);
const TOKENS = 1_000;
const CALLS = 4_000;
const AT_ONCE = 16;
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

async function tokens(issuer: TestIssuer, jwks: string): Promise<void> {
  const given = await Promise.all(Array.from({ length: TOKENS }, () => issuer.token({ audiences: ["stock"], scopes: ["stock:read"] })));
  const set = JSON.parse(jwks) as JSONWebKeySet;
  const keys = createLocalJWKSet(set);
  const key = await importJWK(set.keys[0] as JWK);
  const keySource = { fetch: () => Promise.resolve({ document: Buffer.from(jwks) }) };
  const verifier = new Verifier({ issuer: issuer.issuer, audience: "stock", keySource, cacheSize: TOKENS });
  await verifier.ready();
  const checked = async (): Promise<void> => {
    for (const token of given) {
      const result = verifier.check({ method: "/a/B", authorization: [`Bearer ${token}`], access: ACCESS });
      if ((result instanceof Promise ? await result : result) instanceof Refusal) throw new Error("it was refused");
    }
  };
  const expected = { issuer: issuer.issuer, audience: "stock", typ: "at+jwt", requiredClaims: ["sub", "jti", "client_id", "scope", "exp", "iat"] };
  const results = { seen: [] as number[], fresh: [] as number[], jose: [] as number[], signature: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    const cold = new Verifier({ issuer: issuer.issuer, audience: "stock", keySource, cacheSize: TOKENS });
    await cold.ready();
    results.fresh.push(await cpu(TOKENS, async () => {
      for (const token of given) await cold.check({ method: "/a/B", authorization: [`Bearer ${token}`], access: ACCESS });
    }));
    results.jose.push(await cpu(TOKENS, async () => {
      for (const token of given) await jwtVerify(token, keys, { ...expected, algorithms: ["ES256"], clockTolerance: 5 });
    }));
    results.signature.push(await cpu(TOKENS, async () => {
      for (const token of given) await compactVerify(token, key, { algorithms: ["ES256"] });
    }));
    if (round === 0) await checked();
    results.seen.push(await cpu(TOKENS, checked));
    await cold.close();
  }
  await verifier.close();
  const [fresh, jose, signature] = [median(results.fresh), median(results.jose), median(results.signature)];
  console.log(JSON.stringify({ what: "a token seen before", cpu_us: rounded(median(results.seen)) }));
  console.log(JSON.stringify({
    what: "a new token, beside the same checks by jose, and the signature alone",
    cpu_us: rounded(fresh), jose_cpu_us: rounded(jose), signature_cpu_us: rounded(signature), ratio: rounded(fresh / jose), limit: 1.3,
  }));
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

async function servers(issuer: TestIssuer, jwks: string): Promise<void> {
  const token = await issuer.token({ audiences: ["stock"], lifetime: 3_600 });
  const modes = ["bare", "guarded", "guarded with async context"];
  const children = modes.map((mode) => new Child(issuer.issuer, jwks, mode));
  await Promise.all(children.map((child) => child.ready()));
  for (const child of children) await child.measure(token);
  const rounds: number[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const taken: number[] = [];
    // Each is first in turn.
    for (let nth = 0; nth < children.length; nth++) {
      const which = (round + nth) % children.length;
      taken[which] = (await children[which]?.measure(token)) ?? NaN;
    }
    rounds.push(taken);
  }
  for (const child of children) child.close();
  const of = (which: number): number => median(rounds.map((taken) => taken[which] ?? NaN));
  modes.forEach((mode, which) => {
    if (which === 0) return;
    const ratio = median(rounds.map((taken) => (taken[which] ?? NaN) / (taken[0] ?? NaN)));
    const what = `a unary call with a token seen before, ${mode}, beside a server without the guard`;
    console.log(JSON.stringify({ what, cpu_us: rounded(of(which)), bare_cpu_us: rounded(of(0)), ratio: rounded(ratio), limit: 1.2 }));
  });
}

const issuer = await TestIssuer.create({ clock: new ManualClock(Math.floor(systemClock.now() / 1000)) });
await tokens(issuer, issuer.jwks());
await servers(issuer, issuer.jwks());
