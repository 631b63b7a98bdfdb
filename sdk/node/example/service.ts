/** Owns the example's service: a stock service whose RPCs are protected by the rules in its proto. */
import { Server, ServerCredentials, status, type ServerWritableStream } from "@grpc/grpc-js";

import { Policy, Revocations, Verifier, callerOf, guard, serviceDefinition, type Handlers } from "@example/signet-sdk";

import { Health } from "./gen/grpc/health/v1/health_pb.js";
import { StockService, type WatchItemRequest, type WatchItemResponse } from "./gen/stock/v1/stock_service_pb.js";
import { HealthState } from "./health.js";
import { Items } from "./items.js";

const env = (name: string): string | undefined => process.env[name] ?? undefined;
const seconds = (name: string): number | undefined => (env(name) === undefined ? undefined : Number(env(name)));

/** How long calls may go on after SIGTERM, in milliseconds. */
const SHUTDOWN_MS = 1_000;

/** What was revoked, if the service has a client of its own to follow that with. */
function revocations(): Revocations | undefined {
  const clientId = env("SIGNET_CLIENT_ID");
  const clientSecret = env("SIGNET_CLIENT_SECRET");
  if (clientId === undefined || clientSecret === undefined) return undefined;
  return new Revocations({ addresses: env("SIGNET_GRPC_ADDR") ?? "127.0.0.1:50051", client: { clientId, clientSecret } });
}

const NOT_FOUND = { code: status.NOT_FOUND, details: "there is no such item" };

function handlers(items: Items, watches: Set<ServerWritableStream<WatchItemRequest, WatchItemResponse>>): Handlers<typeof StockService> {
  return {
    listItems: (_call, done) => {
      done(null, { $typeName: "stock.v1.ListItemsResponse", names: items.names() });
    },
    getItem: (call, done) => {
      const count = items.count(call.request.name);
      if (count === undefined) done(NOT_FOUND);
      else done(null, { $typeName: "stock.v1.GetItemResponse", count, callerId: callerOf(call)?.id ?? "" });
    },
    takeItem: (call, done) => {
      const { name } = call.request;
      const count = items.count(name) === undefined ? undefined : items.add(name, -1);
      if (items.count(name) === undefined) done(NOT_FOUND);
      else if (count === undefined) done({ code: status.FAILED_PRECONDITION, details: "there is none left" });
      else done(null, { $typeName: "stock.v1.TakeItemResponse", count, callerId: callerOf(call)?.id ?? "" });
    },
    restockItem: (call, done) => {
      const { name, count: more } = call.request;
      const count = items.count(name) === undefined ? undefined : items.add(name, more);
      if (items.count(name) === undefined) done(NOT_FOUND);
      else if (count === undefined) done({ code: status.OUT_OF_RANGE, details: "there would be more than a million" });
      else done(null, { $typeName: "stock.v1.RestockItemResponse", count });
    },
    watchItem: (call) => {
      const { name } = call.request;
      const count = items.count(name);
      if (count === undefined) {
        call.emit("error", NOT_FOUND);
        return;
      }
      const write = (now: number): void => {
        call.write({ $typeName: "stock.v1.WatchItemResponse", count: now });
      };
      const stop = items.watch(name, write);
      watches.add(call);
      // Also when the guard ends the stream, since its token has expired or was revoked.
      call.on("cancelled", () => {
        stop();
        watches.delete(call);
      });
      write(count);
    },
  };
}

function bind(server: Server, address: string): Promise<string> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(address.replace(/:\d*$/, `:${port}`));
      else reject(error);
    });
  });
}

const verifier = new Verifier({
  issuer: env("SIGNET_ISSUER") ?? "http://127.0.0.1:8080",
  audience: "stock",
  revocations: revocations(),
  revocationMaxAge: seconds("STOCK_REVOCATION_MAX_AGE"),
  streamGrace: seconds("STOCK_STREAM_GRACE"),
  hooks: {
    keysFetched: (ok, cause) => {
      if (!ok) console.error("the keys of Signet cannot be fetched:", String(cause));
    },
    revocations: (state, cause) => {
      if (cause !== undefined) console.error(`revocations are ${state}:`, cause.reason, cause.message);
    },
  },
});
const policy = Policy.of(StockService).withPublic("grpc.health.v1.Health");
const server = new Server({ interceptors: [guard(verifier, policy)] });
const watches = new Set<ServerWritableStream<WatchItemRequest, WatchItemResponse>>();
const health = new HealthState();
server.addService(serviceDefinition(StockService), handlers(new Items(), watches));
server.addService(serviceDefinition(Health), health.handlers());

console.log(await bind(server, env("STOCK_ADDR") ?? "127.0.0.1:50052"));

verifier.ready().then(
  () => {
    health.serving = true;
  },
  () => undefined,
);

process.once("SIGTERM", () => {
  health.serving = false;
  for (const call of watches) call.emit("error", { code: status.UNAVAILABLE, details: "the service stops" });
  const late = setTimeout(() => {
    server.forceShutdown();
  }, SHUTDOWN_MS);
  server.tryShutdown(() => {
    clearTimeout(late);
    void verifier.close();
  });
});
