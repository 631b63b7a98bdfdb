/** Owns who is calling, once a token has proven it. */
import { AsyncLocalStorage } from "node:async_hooks";

import type { CallerKind } from "./policy/access.js";
import type { Claims } from "./verify/claims.js";

/** The caller of a protected method, as its access token says. Frozen, with all that it holds: calls of one token share it. */
export class Caller {
  /** Whom the token stands for: a user who has logged in, or a client by itself. */
  readonly kind: CallerKind;
  /** The id of the user or the client, a UUID in lower case. */
  readonly id: string;
  /** The client that asked for the token. */
  readonly clientId: string;
  /** The user's login session; undefined for a client. */
  readonly sessionId: string | undefined;
  /** Whom the token is meant for. */
  readonly audiences: readonly string[];
  /** What the token allows. */
  readonly scopes: readonly string[];
  /** The roles at the token's audience, as far as it names them; those that introspection has told, where that was asked. */
  readonly roles: readonly string[];
  /** The groups by which the roles come. */
  readonly groups: readonly string[];
  /** The attributes of the user that the operator has declared for tokens, by their names. */
  readonly attributes: Readonly<Record<string, unknown>>;
  /** How the user logged in (RFC 8176), such as `pwd`. */
  readonly amr: readonly string[];
  /** When the user logged in, in seconds since 1970-01-01T00:00:00Z. */
  readonly authTime: number | undefined;
  /** Which level of assurance the login reached. */
  readonly acr: string | undefined;
  /** When the token expires, in seconds since 1970-01-01T00:00:00Z. */
  readonly expiresAt: number;
  /** The token's own id (`jti`). */
  readonly tokenId: string;

  /** @internal */
  constructor(claims: Claims, roles: readonly string[] = claims.roles ?? []) {
    this.kind = claims.sid === undefined ? "client" : "user";
    this.id = claims.sub;
    this.clientId = claims.clientId;
    this.sessionId = claims.sid;
    this.audiences = Object.freeze(claims.aud);
    this.scopes = Object.freeze(claims.scopes);
    this.roles = Object.freeze(roles);
    this.groups = Object.freeze(claims.groups);
    this.attributes = deeplyFrozen(claims.attributes);
    this.amr = Object.freeze(claims.amr);
    this.authTime = claims.authTime;
    this.acr = claims.acr;
    this.expiresAt = claims.exp;
    this.tokenId = claims.jti;
    Object.freeze(this);
  }

  /** Whether the token has the scope `name`. */
  hasScope(name: string): boolean {
    return this.scopes.includes(name);
  }

  /** Whether the token names the role `name`, or introspection has told it. */
  hasRole(name: string): boolean {
    return this.roles.includes(name);
  }
}

/** Freezes `value`, which is read of JSON, and all within it; without recursion, since whoever made the token chose how deep that is. */
function deeplyFrozen<T extends object>(value: T): T {
  const open: object[] = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    Object.freeze(next);
    for (const one of Object.values(next) as unknown[]) if (typeof one === "object" && one !== null) open.push(one);
  }
  return value;
}

const storage = new AsyncLocalStorage<Caller>();
let isOffered = false;

/** Says that something in this process runs handlers by {@link runAs}. */
export function offerContext(): void {
  isOffered = true;
}

/** Runs `action`, in which {@link currentCaller} finds `caller`. */
export function runAs<T>(caller: Caller, action: () => T): T {
  return storage.run(caller, action);
}

/**
 * The caller on whose behalf this code runs: in the handler of a protected method and in all that it awaits. It takes a guard of grpc-js
 * with `asyncContext: true`, one of Connect, or the middleware of Express.
 *
 * Undefined in a public method, and outside of calls.
 *
 * @throws Error if there is none of these in the process.
 */
export function currentCaller(): Caller | undefined {
  if (!isOffered) throw new Error("currentCaller() takes guard(verifier, policy, { asyncContext: true }); callerOf(call) takes nothing");
  return storage.getStore();
}
