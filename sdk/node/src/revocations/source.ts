/** Owns what a verifier asks of whoever tells it what was revoked. */
import type { Clock } from "../clock.js";
import type { WatchResponse } from "../gen/identity/events/v1/event_service_pb.js";
import type { Refusal } from "../refusal.js";

/** Where it is told what was revoked. */
export interface RevocationListener {
  /** The verifier's clock. */
  readonly clock: Clock;
  /** A part of the stream has come. */
  hear(message: WatchResponse): void;
  /** The first part of a stream has come that begins with a snapshot: keys that were fetched before may be old. */
  begun(): void;
  /** The stream's state has changed; it is down by this cause. */
  state(state: "connecting" | "complete" | "down", cause?: Refusal): void;
}

/** Something that tells what was revoked: `Revocations`, or the `TestIssuer`. */
export interface RevocationSource {
  /** Begins to tell `listener`. A source belongs to one verifier. */
  start(listener: RevocationListener): void;
  /** Ends it. */
  close(): Promise<void>;
}
