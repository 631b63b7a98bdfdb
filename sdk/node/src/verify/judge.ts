/** Owns whether a good token keeps a rule: whom it stands for, its scopes, its roles. */
import { Caller } from "../caller.js";
import type { Rule } from "../policy/access.js";
import { unreachable, type Refusal } from "../refusal.js";
import type { Claims } from "./claims.js";
import { denied, tokenRevoked } from "./refusals.js";

/** How many of several names, of which one will do, a refusal tells. */
const TOLD = 8;

/** Who may call, in words. */
const IN_WORDS = { user: "a user", client: "a client by itself" } as const;

/** What introspection says of a token (RFC 7662 section 2.2), as far as rules ask. */
export interface Introspected {
  /** Whether the token is good at this moment. */
  readonly active: boolean;
  /** The roles that its user or client has at its audience at this moment. */
  readonly roles?: readonly string[] | undefined;
}

/** Asks the issuer what a token is worth at this moment. */
export interface Introspector {
  /** What the issuer says of `token`. Rejects if it cannot be asked. */
  introspect(token: string): Promise<Introspected>;
}

/** Roles that only introspection can tell. */
export const ASK = Symbol("ask introspection");

/** Why `caller` does not pass, or {@link ASK}; undefined if it passes. `claims` are those of its token, meant for `audience`. */
export function judge(rule: Rule, claims: Claims, caller: Caller, audience: string): Refusal | typeof ASK | undefined {
  if (rule.callers !== undefined && rule.callers !== caller.kind) {
    return denied("CALLER_NOT_ALLOWED", `only ${IN_WORDS[rule.callers]} may call this`, { callers: rule.callers });
  }
  const lacking = rule.requiredScopes?.find((scope) => !caller.hasScope(scope));
  if (lacking !== undefined) return insufficientScope(lacking);
  const { anyScopes = [], anyRoles = [] } = rule;
  if (anyScopes.length > 0 && !anyScopes.some((scope) => caller.hasScope(scope))) return insufficientScope(first(anyScopes));
  if (anyRoles.length === 0) return undefined;
  if (claims.aud.length !== 1 || claims.aud[0] !== audience) return rolesNotInToken(anyRoles);
  if (anyRoles.some((role) => caller.hasRole(role))) return undefined;
  if (claims.rolesOmitted) return ASK;
  return claims.roles === undefined ? rolesNotInToken(anyRoles) : insufficientRole(anyRoles);
}

/** The caller with the roles that `introspector` tells of `token`, if these keep the rule. */
export async function askRoles(
  introspector: Introspector | undefined,
  token: string,
  rule: Rule,
  claims: Claims,
): Promise<Caller | Refusal> {
  if (introspector === undefined) return unreachable("roles of the caller");
  let told: Introspected;
  try {
    told = await introspector.introspect(token);
  } catch (error) {
    return unreachable("introspection of tokens", error);
  }
  if (!told.active) return tokenRevoked();
  const caller = new Caller(claims, [...(told.roles ?? [])]);
  const { anyRoles = [] } = rule;
  return anyRoles.some((role) => caller.hasRole(role)) ? caller : insufficientRole(anyRoles);
}

function insufficientScope(scopes: string): Refusal {
  return denied("INSUFFICIENT_SCOPE", `${oneOf("scope", scopes)} needed, and was not granted`, { required_scope: scopes });
}

function insufficientRole(roles: readonly string[]): Refusal {
  return denied("INSUFFICIENT_ROLE", `${oneOf("role", first(roles))} needed, and was not given`, { required_role: first(roles) });
}

function rolesNotInToken(roles: readonly string[]): Refusal {
  const message =
    `${oneOf("role", first(roles))} needed, and the token does not say which roles its holder has: it has no claim \`roles\`, or is for ` +
    "several audiences; the claim is left out where the client does not have it told, and for a holder who has no role";
  return denied("ROLES_NOT_IN_TOKEN", message, { required_role: first(roles) });
}

/** That one of `names`, which are separated by spaces, is what is needed. */
function oneOf(what: string, names: string): string {
  return names.includes(" ") ? `one of the ${what}s \`${names.replaceAll(" ", "`, `")}\` is` : `the ${what} \`${names}\` is`;
}

function first(names: readonly string[]): string {
  return names.slice(0, TOLD).join(" ");
}
