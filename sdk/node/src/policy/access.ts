/** Owns reading the rule that a method declares (`identity.v1.Access`), by the fields that this release knows: anything else denies. */
import { WireError, WireType, concat, readFields, readText } from "./wire.js";

/** Whom a token stands for. */
export type CallerKind = "user" | "client";

/** What a token must have to pass. What is unset or empty asks for nothing. */
export interface Rule {
  /** Scopes of which all are needed. */
  readonly requiredScopes?: readonly string[] | undefined;
  /** Scopes of which one is needed. */
  readonly anyScopes?: readonly string[] | undefined;
  /** Roles of which one is needed, at the audience. In process the claim `roles` of the token is what counts. */
  readonly anyRoles?: readonly string[] | undefined;
  /** Whom the token must stand for. Unset: a user or a client. */
  readonly callers?: CallerKind | undefined;
  /** Whom the token must be meant for. Unset: the audience of the verifier. */
  readonly audience?: string | undefined;
}

/** Who may call a method. */
export type Access =
  /** Everybody: a token that is sent is not looked at. */
  | { readonly kind: "public" }
  /** Whoever has a token that keeps the rule. */
  | { readonly kind: "authenticated"; readonly rule: Rule }
  /** Nobody: the method declares nothing, or is not known. */
  | { readonly kind: "undeclared" }
  /** Nobody: the rule has something that this release does not know, and which asks for something. */
  | { readonly kind: "not_understood" };

/** Everybody may call. */
export const PUBLIC: Access = { kind: "public" };
/** Nobody may call: nothing is declared. */
export const UNDECLARED: Access = { kind: "undeclared" };
/** Nobody may call: the rule is not understood. */
export const NOT_UNDERSTOOD: Access = { kind: "not_understood" };

/** Fields of `identity.v1.Access`. */
const RULE_PUBLIC = 1;
const RULE_AUTHENTICATED = 2;

/** Fields of `identity.v1.Access.Authenticated`. */
const REQUIRED_SCOPES = 1;
const ANY_SCOPES = 2;
const ANY_ROLES = 3;
const CALLERS = 4;
const AUDIENCE = 5;

/** The rule that `encoded` makes, the bytes of an `identity.v1.Access`. Never throws: what cannot be read denies. */
export function readAccess(encoded: Uint8Array): Access {
  try {
    return read(encoded);
  } catch (error) {
    if (error instanceof WireError) return NOT_UNDERSTOOD;
    throw error;
  }
}

function read(encoded: Uint8Array): Access {
  let chosen: number | undefined;
  let parts: Uint8Array[] = [];
  for (const field of readFields(encoded)) {
    if (field.type !== WireType.BYTES || (field.number !== RULE_PUBLIC && field.number !== RULE_AUTHENTICATED)) {
      return NOT_UNDERSTOOD;
    }
    // Of a oneof the last one counts, and what comes more than once of one message is merged. But nobody means to open what asks
    // for a token.
    if (chosen === RULE_AUTHENTICATED && field.number === RULE_PUBLIC) return NOT_UNDERSTOOD;
    parts = field.number === chosen ? [...parts, field.value] : [field.value];
    chosen = field.number;
  }
  if (chosen === undefined) return UNDECLARED;
  const inner = concat(parts);
  if (chosen === RULE_PUBLIC) return readFields(inner).length === 0 ? PUBLIC : NOT_UNDERSTOOD;
  const rule = readRule(inner);
  return rule === undefined ? NOT_UNDERSTOOD : { kind: "authenticated", rule };
}

function readRule(encoded: Uint8Array): Rule | undefined {
  const requiredScopes: string[] = [];
  const anyScopes: string[] = [];
  const anyRoles: string[] = [];
  let callers: CallerKind | undefined;
  let audience = "";
  for (const field of readFields(encoded)) {
    if (field.number === CALLERS) {
      if (field.type !== WireType.VARINT || field.value > 2n) return undefined;
      callers = ([undefined, "user", "client"] as const)[Number(field.value)];
      continue;
    }
    if (field.type !== WireType.BYTES) return undefined;
    const text = readText(field.value);
    if (field.number === REQUIRED_SCOPES) requiredScopes.push(text);
    else if (field.number === ANY_SCOPES) anyScopes.push(text);
    else if (field.number === ANY_ROLES) anyRoles.push(text);
    else if (field.number === AUDIENCE) audience = text;
    else return undefined;
  }
  return { requiredScopes, anyScopes, anyRoles, callers, audience: audience === "" ? undefined : audience };
}
