/** Owns whether a token still stands: what was revoked is known, current, and does not name it. */
import type { Clock } from "../clock.js";
import { unreachable, type Refusal } from "../refusal.js";
import type { Claims } from "../verify/claims.js";
import { tokenRevoked } from "../verify/refusals.js";
import type { WatchResponse } from "../gen/identity/events/v1/event_service_pb.js";
import { Revoked, type Heard } from "./state.js";

/** How long a service goes by what it knows. */
export interface StandingSettings {
  /** For how many seconds nothing may be heard. */
  readonly maxAgeSeconds: number;
  /** What happens then: calls are refused (UNAVAILABLE), or go on by what was known. */
  readonly whenStale: "refuse" | "continue";
}

/** How long it is not looked whether something has been heard, in milliseconds. */
const LOOK_AGAIN_MS = 5_000;

/** Judges tokens by what was revoked, and tells open streams when they are to be looked at again. */
export class Standing {
  readonly #clock: Clock;
  readonly #settings: StandingSettings;
  readonly #revoked: Revoked;
  readonly #watchers = new Set<() => void>();
  #readyWaiters: (() => void)[] = [];
  #cancelStale: (() => void) | undefined;

  constructor(clock: Clock, settings: StandingSettings) {
    this.#clock = clock;
    this.#settings = settings;
    this.#revoked = new Revoked(clock);
  }

  /** What was revoked. */
  get revoked(): Revoked {
    return this.#revoked;
  }

  /** Why the token that says `claims` does not pass, if it does not. */
  refusal(claims: Claims): Refusal | undefined {
    const unknown = this.#unknown();
    if (unknown !== undefined) return unreachable("stream of revocations", new Error(unknown));
    return this.#revoked.revokes(claims) ? tokenRevoked() : undefined;
  }

  /** Hears a part of the stream. */
  hear(message: WatchResponse): Heard {
    const before = this.#revoked.version;
    const heard = this.#revoked.hear(message);
    this.#armStale();
    if (this.#revoked.isComplete) for (const resolve of this.#readyWaiters.splice(0)) resolve();
    if (this.#revoked.version !== before) this.#lookAgain();
    return heard;
  }

  /** Resolves when a snapshot is complete, or this is closed. */
  ready(): Promise<void> {
    return this.#revoked.isComplete
      ? Promise.resolve()
      : new Promise((resolve) => {
          this.#readyWaiters.push(resolve);
        });
  }

  /** Calls `look` whenever a token that passed may pass no more; returns how to stop that. */
  watch(look: () => void): () => void {
    this.#watchers.add(look);
    return () => this.#watchers.delete(look);
  }

  /** Ends the timer. */
  close(): void {
    this.#cancelStale?.();
    for (const resolve of this.#readyWaiters.splice(0)) resolve();
  }

  #unknown(): string | undefined {
    if (!this.#revoked.isComplete) return "it is not known yet what was revoked";
    const isStale = this.#clock.monotonic() - this.#revoked.heardAt > this.#settings.maxAgeSeconds * 1000;
    return isStale && this.#settings.whenStale === "refuse" ? "it is not known any more what was revoked" : undefined;
  }

  #armStale(): void {
    this.#cancelStale?.();
    if (this.#settings.whenStale !== "refuse") return;
    const staleAt = this.#revoked.heardAt + this.#settings.maxAgeSeconds * 1000;
    const arm = (): void => {
      // Stale is what is older, not what is as old.
      const left = staleAt - this.#clock.monotonic() + 1;
      this.#cancelStale = this.#clock.schedule(Math.min(left, LOOK_AGAIN_MS), () => {
        // A timer may fire a moment early.
        if (this.#clock.monotonic() > staleAt) this.#lookAgain();
        else arm();
      });
    };
    arm();
  }

  #lookAgain(): void {
    for (const look of [...this.#watchers]) look();
  }
}
