// A client that was generated from the document: it signs up, logs in, and asks who it is. Prints what it gets.

import { client } from "./generated/client.gen";
import { identityServiceGetMe, identityServiceIssueToken, identityServiceSignUp } from "./generated";

const { SIGNET_URL, NAME, PASSWORD } = process.env as Record<string, string>;

let token: string | undefined;
client.setConfig({ baseUrl: SIGNET_URL, auth: () => token });

const refused = await identityServiceSignUp({ body: { username: "al ice", password: "short" } });
const created = await identityServiceSignUp({ body: { username: NAME, password: PASSWORD }, throwOnError: true });
const issued = await identityServiceIssueToken({ body: { password: { username: NAME, password: PASSWORD } }, throwOnError: true });
const unknown = await identityServiceGetMe({ body: {} });
token = issued.data.accessToken;
const me = await identityServiceGetMe({ body: {}, throwOnError: true });

console.log(
  JSON.stringify({
    refused: refused.error?.code,
    created: created.data.user?.id,
    expiresIn: issued.data.expiresIn,
    unknown: unknown.error?.code,
    me: me.data.user?.id,
    username: me.data.user?.username,
  }),
);
