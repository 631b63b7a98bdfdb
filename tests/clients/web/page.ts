// What a web page does with Signet, by connect-web: the program of the page that drive.mjs opens.

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { IdentityService } from "./gen/identity/v1/identity_service_pb.js";

/** How a page speaks to Signet, by name. */
const transports = {
  "gRPC-Web": (baseUrl: string) => createGrpcWebTransport({ baseUrl }),
  "Connect, JSON": (baseUrl: string) => createConnectTransport({ baseUrl }),
  "Connect, JSON by GET": (baseUrl: string) => createConnectTransport({ baseUrl, useHttpGet: true }),
  "Connect, protobuf": (baseUrl: string) => createConnectTransport({ baseUrl, useBinaryFormat: true, useHttpGet: true }),
};

/** A refusal, as far as a page can read it. */
async function refusal(call: Promise<unknown>) {
  try {
    await call;
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    const [info] = error.findDetails(ErrorInfoSchema);
    const violations = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
    return {
      code: Code[error.code],
      message: error.rawMessage,
      reason: info?.reason,
      fields: violations.map((violation) => `${violation.field}: ${violation.reason}`),
    };
  }
  throw new Error("it was not refused");
}

/** Signs up, logs in, is recognised, refreshes, is refused; what came of it. */
async function visit(transport: keyof typeof transports, baseUrl: string, username: string, password: string) {
  const signet = createClient(IdentityService, transports[transport](baseUrl));
  const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

  const { user } = await signet.signUp({ username, password });
  const login = await signet.issueToken({ grant: { case: "password", value: { username, password } } });
  const me = await signet.getMe({}, as(login.accessToken));
  const value = { refreshToken: login.refreshToken };
  const refreshed = await signet.issueToken({ grant: { case: "refreshToken", value } }, { timeoutMs: 10_000 });
  const again = await signet.getMe({}, as(refreshed.accessToken));
  return {
    id: user?.id,
    username: user?.username,
    recognised: [me.user?.id, again.user?.id],
    expiresIn: Number(login.expiresIn),
    isAnother: refreshed.accessToken !== login.accessToken && refreshed.refreshToken !== login.refreshToken,
    refusals: {
      taken: await refusal(signet.signUp({ username, password })),
      fields: await refusal(signet.signUp({ username: "al ice", password: "short" })),
      missing: await refusal(signet.getMe({})),
      forged: await refusal(signet.getMe({}, as("a.b.c"))),
    },
  };
}

/** What a page gets that may not call. */
async function intrude(transport: keyof typeof transports, baseUrl: string, username: string, password: string) {
  const signet = createClient(IdentityService, transports[transport](baseUrl));
  return refusal(signet.signUp({ username, password }));
}

Object.assign(window, { visit, intrude, transports: Object.keys(transports) });
