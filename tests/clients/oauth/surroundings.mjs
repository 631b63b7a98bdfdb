// What the scripts here share: the server that a test started for them, and its operator.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";

export const { ISSUER, AUDIENCE, ALG, USERNAME, PASSWORD, CLIENT_ID, CLIENT_SECRET, KEY_CLIENT_ID, KEY_FILE } = process.env;

const PATIENCE_MS = 60_000;

/** The answer of the token endpoint to a password, as a client without any library asks for it. */
export async function logIn() {
  const body = new URLSearchParams({ grant_type: "password", username: USERNAME, password: PASSWORD });
  const answer = await fetch(`${ISSUER}/oauth2/token`, { method: "POST", body });
  assert.equal(answer.status, 200);
  return answer.json();
}

/** The id of the key that signed a token. */
export function kid(token) {
  return JSON.parse(Buffer.from(token.split(".")[0], "base64url")).kid;
}

/** Has the next key sign, and returns the first token of it that `newToken` brings. */
export async function rotate(newToken) {
  const before = kid(await newToken());
  // SIGNET_DATA_DIR says which server's data.
  execFileSync(process.env.SIGNET, ["keys", "rotate"]);
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline) {
    const token = await newToken();
    if (kid(token) !== before) return token;
  }
  throw new Error("the new key does not sign");
}
