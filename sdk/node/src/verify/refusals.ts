/** Owns the refusals of a token, each in one sentence for people. */
import { Code, Refusal } from "../refusal.js";

/** The call carries no token. */
export function tokenMissing(): Refusal {
  return new Refusal(Code.UNAUTHENTICATED, "TOKEN_MISSING", "an access token is needed: `authorization: Bearer <access_token>`");
}

/** The token is worth nothing; `why` says so of it, and holds nothing of what it says. */
export function tokenInvalid(why: string): Refusal {
  return new Refusal(Code.UNAUTHENTICATED, "TOKEN_INVALID", `the access token is not valid: ${why}`);
}

/** The token was good, and is not any more. */
export function tokenExpired(): Refusal {
  return new Refusal(Code.UNAUTHENTICATED, "TOKEN_EXPIRED", "the access token has expired");
}

/** What the token stands for has ended. */
export function tokenRevoked(): Refusal {
  return new Refusal(Code.UNAUTHENTICATED, "TOKEN_REVOKED", "the access token has been revoked");
}

/** The token is good, and is not enough. */
export function denied(reason: string, message: string, metadata: Readonly<Record<string, string>> = {}): Refusal {
  return new Refusal(Code.PERMISSION_DENIED, reason, message, metadata);
}
