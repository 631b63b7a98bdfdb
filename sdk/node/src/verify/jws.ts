/** Owns taking a compact JWS apart (RFC 7515 sections 4 and 7.1). Nothing that it says is believed here. */
import { tokenInvalid } from "./refusals.js";
import type { Refusal } from "../refusal.js";

/** The longest token that is looked at, in bytes. */
export const TOKEN_MAX_BYTES = 8192;

/** The longest `kid`, in bytes. */
export const KID_MAX_BYTES = 255;

/** What is read of a token before its signature is checked. `jwk`, `jku`, `x5u` and `x5c` are not: no signature brings its own key. */
export interface Jws {
  /** The algorithm that the signature is said to be made by. */
  readonly alg: string;
  /** The key that it is said to be made with. */
  readonly kid: string;
  /** Whether the type is `JWT`, and not `at+jwt`. */
  readonly isPlainJwt: boolean;
  /** The payload, as bytes. */
  readonly payload: Uint8Array;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What `token` is made of, if it has the form of an access token of RFC 9068; of type `JWT`, too, if `plainJwt`. */
export function takeApart(token: string, plainJwt: boolean): Jws | Refusal {
  if (token.length > TOKEN_MAX_BYTES) return tokenInvalid("it is too long");
  const parts = token.split(".");
  const [header, payload, signature] = parts.map(base64url);
  if (parts.length !== 3 || !header || !payload || !signature) return tokenInvalid("it is not a JWT");
  const said = jsonObject(header);
  if (said === undefined) return tokenInvalid("it is not a JWT");
  const { typ, alg, kid } = said;
  const type = typeof typ === "string" ? typ.toLowerCase().replace(/^application\//, "") : "";
  const isPlainJwt = plainJwt && type === "jwt";
  if (type !== "at+jwt" && !isPlainJwt) return tokenInvalid("its `typ` is not `at+jwt`");
  // Whatever is critical is not understood here (RFC 7515 section 4.1.11).
  if (Object.hasOwn(said, "crit")) return tokenInvalid("it has critical header extensions");
  if (typeof kid !== "string" || kid === "" || Buffer.byteLength(kid) > KID_MAX_BYTES) return tokenInvalid("it names no key");
  if (typeof alg !== "string") return tokenInvalid("its algorithm is not the one of its key");
  return { alg, kid, isPlainJwt, payload };
}

/** The JSON object that `bytes` are, if they are one. */
export function jsonObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(utf8.decode(bytes));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** The bytes that unpadded base64url stands for (RFC 4648 section 5), if `text` is that, with no bit left over. */
export function base64url(text: string): Uint8Array | undefined {
  if (text.length % 4 === 1 || !/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64url");
  // Bits behind the last byte would give one value several spellings.
  return bytes.toString("base64url") === text ? bytes : undefined;
}
