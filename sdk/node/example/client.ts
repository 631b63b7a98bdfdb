/** Owns the example's client: it calls the stock service with tokens of its own, which it renews. */
import { status } from "@grpc/grpc-js";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { SignetChannel, TokenSource, attach, clientCredentials, createClient, refusalOf } from "@example/signet-sdk";

import { StockService } from "./gen/stock/v1/stock_service_pb.js";

const ITEM = { name: "bolt" };
const CALL_MS = 5_000;

const { values } = parseArgs({
  options: {
    calls: { type: "string" },
    "interval-ms": { type: "string", default: "0" },
    take: { type: "boolean", default: false },
    watch: { type: "boolean", default: false },
  },
});

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === "") throw new Error(`${name} must be set`);
  return value;
}

const print = (line: object): void => {
  console.log(JSON.stringify(line));
};

const signet = new SignetChannel({ addresses: process.env["SIGNET_GRPC_ADDR"] ?? "127.0.0.1:50051" });
const source = new TokenSource({
  signet,
  audience: "stock",
  grant: clientCredentials({ clientId: required("SIGNET_CLIENT_ID"), clientSecret: required("SIGNET_CLIENT_SECRET") }),
});
const { target, credentials, options } = attach(source, { target: process.env["STOCK_ADDR"] ?? "127.0.0.1:50052" });
const stock = createClient(StockService, target, credentials, options);

async function call(): Promise<void> {
  try {
    const method = values.take ? stock.takeItem : stock.getItem;
    const { count } = await method(ITEM, { deadline: Date.now() + CALL_MS });
    print({ code: "OK", count });
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    print({ code: status[refusal.code], reason: refusal.reason });
  }
}

/** Calls one after the other, or begins a call in each interval, whether or not the one before has been answered. */
async function calls(count: number, intervalMs: number): Promise<void> {
  const open: Promise<void>[] = [];
  for (let nth = 0; nth < count; nth++) {
    const one = call();
    open.push(one);
    if (intervalMs === 0) await one;
    else if (nth + 1 < count) await sleep(intervalMs);
  }
  await Promise.all(open);
}

/** Watches until SIGTERM: however a stream ends, it is opened anew, with another token if that is why. */
async function watch(stopped: AbortSignal): Promise<void> {
  const isStopped = (): boolean => stopped.aborted;
  while (!isStopped()) {
    const stream = stock.watchItem(ITEM);
    const cancel = (): void => {
      stream.cancel();
    };
    stopped.addEventListener("abort", cancel, { once: true });
    try {
      for await (const message of stream) print({ count: (message as { count: number }).count });
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === undefined) throw error;
      if (!isStopped()) print({ ended: refusal.reason === "" ? status[refusal.code] : refusal.reason });
    }
    stopped.removeEventListener("abort", cancel);
    await sleep(100 + 900 * Math.random(), undefined, { signal: stopped }).catch(() => undefined);
  }
}

const stop = new AbortController();
process.once("SIGTERM", () => {
  stop.abort();
});
await Promise.all([
  values.watch ? watch(stop.signal) : undefined,
  values.watch && values.calls === undefined ? undefined : calls(Number(values.calls ?? 1), Number(values["interval-ms"])),
]);
stock.close();
signet.close();
