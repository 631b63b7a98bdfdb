/** Owns the interceptor of grpc-js that enforces the policy: no call reaches a handler that its rule does not let through. */
import {
  ServerInterceptingCall,
  type Metadata,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type StatusObject,
} from "@grpc/grpc-js";

import { runAs, type Caller } from "../caller.js";
import type { Policy } from "../policy/policy.js";
import { Refusal } from "../refusal.js";
import type { Admitted, Verifier } from "../verify/verifier.js";
import { toStatus } from "./status.js";

type ServerListener = Parameters<ServerInterceptingCallInterface["start"]>[0];

/** Who made the call with this metadata, as the handler has it. */
const callers = new WeakMap<Metadata, Caller>();

/**
 * The interceptor that lets calls through by `policy`, whose tokens `verifier` verifies. It comes first among the server's `interceptors`.
 *
 * A refused call ends with Signet's status and details before its handler runs. Streams end when their token does, or is revoked.
 *
 * @example
 * ```ts
 * const server = new Server({ interceptors: [guard(verifier, policy)] });
 * ```
 */
export function guard(verifier: Verifier, policy: Policy): ServerInterceptor {
  return (definition, call) => {
    const access = policy.access(definition.path);
    const isStream = definition.requestStream || definition.responseStream;
    const check = (metadata: Metadata): ReturnType<Verifier["check"]> =>
      verifier.check({ method: definition.path, authorization: metadata.get("authorization"), access });
    const watch = (admitted: Admitted, end: (refusal: Refusal) => void): (() => void) =>
      isStream ? verifier.watch(admitted, definition.path, end) : () => undefined;
    return new GuardedCall(call, check, watch);
  };
}

/**
 * The caller of `call`, of which the handler of a protected method is told.
 *
 * Undefined in a public method.
 */
export function callerOf(call: { readonly metadata: Metadata }): Caller | undefined {
  return callers.get(call.metadata);
}

/** A call whose handler hears of it once it has passed. */
class GuardedCall extends ServerInterceptingCall {
  readonly #call: ServerInterceptingCallInterface;
  readonly #check: (metadata: Metadata) => ReturnType<Verifier["check"]>;
  readonly #watch: (admitted: Admitted, end: (refusal: Refusal) => void) => () => void;
  #caller: Caller | undefined;
  #stop: () => void = () => undefined;
  #isOver = false;

  constructor(
    call: ServerInterceptingCallInterface,
    check: (metadata: Metadata) => ReturnType<Verifier["check"]>,
    watch: (admitted: Admitted, end: (refusal: Refusal) => void) => () => void,
  ) {
    super(call);
    this.#call = call;
    this.#check = check;
    this.#watch = watch;
  }

  override start(listener: ServerListener): void {
    this.#call.start({
      onReceiveMetadata: (metadata) => {
        const result = this.#check(metadata);
        if (!(result instanceof Promise)) this.#judged(result, metadata, listener);
        else {
          void result.then((judged) => {
            this.#judged(judged, metadata, listener);
          });
        }
      },
      onReceiveMessage: (message) => {
        this.#asCaller(() => {
          listener.onReceiveMessage(message);
        });
      },
      onReceiveHalfClose: () => {
        this.#asCaller(() => {
          listener.onReceiveHalfClose();
        });
      },
      onCancel: () => {
        if (this.#finish()) listener.onCancel();
      },
    });
  }

  override sendMetadata(metadata: Metadata): void {
    if (!this.#isOver) super.sendMetadata(metadata);
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- it is so in grpc-js
  override sendMessage(message: any, callback: () => void): void {
    if (!this.#isOver) super.sendMessage(message, callback);
  }

  override sendStatus(status: Parameters<ServerInterceptingCallInterface["sendStatus"]>[0]): void {
    if (this.#isOver) return;
    this.#stop();
    super.sendStatus(status);
  }

  #judged(result: Admitted | Refusal, metadata: Metadata, listener: ServerListener): void {
    // The client may have gone meanwhile.
    if (this.#isOver) return;
    if (result instanceof Refusal) {
      this.#end(toStatus(result));
      return;
    }
    const { caller } = result;
    if (caller !== undefined) callers.set(metadata, caller);
    this.#caller = caller;
    this.#stop = this.#watch(result, (refusal) => {
      this.#end(toStatus(refusal));
      // The handler hears of it at once, even if its client has stopped reading.
      listener.onCancel();
    });
    this.#asCaller(() => {
      listener.onReceiveMetadata(metadata);
    });
  }

  #end(status: StatusObject): void {
    if (this.#finish()) this.#call.sendStatus(status);
  }

  /** Whether the call was not over before. */
  #finish(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#stop();
    return true;
  }

  #asCaller(action: () => void): void {
    if (this.#caller === undefined) action();
    else runAs(this.#caller, action);
  }
}
