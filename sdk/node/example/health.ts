/** Owns the service's health, as probes and load balancers ask for it (grpc.health.v1.Health). */
import { status } from "@grpc/grpc-js";

import type { Handlers } from "@example/signet-sdk";

import { HealthCheckResponse_ServingStatus as Serving, type Health, type HealthCheckResponse } from "./gen/grpc/health/v1/health_pb.js";

/** The health of the whole server, whose name is empty. */
export class HealthState {
  #isServing = false;
  readonly #watchers = new Set<() => void>();

  /** Says whether calls can be answered. */
  set serving(isServing: boolean) {
    this.#isServing = isServing;
    for (const tell of this.#watchers) tell();
  }

  /** The handlers. */
  handlers(): Handlers<typeof Health> {
    const answer = (): HealthCheckResponse => ({
      $typeName: "grpc.health.v1.HealthCheckResponse",
      status: this.#isServing ? Serving.SERVING : Serving.NOT_SERVING,
    });
    return {
      check: (call, done) => {
        if (call.request.service === "") done(null, answer());
        else done({ code: status.NOT_FOUND, details: "there is no such service" });
      },
      watch: (call) => {
        const tell = (): void => {
          call.write(answer());
        };
        this.#watchers.add(tell);
        call.on("cancelled", () => this.#watchers.delete(tell));
        tell();
      },
    };
  }
}
