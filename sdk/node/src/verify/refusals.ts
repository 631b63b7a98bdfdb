/** Owns the refusals of a token, each in one sentence for people. */
import { Code, Refusal } from "../refusal.js";

/** The call carries no token. */
export function tokenMissing(): Refusal {
  return new Refusal(Code.UNAUTHENTICATED, "TOKEN_MISSING", "this call needs an access token: send `authorization: Bearer <access_token>`");
}

/** TOKEN_INVALID. `why` begins with `it` or `its`, and quotes nothing of the token. */
export function tokenInvalid(why: string): Refusal {
  return new Refusal(Code.UNAUTHENTICATED, "TOKEN_INVALID", `the access token is invalid: ${why}`);
}

/** The token was good, and is not any more. */
export function tokenExpired(): Refusal {
  return new Refusal(Code.UNAUTHENTICATED, "TOKEN_EXPIRED", "the access token has expired");
}

/** What the token stands for has ended. */
export function tokenRevoked(): Refusal {
  const message = "the access token is no longer accepted: its session has ended, or its user or client has been disabled or deleted";
  return new Refusal(Code.UNAUTHENTICATED, "TOKEN_REVOKED", message);
}

/** The token is good, and is not enough. */
export function denied(reason: string, message: string, metadata: Readonly<Record<string, string>> = {}): Refusal {
  return new Refusal(Code.PERMISSION_DENIED, reason, message, metadata);
}
