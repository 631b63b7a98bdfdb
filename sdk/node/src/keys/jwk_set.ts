/** Owns reading the key set that an issuer publishes (RFC 7517 section 5): which of its keys verify access tokens. */
import { importJWK, type CryptoKey, type JWK } from "jose";

import { KID_MAX_BYTES, base64url, jsonObject } from "../verify/jws.js";

/** A public key, and the one algorithm that it verifies: a signature cannot choose another (RFC 8725 section 3.1). */
export interface VerifyingKey {
  readonly kid: string;
  readonly alg: "ES256" | "EdDSA" | "RS256";
  readonly key: CryptoKey;
  /** The same for the same key under the same id. */
  readonly identity: string;
}

/** The keys by their ids. A key that stays is the same object in the next set. */
export type KeySet = ReadonlyMap<string, VerifyingKey>;

/** The most keys of a set: an issuer has a handful. */
const MAX_KEYS = 100;

/** The size of an RSA modulus in bytes: at least 2048 bits (RFC 7518 section 3.3), and at most 8192. */
const RSA_MODULUS_BYTES = { least: 256, most: 1024 };

/** The longest RSA exponent, in bytes. */
const RSA_EXPONENT_MAX_BYTES = 5;

/** The members of a JWK that are secret (RFC 7518 section 6). */
const SECRET_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/**
 * The keys of `document` that verify access tokens: public ones with an id, meant for signatures, of P-256 (ES256), Ed25519 (EdDSA)
 * or RSA (RS256). Others are left out, as RFC 7517 section 5 asks.
 *
 * @throws Error if it is no JWK Set, has more than a hundred keys, two usable ones of one id, or none.
 */
export async function readKeySet(document: Uint8Array, known: KeySet = new Map()): Promise<KeySet> {
  const keys = jsonObject(document)?.["keys"];
  if (!Array.isArray(keys)) throw new Error("the issuer's answer is no JWK Set");
  if (keys.length > MAX_KEYS) throw new Error(`the issuer's JWK Set has more than ${MAX_KEYS} keys`);
  const read = await Promise.all(keys.map(usableKey));
  const set = new Map<string, VerifyingKey>();
  for (const key of read) {
    if (key === undefined) continue;
    if (set.has(key.kid)) throw new Error("the issuer's JWK Set has two keys of one `kid`");
    const before = known.get(key.kid);
    set.set(key.kid, before?.identity === key.identity ? before : key);
  }
  if (set.size === 0) throw new Error("the issuer's JWK Set has no public key for ES256, EdDSA or RS256 with a `kid`");
  return set;
}

async function usableKey(value: unknown): Promise<VerifyingKey | undefined> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const jwk = value as Record<string, unknown>;
  const { kid, use, alg, key_ops: operations } = jwk;
  if (SECRET_MEMBERS.some((member) => Object.hasOwn(jwk, member))) return undefined;
  if (typeof kid !== "string" || kid === "" || Buffer.byteLength(kid) > KID_MAX_BYTES) return undefined;
  if (use !== undefined && use !== "sig") return undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify"))) return undefined;
  const bare = parameters(jwk);
  if (bare === undefined || (alg !== undefined && alg !== bare.alg)) return undefined;
  try {
    const key = await importJWK(bare.jwk, bare.alg);
    if (key instanceof Uint8Array) return undefined;
    return { kid, alg: bare.alg, key, identity: JSON.stringify([bare.alg, bare.jwk]) };
  } catch {
    // No point of its curve, or no modulus and exponent.
    return undefined;
  }
}

/** What of `jwk` makes the public key, and the algorithm of its kind. */
function parameters(jwk: Record<string, unknown>): { jwk: JWK; alg: VerifyingKey["alg"] } | undefined {
  const bytes = (member: string): Uint8Array | undefined => {
    const value = jwk[member];
    return typeof value === "string" ? base64url(value) : undefined;
  };
  const { kty, crv, x, y, n, e } = jwk as Record<string, string>;
  if (kty === "EC" && crv === "P-256" && x && y && bytes("x")?.length === 32 && bytes("y")?.length === 32) {
    return { jwk: { kty, crv, x, y }, alg: "ES256" };
  }
  if (kty === "OKP" && crv === "Ed25519" && x && bytes("x")?.length === 32) return { jwk: { kty, crv, x }, alg: "EdDSA" };
  if (kty !== "RSA" || !n || !e) return undefined;
  const modulus = withoutZeros(bytes("n"));
  const exponent = withoutZeros(bytes("e"));
  if (!modulus || modulus.length < RSA_MODULUS_BYTES.least || modulus.length > RSA_MODULUS_BYTES.most) return undefined;
  if (modulus.length === RSA_MODULUS_BYTES.least && (modulus[0] ?? 0) < 0x80) return undefined;
  const isExponent = exponent && exponent.length > 0 && exponent.length <= RSA_EXPONENT_MAX_BYTES && ((exponent.at(-1) ?? 0) & 1) === 1;
  if (!isExponent || (exponent.length === 1 && exponent[0] === 1)) return undefined;
  return { jwk: { kty, n, e }, alg: "RS256" };
}

function withoutZeros(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes?.subarray(Math.max(0, bytes.findIndex((byte) => byte !== 0)));
}
