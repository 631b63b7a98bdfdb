// A client of connect-node: signs up, logs in, is recognised and is refused, by each codec.

import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { IdentityService } from "./gen/identity/v1/identity_service_pb.js";

const { SIGNET_URL: baseUrl = "", PASSWORD: password = "", LOGINS = "" } = process.env;

/** How the call is refused, as the library reads it. */
async function refusal(call: Promise<unknown>) {
  try {
    await call;
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    const [info] = error.findDetails(ErrorInfoSchema);
    const violations = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
    return {
      // The name by which the protocol calls it.
      code: Code[error.code].replace(/(?<=[a-z])[A-Z]/g, "_$&").toLowerCase(),
      message: error.rawMessage,
      reason: info?.reason,
      fields: violations.map((violation) => `${violation.field}: ${violation.reason}`),
    };
  }
  throw new Error("it was not refused");
}

async function visit(name: string, useBinaryFormat: boolean, httpVersion: "1.1" | "2") {
  let encoding: string | null = null;
  const note: Interceptor = (next) => async (request) => {
    const answer = await next(request);
    encoding = answer.header.get("content-encoding");
    return answer;
  };
  const signet = createClient(
    IdentityService,
    createConnectTransport({ baseUrl, httpVersion, useBinaryFormat, interceptors: [note] }),
  );
  const user = { username: `node-${name}`, password };
  const made = await signet.signUp(user);
  let token = "";
  for (let login = 0; login < Number(LOGINS); login += 1) {
    const answer = await signet.issueToken({ grant: { case: "password", value: user } }, { timeoutMs: 10_000 });
    token = answer.accessToken;
  }
  const as = { headers: { authorization: `Bearer ${token}` } };
  const me = await signet.getMe({}, as);
  const { sessions } = await signet.listSessions({}, as);
  return {
    id: made.user?.id,
    recognised: me.user?.id,
    sessions: sessions.length,
    compressed: encoding === "gzip",
    taken: await refusal(signet.signUp(user)),
    bad: await refusal(signet.signUp({ username: "al ice", password: "short" })),
  };
}

const visits = { json: await visit("json", false, "1.1"), proto: await visit("proto", true, "2") };
console.log(JSON.stringify(visits));
// The connection that is kept would keep this from ending.
process.exit();
