/** Owns one call with a token: it waits for the token, and if the service refuses that, is sent once more with another. */
import {
  Metadata,
  type InterceptingCall,
  type InterceptingListener,
  type InterceptorOptions,
  type Requester,
  type StatusObject,
} from "@grpc/grpc-js";

import { detailsOf, toLocalStatus } from "../grpc/status.js";
import { Code, Refusal, unavailable } from "../refusal.js";
import { isOfOwnToken, mayRetry } from "./retry.js";
import type { TokenSource } from "./token_source.js";

type NextStart = Parameters<NonNullable<Requester["start"]>>[2];
type RawCall = ConstructorParameters<typeof InterceptingCall>[0];

/** How a call is made. */
export interface CallSettings {
  /** Whether the header is added here; else call credentials add it. */
  readonly isHeader: boolean;
  /** Is told when the call is sent once more. */
  retried(): void;
}

/** A call that carries a token. */
export class AuthenticatedCall {
  readonly #source: TokenSource;
  readonly #method: string;
  readonly #isUnary: boolean;
  readonly #isUnaryAnswer: boolean;
  readonly #deadline: number | undefined;
  readonly #again: () => RawCall;
  readonly #settings: CallSettings;
  readonly #cancelled = new AbortController();
  #active: RawCall | undefined;
  #listener: InterceptingListener | undefined;
  #message: unknown;
  #metadata = new Metadata();

  constructor(source: TokenSource, options: InterceptorOptions, again: () => RawCall, settings: CallSettings) {
    const { path, requestStream, responseStream } = options.method_definition;
    this.#source = source;
    this.#method = path;
    this.#isUnary = !requestStream && !responseStream;
    this.#isUnaryAnswer = !responseStream;
    const { deadline } = options;
    this.#deadline = deadline === undefined || deadline === Infinity ? undefined : Number(deadline);
    this.#again = again;
    this.#settings = settings;
  }

  /** What the interceptor does with the call `first`. */
  requester(first: RawCall): Requester {
    return {
      start: (metadata, listener, next) => {
        this.#listener = listener;
        this.#metadata = metadata;
        void this.#start(first, next);
      },
      sendMessage: (message: unknown, next) => {
        if (this.#isUnary) this.#message = message;
        next(message);
      },
      cancel: (next) => {
        this.#cancelled.abort();
        // One that has not begun has nobody who tells its end; one that was sent anew is not the one that `next` cancels.
        if (this.#active === first) next();
        else if (this.#active !== undefined) this.#active.cancelWithStatus(Code.CANCELLED, "Cancelled on client");
        else this.#end(new Refusal(Code.CANCELLED, "", "Cancelled on client"), first);
      },
    };
  }

  async #start(first: RawCall, next: NextStart): Promise<void> {
    const token = await this.#token(first);
    if (token === undefined || this.#cancelled.signal.aborted) return;
    this.#active = first;
    next(this.#with(token), this.#isUnaryAnswer ? this.#unaryListener(token, 1) : this.#streamListener(token));
  }

  /** A token; undefined if the call has ended for want of one. */
  async #token(first: RawCall): Promise<string | undefined> {
    const live = this.#source.live();
    if (live !== undefined) return live;
    try {
      return await this.#source.token({ deadline: this.#deadline, signal: this.#cancelled.signal });
    } catch (error) {
      const failed = "no access token could be got: the request of a token failed";
      if (!this.#cancelled.signal.aborted) this.#end(error instanceof Refusal ? error : unavailable(failed, error), first);
      return undefined;
    }
  }

  #with(token: string): Metadata {
    const metadata = this.#metadata.clone();
    if (this.#settings.isHeader) metadata.set("authorization", `Bearer ${token}`);
    else metadata.remove("authorization");
    return metadata;
  }

  /** Ends a call that has not begun: nobody else tells of its end. */
  #end(refusal: Refusal, first: RawCall): void {
    this.#listener?.onReceiveStatus(toLocalStatus(refusal));
    this.#listener = undefined;
    // Its deadline's timer would run on.
    first.cancelWithStatus(refusal.code, refusal.message);
  }

  /** Hears a call with one answer, and tells nothing of it before it is known whether it is sent once more. */
  #unaryListener(token: string, attempt: number): InterceptingListener {
    let head: Metadata | undefined;
    let message: unknown = null;
    return {
      onReceiveMetadata: (metadata) => {
        head = metadata;
      },
      onReceiveMessage: (received: unknown) => {
        message = received;
      },
      onReceiveStatus: (status) => {
        const refusal = refused(status);
        const messagesReceived = message === null ? 0 : 1;
        const failed = { method: this.#method, audience: this.#source.audience, isUnary: this.#isUnary, messagesReceived, attempt };
        const isOwn = isOfOwnToken(failed, refusal);
        const isDropped = isOwn && attempt === 1 && this.#source.drop(token);
        if (isDropped && mayRetry(failed, refusal) && !this.#cancelled.signal.aborted) {
          void this.#sendAgain(status);
          return;
        }
        if (head !== undefined) this.#listener?.onReceiveMetadata(head);
        this.#listener?.onReceiveMessage(message);
        this.#listener?.onReceiveStatus(status);
      },
    };
  }

  /** Hears a stream, which is never sent again: whoever opens it anew gets another token. */
  #streamListener(token: string): InterceptingListener {
    const listener = this.#listener;
    return {
      onReceiveMetadata: (metadata) => listener?.onReceiveMetadata(metadata),
      onReceiveMessage: (message: unknown) => {
        listener?.onReceiveMessage(message);
      },
      onReceiveStatus: (status) => {
        const call = { method: this.#method, audience: this.#source.audience };
        if (isOfOwnToken(call, refused(status))) this.#source.drop(token);
        listener?.onReceiveStatus(status);
      },
    };
  }

  async #sendAgain(status: StatusObject): Promise<void> {
    this.#active = undefined;
    let token: string;
    try {
      token = this.#source.live() ?? (await this.#source.token({ deadline: this.#deadline, signal: this.#cancelled.signal }));
    } catch {
      // The service's own refusal says more than that there is no other token.
      if (!this.#cancelled.signal.aborted) {
        this.#listener?.onReceiveMessage(null);
        this.#listener?.onReceiveStatus(status);
      }
      return;
    }
    if (this.#cancelled.signal.aborted) return;
    this.#settings.retried();
    const call = this.#again();
    this.#active = call;
    call.start(this.#with(token), this.#unaryListener(token, 2));
    call.sendMessage(this.#message);
    call.halfClose();
  }
}

function refused(status: StatusObject): Refusal {
  return Refusal.fromStatus(status.code, status.details, detailsOf(status.metadata));
}
