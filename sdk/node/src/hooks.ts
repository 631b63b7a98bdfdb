/** Owns what the SDK tells metrics and logs of. */
import type { Refusal } from "./refusal.js";

/** Functions that are called when something happens. What they throw is dropped: a metric never fails a call. */
export interface ServerHooks {
  /** A token was judged: `OK`, or the reason of the refusal; and whether it had been verified before. */
  verified?(reason: string, cached: boolean): void;
  /** A fetch of the issuer's keys ended; if it failed, by this cause. */
  keysFetched?(ok: boolean, cause?: unknown): void;
  /**
   * The stream of revocations: it is being opened, what was revoked is known and current, or it has ended, by this cause. A `Refusal` with
   * the code UNAUTHENTICATED, PERMISSION_DENIED or INVALID_ARGUMENT is for an operator to mend (docs/EVENTS.md).
   */
  revocations?(state: "connecting" | "complete" | "down", cause?: Refusal): void;
  /** The guard ended an open stream, for this reason. */
  streamEnded?(reason: string): void;
}

/** The same for the client half. */
export interface ClientHooks {
  /** An attempt to get a token ended; if it failed, by this cause. */
  tokenRenewed?(ok: boolean, cause?: unknown): void;
  /** A call was sent a second time, with a new token. */
  callRetried?(): void;
}

/** Calls `hook`, and drops what it throws. */
export function tell(hook: () => void): void {
  try {
    hook();
  } catch {
    // A hook's mistake is the application's: the call goes on.
  }
}
