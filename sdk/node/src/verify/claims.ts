/** Owns what an access token says: the claims of RFC 9068, each of its type. */
import { jsonObject } from "./jws.js";
import { tokenInvalid } from "./refusals.js";
import type { Refusal } from "../refusal.js";

/** The claims of an access token; times in seconds since 1970-01-01T00:00:00Z. */
export interface Claims {
  /** Whom it stands for: the id of a user, or of a client, in lower case. */
  readonly sub: string;
  /** Whom it is meant for. */
  readonly aud: readonly string[];
  /** From when on it is refused. */
  readonly exp: number;
  /** When it was issued. */
  readonly iat: number;
  /** Before when it is refused, if said. */
  readonly nbf: number | undefined;
  /** The token's own id. */
  readonly jti: string;
  /** The client that asked for it. */
  readonly clientId: string;
  /** What it allows. */
  readonly scopes: readonly string[];
  /** The session that it belongs to, in lower case: every user's token has one, and no client's own. */
  readonly sid: string | undefined;
  /** How the user logged in. */
  readonly amr: readonly string[];
  /** When the user logged in. */
  readonly authTime: number | undefined;
  /** Which level of assurance the login reached. */
  readonly acr: string | undefined;
  /** The roles at its audience; undefined if the token says nothing of roles. */
  readonly roles: readonly string[] | undefined;
  readonly groups: readonly string[];
  readonly rolesOmitted: boolean;
  readonly groupsOmitted: boolean;
  readonly attributesOmitted: boolean;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** A claim that has another type than it must have. */
class WrongType extends Error {}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** What `payload` says, if it is the payload of an access token of `issuer`. */
export function readClaims(payload: Uint8Array, issuer: string): Claims | Refusal {
  const said = jsonObject(payload);
  if (said === undefined) return tokenInvalid("it lacks required claims");
  let claims: Claims;
  try {
    if (text(said["iss"]) !== issuer) return tokenInvalid("its issuer is another one");
    claims = typed(said);
  } catch (error) {
    if (error instanceof WrongType) return tokenInvalid("it lacks required claims");
    throw error;
  }
  // A client's own token says so twice.
  if (claims.sid === undefined && claims.clientId.toLowerCase() !== claims.sub) {
    return tokenInvalid("it has no session, and is not a client's own");
  }
  return claims;
}

function typed(said: Record<string, unknown>): Claims {
  const scope = text(said["scope"]);
  return {
    sub: uuid(said["sub"]),
    aud: typeof said["aud"] === "string" ? [said["aud"]] : texts(said["aud"]),
    exp: integer(said["exp"]),
    iat: integer(said["iat"]),
    nbf: optional(said, "nbf", integer),
    jti: uuid(said["jti"]),
    clientId: text(said["client_id"]),
    scopes: scope.split(" ").filter((name) => name !== ""),
    sid: optional(said, "sid", uuid),
    amr: optional(said, "amr", texts) ?? [],
    authTime: optional(said, "auth_time", integer),
    acr: optional(said, "acr", text),
    roles: optional(said, "roles", texts),
    groups: optional(said, "groups", texts) ?? [],
    rolesOmitted: optional(said, "roles_omitted", flag) ?? false,
    groupsOmitted: optional(said, "groups_omitted", flag) ?? false,
    attributesOmitted: optional(said, "attributes_omitted", flag) ?? false,
    attributes: optional(said, "attributes", object) ?? {},
  };
}

function optional<T>(said: Record<string, unknown>, name: string, read: (value: unknown) => T): T | undefined {
  return Object.hasOwn(said, name) ? read(said[name]) : undefined;
}

function text(value: unknown): string {
  if (typeof value !== "string") throw new WrongType();
  return value;
}

function uuid(value: unknown): string {
  if (typeof value !== "string" || !UUID.test(value)) throw new WrongType();
  return value.toLowerCase();
}

function texts(value: unknown): string[] {
  if (!Array.isArray(value)) throw new WrongType();
  return value.map(text);
}

function integer(value: unknown): number {
  // Beyond these JavaScript does not tell one number from the next.
  if (!Number.isSafeInteger(value)) throw new WrongType();
  return value as number;
}

function flag(value: unknown): boolean {
  if (typeof value !== "boolean") throw new WrongType();
  return value;
}

function object(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new WrongType();
  return value as Record<string, unknown>;
}
