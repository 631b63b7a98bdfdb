/** Owns the interceptor of grpc-js that enforces the policy: no call reaches a handler that its rule does not let through. */
import {
  ServerInterceptingCall,
  type Metadata,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type StatusObject,
} from "@grpc/grpc-js";

import { offerContext, runAs, type Caller } from "../caller.js";
import type { Access } from "../policy/access.js";
import type { Policy } from "../policy/policy.js";
import { Refusal } from "../refusal.js";
import type { Admitted, Verifier } from "../verify/verifier.js";
import { toStatus } from "./status.js";

type Definition = Parameters<ServerInterceptor>[0];
type ServerListener = Parameters<ServerInterceptingCallInterface["start"]>[0];

/** Who made the call with this metadata, as the handler has it. */
const callers = new WeakMap<Metadata, Caller>();

/** How a guard tells handlers who calls. */
export interface GuardOptions {
  /**
   * Whether `currentCaller()` knows it, beside `callerOf(call)`. False by default: before Node 24 an async context costs each call some
   * microseconds more, unless something else in the process, such as OpenTelemetry, has one too.
   */
  readonly asyncContext?: boolean | undefined;
}

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
export function guard(verifier: Verifier, policy: Policy, options: GuardOptions = {}): ServerInterceptor {
  const { asyncContext = false } = options;
  if (asyncContext) offerContext();
  return (definition, call) => {
    const access = policy.access(definition.path);
    return new GuardedCall(call, verifier, definition, access, asyncContext);
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
  readonly #verifier: Verifier;
  readonly #definition: Definition;
  readonly #access: Access;
  readonly #isContext: boolean;
  #caller: Caller | undefined;
  #admitted: Admitted | undefined;
  #stop: (() => void) | undefined;
  #isOver = false;

  constructor(call: ServerInterceptingCallInterface, verifier: Verifier, definition: Definition, access: Access, isContext: boolean) {
    super(call);
    this.#isContext = isContext;
    this.#call = call;
    this.#verifier = verifier;
    this.#definition = definition;
    this.#access = access;
  }

  override start(listener: ServerListener): void {
    this.#call.start({
      onReceiveMetadata: (metadata) => {
        const authorization = metadata.get("authorization");
        const result = this.#verifier.check({ method: this.#definition.path, authorization, access: this.#access });
        if (!(result instanceof Promise)) this.#judged(result, metadata, listener);
        else {
          void result.then((judged) => {
            this.#judged(judged, metadata, listener);
          });
        }
      },
      onReceiveMessage: (message) => {
        if (!this.#definition.requestStream) listener.onReceiveMessage(message);
        else {
          this.#asCaller(() => {
            listener.onReceiveMessage(message);
          });
        }
      },
      onReceiveHalfClose: () => {
        // A handler of one message begins here, however long that message was kept back.
        const refusal = this.#admitted && this.#verifier.recheck(this.#admitted, this.#definition.path);
        if (refusal !== undefined) {
          this.#end(toStatus(refusal));
          return;
        }
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
    if (!this.#isOver) this.#call.sendMetadata(metadata);
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- it is so in grpc-js
  override sendMessage(message: any, callback: () => void): void {
    if (!this.#isOver) this.#call.sendMessage(message, callback);
  }

  override sendStatus(status: Parameters<ServerInterceptingCallInterface["sendStatus"]>[0]): void {
    if (this.#isOver) return;
    this.#stop?.();
    this.#call.sendStatus(status);
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
    const { path, requestStream, responseStream } = this.#definition;
    if (requestStream || responseStream) {
      this.#stop = this.#verifier.watch(result, path, (refusal) => {
        this.#end(toStatus(refusal));
        // The handler hears of it at once, even if its client has stopped reading.
        listener.onCancel();
      });
    }
    // The handler of a stream of requests begins here, and others when their request has come.
    if (!requestStream) {
      this.#admitted = result;
      listener.onReceiveMetadata(metadata);
    } else {
      this.#asCaller(() => {
        listener.onReceiveMetadata(metadata);
      });
    }
  }

  #end(status: StatusObject): void {
    if (this.#finish()) this.#call.sendStatus(status);
  }

  /** Whether the call was not over before. */
  #finish(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#stop?.();
    return true;
  }

  #asCaller(action: () => void): void {
    if (this.#caller === undefined || !this.#isContext) action();
    else runAs(this.#caller, action);
  }
}
