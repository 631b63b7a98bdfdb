// An application and a service by openid-client: discovery, refresh, client credentials, introspection, revocation.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { importPKCS8 } from "jose";
import * as client from "openid-client";
import { CLIENT_ID, CLIENT_SECRET, ISSUER, KEY_CLIENT_ID, KEY_FILE, PASSWORD, USERNAME, rotate } from "./surroundings.mjs";

async function discover(id, authentication, algorithm) {
  // The tests speak plain HTTP on the loopback interface.
  const options = { algorithm, execute: [client.allowInsecureRequests] };
  return client.discovery(new URL(ISSUER), id, {}, authentication, options);
}

// By both documents: openid-configuration, and oauth-authorization-server of RFC 8414.
for (const algorithm of ["oidc", "oauth2"]) {
  const user = await discover("signet", client.None(), algorithm);
  const granted = await client.genericGrantRequest(user, "password", { username: USERNAME, password: PASSWORD });
  assert.equal(granted.token_type, "bearer");

  const privateKey = await importPKCS8(readFileSync(KEY_FILE, "utf8"), "ES256");
  const ways = [
    [CLIENT_ID, client.ClientSecretBasic(CLIENT_SECRET)],
    [CLIENT_ID, client.ClientSecretPost(CLIENT_SECRET)],
    [KEY_CLIENT_ID, client.PrivateKeyJwt(privateKey)],
  ];
  for (const [id, way] of ways) {
    const service = await discover(id, way, algorithm);
    const own = await client.clientCredentialsGrant(service, { scope: "introspect" });
    assert.equal(own.scope, "introspect");
    assert.equal(own.refresh_token, undefined);
    const told = await client.tokenIntrospection(service, granted.access_token);
    assert.deepEqual([told.active, told.username], [true, USERNAME]);
    const me = await client.fetchUserInfo(user, granted.access_token, told.sub);
    assert.equal(me.preferred_username, USERNAME);
  }

  let newest = granted.refresh_token;
  const refreshed = async () => {
    const next = await client.refreshTokenGrant(user, newest);
    assert.notEqual(next.refresh_token, newest);
    newest = next.refresh_token;
    return next.access_token;
  };
  const access = await rotate(refreshed);
  const service = await discover(CLIENT_ID, client.ClientSecretBasic(CLIENT_SECRET), algorithm);
  assert.equal((await client.tokenIntrospection(service, access)).active, true);

  await client.tokenRevocation(user, newest);
  for (const token of [access, newest]) {
    assert.deepEqual(await client.tokenIntrospection(service, token), { active: false });
  }
  await assert.rejects(client.refreshTokenGrant(user, newest), { error: "invalid_grant" });

  // Every 401 comes with a challenge (RFC 9110 section 11.6.1), and that is what the library tells first.
  for (const way of [client.ClientSecretBasic("wrong"), client.ClientSecretPost("wrong")]) {
    const wrong = await discover(CLIENT_ID, way, algorithm);
    const refusal = { status: 401, code: "OAUTH_WWW_AUTHENTICATE_CHALLENGE" };
    await assert.rejects(client.clientCredentialsGrant(wrong), refusal);
  }
}
