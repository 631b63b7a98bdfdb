// A service in Node.js that verifies tokens by jose's createRemoteJWKSet, through a rotation of keys.

import assert from "node:assert/strict";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { ALG, AUDIENCE, ISSUER, logIn, rotate } from "./surroundings.mjs";

// jose asks again for a key that it does not know, but not sooner than this after it last asked.
const keys = createRemoteJWKSet(new URL(`${ISSUER}/.well-known/jwks.json`), { cooldownDuration: 500 });

async function verified(token) {
  const expected = { issuer: ISSUER, audience: AUDIENCE, algorithms: [ALG], typ: "at+jwt" };
  return (await jwtVerify(token, keys, expected)).payload;
}

const first = (await logIn()).access_token;
const claims = await verified(first);

const second = await rotate(async () => (await logIn()).access_token);
assert.equal((await verified(second)).sub, claims.sub);
assert.deepEqual(await verified(first), claims, "a token outlives the key's time of signing");

const [head, payload] = second.split(".");
const forged = [head, payload, first.split(".")[2]].join(".");
await assert.rejects(verified(forged), { code: "ERR_JWS_SIGNATURE_VERIFICATION_FAILED" });
