/** Owns a stock service for tests, on a port of its own, and clients of it. */
import { Server, ServerCredentials, credentials, type ServerOptions, type ServerWritableStream } from "@grpc/grpc-js";

import { StockService, type WatchItemRequest, type WatchItemResponse } from "../../example/gen/stock/v1/stock_service_pb.js";
import { currentCaller } from "../../src/caller.js";
import { callerOf } from "../../src/grpc/guard.js";
import { createClient, serviceDefinition, type ClientOf, type Handlers } from "../../src/grpc/protobuf_es.js";

/** A stock service that runs. */
export interface Stock {
  readonly address: string;
  readonly client: ClientOf<typeof StockService>;
  /** The streams that are open, as their handlers have them. */
  readonly watches: Set<ServerWritableStream<WatchItemRequest, WatchItemResponse>>;
  /** How many handlers have run. */
  calls(): number;
  close(): void;
}

/** The handlers: `GetItem` tells who calls by the async context, `TakeItem` by the call. */
function handlers(stock: { calls: number; watches: Stock["watches"] }): Handlers<typeof StockService> {
  return {
    listItems: (_call, done) => {
      stock.calls += 1;
      done(null, { $typeName: "stock.v1.ListItemsResponse", names: currentCaller() === undefined ? ["bolt", "crane"] : [] });
    },
    getItem: (_call, done) => {
      stock.calls += 1;
      void Promise.resolve().then(() => {
        done(null, { $typeName: "stock.v1.GetItemResponse", count: 1000, callerId: currentCaller()?.id ?? "" });
      });
    },
    takeItem: (call, done) => {
      stock.calls += 1;
      done(null, { $typeName: "stock.v1.TakeItemResponse", count: 999, callerId: callerOf(call)?.id ?? "" });
    },
    restockItem: (_call, done) => {
      stock.calls += 1;
      done(null, { $typeName: "stock.v1.RestockItemResponse", count: 1001 });
    },
    watchItem: (call) => {
      stock.calls += 1;
      stock.watches.add(call);
      call.on("cancelled", () => stock.watches.delete(call));
      call.write({ $typeName: "stock.v1.WatchItemResponse", count: 1000 });
    },
  };
}

/** Starts one with these interceptors. */
export async function startStock(options: ServerOptions): Promise<Stock> {
  const state = { calls: 0, watches: new Set<ServerWritableStream<WatchItemRequest, WatchItemResponse>>() };
  const server = new Server(options);
  server.addService(serviceDefinition(StockService), handlers(state));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  const address = `127.0.0.1:${port}`;
  const client = createClient(StockService, address, credentials.createInsecure());
  return {
    address,
    client,
    watches: state.watches,
    calls: () => state.calls,
    close: () => {
      client.close();
      server.forceShutdown();
    },
  };
}
