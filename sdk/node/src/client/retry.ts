/** Owns whether a call that was refused is sent once more, with a new token. */
import { Code, type Refusal } from "../refusal.js";

/** A call that has failed. */
export interface FailedCall {
  /** The path that was called, with its leading slash. */
  readonly method: string;
  /** The audience of the token that it was called with. */
  readonly audience: string;
  /** Whether it has one request and one response. */
  readonly isUnary: boolean;
  /** How many messages were received. */
  readonly messagesReceived: number;
  /** Which attempt has failed, counted from 1. */
  readonly attempt: number;
}

/**
 * Whether `refusal` says that the token of this very call is worth nothing any more: by the service that was called itself, which names
 * its audience and the method, and not by another one that it has called in its turn.
 */
export function isOfOwnToken(call: Pick<FailedCall, "method" | "audience">, refusal: Refusal): boolean {
  const { code, reason, metadata } = refusal;
  if (code !== Code.UNAUTHENTICATED || (reason !== "TOKEN_EXPIRED" && reason !== "TOKEN_REVOKED")) return false;
  return metadata["audience"] === call.audience && metadata["method"] === call.method;
}

/** Whether the call is sent once more: a service that may have done its work is not called twice. */
export function mayRetry(call: FailedCall, refusal: Refusal): boolean {
  return call.isUnary && call.messagesReceived === 0 && call.attempt === 1 && isOfOwnToken(call, refusal);
}
