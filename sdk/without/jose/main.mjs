// Verifies one access token of Signet by jose: ISSUER, AUDIENCE, TOKEN. With `--default`: as jose does if nothing is set.
import { createRemoteJWKSet, jwtVerify } from 'jose';

const { ISSUER, AUDIENCE, TOKEN } = process.env;
const keys = createRemoteJWKSet(new URL(`${ISSUER}/.well-known/jwks.json`));
const settings = {
  issuer: ISSUER,
  audience: AUDIENCE,
  typ: 'at+jwt',
  algorithms: ['ES256', 'RS256', 'EdDSA'],
  clockTolerance: 5,
  requiredClaims: ['exp', 'iat', 'sub', 'jti', 'client_id', 'scope'],
};

try {
  const { payload } = await jwtVerify(TOKEN, keys, process.argv.includes('--default') ? {} : settings);
  console.log(payload.sub);
} catch (error) {
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = 1;
}
