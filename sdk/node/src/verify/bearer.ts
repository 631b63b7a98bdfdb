/** Owns finding the access token in the values of `authorization` (RFC 6750 section 2.1). */
import { tokenInvalid, tokenMissing } from "./refusals.js";
import type { Refusal } from "../refusal.js";

/** `Bearer`, without case (RFC 9110 section 11.1), one space or more (section 11.4), and visible ASCII without spaces. */
const BEARER = /^bearer +([\x21-\x7e]+)$/i;

/** The token in `values`, those of the field `authorization` of one call; or why there is none. */
export function bearerToken(values: readonly (string | Uint8Array)[]): string | Refusal {
  const [value] = values;
  if (value === undefined) return tokenMissing();
  // Which of two a proxy in front looked at cannot be known.
  if (values.length > 1) return tokenInvalid("there is more than one `authorization`");
  const token = typeof value === "string" ? BEARER.exec(value)?.[1] : undefined;
  return token ?? tokenInvalid("`authorization` must be `Bearer <access_token>`");
}
