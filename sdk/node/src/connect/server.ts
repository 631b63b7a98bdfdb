/** Owns the interceptor that enforces the policy on a server of Connect: by Connect, gRPC and gRPC-Web alike. */
import { createContextKey, type ContextKey, type Interceptor, type StreamRequest, type StreamResponse } from "@connectrpc/connect";

import { offerContext, runAs, type Caller } from "../caller.js";
import type { Policy } from "../policy/policy.js";
import { Refusal } from "../refusal.js";
import type { Admitted, Verifier } from "../verify/verifier.js";
import { toConnectError } from "./errors.js";

/** Where handlers find who calls: `context.values.get(callerKey)`. Undefined in a public method. */
export const callerKey: ContextKey<Caller | undefined> = createContextKey<Caller | undefined>(undefined, {
  description: "the caller that an access token has proven",
});

/**
 * The interceptor that lets calls through by `policy`, whose tokens `verifier` verifies. It comes first among the router's `interceptors`.
 *
 * Connect reads the message of a unary call before its interceptors run: bound it with `readMaxBytes`.
 *
 * @example
 * ```ts
 * connectNodeAdapter({ routes, interceptors: [guard(verifier, policy)], readMaxBytes: 64 * 1024 });
 * ```
 */
export function guard(verifier: Verifier, policy: Policy): Interceptor {
  offerContext();
  return (next) => async (request) => {
    const method = `/${request.service.typeName}/${request.method.name}`;
    const authorization = request.header.get("authorization");
    const call = { method, authorization: authorization === null ? [] : [authorization], access: policy.access(method) };
    const admitted = await verifier.check(call);
    if (admitted instanceof Refusal) throw toConnectError(admitted);
    const { caller } = admitted;
    if (caller === undefined) return next(request);
    request.contextValues.set(callerKey, caller);
    if (!request.stream) return runAs(caller, () => next(request));
    return watched(verifier, method, { ...admitted, caller }, request, next as Next);
  };
}

type Next = (request: StreamRequest) => Promise<StreamResponse>;

/** Runs a stream that ends when its token does: also while its handler waits. */
async function watched(
  verifier: Verifier,
  method: string,
  admitted: Admitted & { caller: Caller },
  request: StreamRequest,
  next: Next,
): Promise<StreamResponse> {
  const ended = new AbortController();
  let stop: () => void = () => undefined;
  const end = new Promise<never>((_, reject) => {
    stop = verifier.watch(admitted, method, (refusal) => {
      const error = toConnectError(refusal);
      reject(error);
      ended.abort(error);
    });
  });
  // It is raced below; a stream that has ended by itself has nobody who waits for it.
  end.catch(() => undefined);
  request.signal.addEventListener("abort", stop);
  const { caller } = admitted;
  try {
    const signal = AbortSignal.any([request.signal, ended.signal]);
    const answered = runAs(caller, () => next({ ...request, signal }));
    answered.catch(() => undefined);
    const response = await Promise.race([answered, end]);
    return { ...response, message: until(end, caller, response.message, stop) };
  } catch (error) {
    stop();
    throw error;
  }
}

/** The messages until `end` is rejected. */
async function* until<T>(end: Promise<never>, caller: Caller, messages: AsyncIterable<T>, stop: () => void): AsyncGenerator<T> {
  const iterator = messages[Symbol.asyncIterator]();
  let isDone = false;
  try {
    for (;;) {
      const turn = runAs(caller, () => iterator.next());
      turn.catch(() => undefined);
      const result = await Promise.race([turn, end]);
      if (result.done === true) {
        isDone = true;
        return;
      }
      yield result.value;
    }
  } finally {
    stop();
    // A handler that waits for something ends when that comes: nobody waits for it.
    if (!isDone) void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}
