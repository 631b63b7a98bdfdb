/** Owns the interceptor that attaches tokens to the calls of a client of Connect. */
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

import { isOfOwnToken, mayRetry } from "../client/retry.js";
import { isLoopback } from "../client/target.js";
import type { TokenSource } from "../client/token_source.js";
import { tell, type ClientHooks } from "../hooks.js";
import { ConfigurationError } from "../keys/http.js";
import { refusalOf, toConnectError } from "./errors.js";

/** Where tokens may go. */
export interface AuthenticateOptions {
  /** The `baseUrl` of the transport: tokens go to its scheme, host and port alone. */
  readonly baseUrl: string;
  /** Why a token may go in plaintext to another machine, such as `the sidecar encrypts`. */
  readonly allowPlaintext?: string | undefined;
  /** What is told to metrics. */
  readonly hooks?: ClientHooks | undefined;
}

/**
 * The interceptor that attaches tokens of `source`, and sends a unary call once more whose token was refused. A call to another
 * address fails with `failed_precondition`, and no token leaves.
 *
 * @throws ConfigurationError if the address is plaintext, leaves this machine, and no reason is given for that.
 */
export function authenticate(source: TokenSource, options: AuthenticateOptions): Interceptor {
  const { protocol, host, origin } = new URL(options.baseUrl);
  const { allowPlaintext, hooks = {} } = options;
  if (allowPlaintext?.trim() === "") throw new ConfigurationError("allowPlaintext needs a reason");
  if (protocol !== "https:" && !isLoopback(host) && allowPlaintext === undefined) {
    throw new ConfigurationError(`tokens do not go to ${origin} in plaintext: use https, or say in allowPlaintext what encrypts instead`);
  }
  return (next) => async (request) => {
    if (new URL(request.url).origin !== origin) {
      throw new ConnectError("the token source was not made for the address of this call", Code.FailedPrecondition);
    }
    const method = `/${request.service.typeName}/${request.method.name}`;
    const attempt = async (token: string): ReturnType<typeof next> => {
      const header = new Headers(request.header);
      header.set("authorization", `Bearer ${token}`);
      return next({ ...request, header });
    };
    const first = await tokenOf(source, request.signal);
    try {
      return await attempt(first);
    } catch (error) {
      const refusal = refusalOf(error);
      const call = { method, audience: source.audience, isUnary: !request.stream, messagesReceived: 0, attempt: 1 };
      if (refusal === undefined || !isOfOwnToken(call, refusal)) throw error;
      if (!source.drop(first) || !mayRetry(call, refusal)) throw error;
      const second = await source.token({ signal: request.signal }).catch(() => undefined);
      // The service's own refusal says more than that there is no other token.
      if (second === undefined) throw error;
      tell(() => hooks.callRetried?.());
      return attempt(second);
    }
  };
}

async function tokenOf(source: TokenSource, signal: AbortSignal): Promise<string> {
  try {
    return source.live() ?? (await source.token({ signal }));
  } catch (error) {
    if (signal.aborted) throw ConnectError.from(signal.reason);
    const refusal = refusalOf(error);
    throw refusal === undefined ? error : toConnectError(refusal);
  }
}
