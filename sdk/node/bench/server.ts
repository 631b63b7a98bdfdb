/** Owns the server of the benchmark, a process of its own: with the guard, or without. Asked, it tells how much CPU it has used. */
import { Server, ServerCredentials } from "@grpc/grpc-js";

import { StockService } from "../example/gen/stock/v1/stock_service_pb.js";
import { callerOf, guard } from "../src/grpc/guard.js";
import { serviceDefinition, type Handlers } from "../src/grpc/protobuf_es.js";
import { Policy } from "../src/policy/policy.js";
import { Verifier } from "../src/verify/verifier.js";

const [issuer = "", jwks = "", mode] = process.argv.slice(2);
const keySource = { fetch: () => Promise.resolve({ document: Buffer.from(jwks) }) };
const verifier = new Verifier({ issuer, audience: "stock", keySource });
const asyncContext = mode === "guarded with async context";
const interceptors = mode === "bare" ? [] : [guard(verifier, Policy.of(StockService), { asyncContext })];
const server = new Server({ interceptors });
const handlers: Pick<Handlers<typeof StockService>, "getItem"> = {
  getItem: (call, done) => {
    done(null, { $typeName: "stock.v1.GetItemResponse", count: 1, callerId: callerOf(call)?.id ?? "01a22e58-1b0e-7936-8f93-0a52623b324a" });
  },
};
server.addService(serviceDefinition(StockService), handlers);
await verifier.ready();
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.send?.({ port });
});
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuMicros: user + system });
});
