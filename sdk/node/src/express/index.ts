// Whoever compiles against these types needs those of Node, whichever `types` they name: TypeScript 7 takes none by itself.
/// <reference types="node" preserve="true" />
/** Owns the middleware that protects routes of Express, and of any framework whose middleware takes Node's request and response. */
import type { IncomingMessage, ServerResponse } from "node:http";

import { offerContext, runAs, type Caller } from "../caller.js";
import type { Rule } from "../policy/access.js";
import { Code, Refusal, unavailable } from "../refusal.js";
import type { Verifier } from "../verify/verifier.js";

const callers = new WeakMap<IncomingMessage, Caller>();

/** A middleware, as Express calls it. */
export type Middleware = (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void;

/**
 * The middleware that lets requests through whose token keeps `rule`: any valid token of the verifier's audience, if there is none.
 *
 * It answers others with 401, 403 or 503, `WWW-Authenticate` (RFC 6750 section 3), and JSON of `error`, `reason` and `error_description`.
 *
 * @example
 * ```ts
 * app.get("/items/:name", protect(verifier, { requiredScopes: ["stock:read"] }), (request, response) => {
 *   response.json({ caller: callerOf(request)?.id });
 * });
 * ```
 */
export function protect(verifier: Verifier, rule: Rule = {}): Middleware {
  offerContext();
  return (request, response, next) => {
    void judged(verifier, rule, request).then((result) => {
      if (result instanceof Refusal) {
        refuse(response, result);
        return;
      }
      callers.set(request, result);
      runAs(result, next);
    });
  };
}

/** Who makes the request, or why it is refused: also if it is of a form that nobody has thought of. */
async function judged(verifier: Verifier, rule: Rule, request: IncomingMessage): Promise<Caller | Refusal> {
  try {
    // Not parsed: what a stranger writes there need be no URL.
    const method = `${request.method ?? ""} ${(request.url ?? "/").split("?", 1)[0] ?? ""}`;
    // Node drops all but the first of `headers.authorization`: a second one is to be seen.
    const authorization = request.rawHeaders.filter(
      (_, at) => at % 2 === 1 && request.rawHeaders[at - 1]?.toLowerCase() === "authorization",
    );
    const result = await verifier.check({ method, authorization, access: { kind: "authenticated", rule } });
    return result instanceof Refusal ? result : (result.caller ?? unavailable("the request has no caller"));
  } catch (error) {
    // It is not handed to `next`: without a framework that may be the handler itself.
    return unavailable("the request cannot be judged", error);
  }
}

/** Who makes the request; undefined where no {@link protect} stands before the handler. */
export function callerOf(request: IncomingMessage): Caller | undefined {
  return callers.get(request);
}

/** How HTTP says it. */
interface Answer {
  readonly status: number;
  readonly error: string;
  readonly challenge?: string;
}

function refuse(response: ServerResponse, refusal: Refusal): void {
  // Its client has gone, or somebody has answered before: there is nothing to tell any more.
  if (response.headersSent || response.destroyed) {
    response.end();
    return;
  }
  const { status, error, challenge } = answerOf(refusal);
  response.statusCode = status;
  if (challenge !== undefined) response.setHeader("www-authenticate", challenge);
  if (refusal.retryAfterSeconds !== undefined) response.setHeader("retry-after", Math.ceil(refusal.retryAfterSeconds));
  response.setHeader("content-type", "application/json");
  response.setHeader("cache-control", "no-store");
  response.end(JSON.stringify({ error, reason: refusal.reason, error_description: refusal.message }));
}

function answerOf(refusal: Refusal): Answer {
  const { code, reason, metadata } = refusal;
  if (code === Code.UNAUTHENTICATED) {
    // Whoever sends no token is told of no error (RFC 6750 section 3.1).
    const challenge = reason === "TOKEN_MISSING" ? "Bearer" : 'Bearer error="invalid_token"';
    return { status: 401, error: "invalid_token", challenge };
  }
  if (code === Code.PERMISSION_DENIED) {
    const scope = metadata["required_scope"];
    const isPlain = scope !== undefined && /^[\x21\x23-\x5b\x5d-\x7e ]+$/.test(scope);
    return { status: 403, error: "insufficient_scope", challenge: `Bearer error="insufficient_scope"${isPlain ? `, scope="${scope}"` : ""}` };
  }
  return { status: 503, error: "temporarily_unavailable" };
}
