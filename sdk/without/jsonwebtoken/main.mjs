// Verifies one access token of Signet by jsonwebtoken and jwks-rsa: ISSUER, AUDIENCE, TOKEN. `--default`: as they do if nothing is set.
import jwt from 'jsonwebtoken';
import { JwksClient } from 'jwks-rsa';

const { ISSUER, AUDIENCE, TOKEN } = process.env;
const client = new JwksClient({ jwksUri: `${ISSUER}/.well-known/jwks.json`, rateLimit: true });
const REQUIRED = ['exp', 'iat', 'sub', 'jti', 'client_id', 'scope'];

async function verified(token, settings) {
  const decoded = jwt.decode(token, { complete: true });
  if (!decoded) throw new jwt.JsonWebTokenError('jwt malformed');
  const key = await client.getSigningKey(decoded.header.kid);
  return jwt.verify(token, key.getPublicKey(), { ...settings, complete: true });
}

async function accessToken(token) {
  const settings = { issuer: ISSUER, audience: AUDIENCE, algorithms: ['ES256', 'RS256'], clockTolerance: 5 };
  const { header, payload } = await verified(token, settings);
  if (!/^(application\/)?at\+jwt$/i.test(header.typ)) throw new jwt.JsonWebTokenError('its typ is not at+jwt');
  const lacking = REQUIRED.filter((name) => !(name in payload));
  if (lacking.length) throw new jwt.JsonWebTokenError(`it lacks ${lacking}`);
  return payload;
}

try {
  const payload = process.argv.includes('--default') ? (await verified(TOKEN, {})).payload : await accessToken(TOKEN);
  console.log(payload.sub);
} catch (error) {
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = 1;
}
