/** Owns something that issues tokens as Signet does, by a script. */
import { randomUUID } from "node:crypto";
import type { TestContext } from "node:test";

import { Server, ServerCredentials, type status } from "@grpc/grpc-js";

import type { IssuedToken } from "../../src/client/grants.js";
import type { TokenIssuer } from "../../src/client/token_source.js";
import { IdentityService } from "../../src/gen/identity/v1/identity_service_pb.js";
import { serviceDefinition, type Handlers } from "../../src/grpc/protobuf_es.js";

/** An issuer that answers what it is told to, and remembers what it was asked. */
export class ScriptedIssuer implements TokenIssuer {
  readonly asked: Awaited<ReturnType<Parameters<TokenIssuer["issueToken"]>[0]>>[] = [];
  /** Answers the next request; a new token of 900 seconds if nothing else is said. */
  answer: () => Promise<IssuedToken> = () => Promise.resolve(issued());

  async issueToken(request: Parameters<TokenIssuer["issueToken"]>[0]): Promise<IssuedToken> {
    this.asked.push(await request());
    return this.answer();
  }
}

/** An answer with a new token. */
export function issued(more: Partial<IssuedToken> = {}): IssuedToken {
  return { accessToken: `token-${randomUUID()}`, expiresIn: 900, ...more };
}

/** A promise, and how to fulfil it. */
export function pending<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((resolve_, reject_) => {
    resolve = resolve_;
    reject = reject_;
  });
  return { promise, resolve, reject };
}

/** The address of a replica of Signet that runs until `context` ends, notes the assertions it is shown, and fails by `code` if given. */
export async function startReplica(code: status | undefined, shown: string[], context: TestContext): Promise<string> {
  const server = new Server();
  const handlers: Pick<Handlers<typeof IdentityService>, "issueToken"> = {
    issueToken: (call, done) => {
      shown.push(String(call.request.client?.credential.value));
      if (code !== undefined) done({ code });
      else done(null, { $typeName: "identity.v1.IssueTokenResponse", tokenType: "Bearer", scope: "", ...issued({ accessToken: "from a replica" }) });
    },
  };
  server.addService(serviceDefinition(IdentityService), handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  context.after(() => {
    server.forceShutdown();
  });
  return `127.0.0.1:${port}`;
}
