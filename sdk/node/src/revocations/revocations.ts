/** Owns following Signet's stream of what was revoked (`EventService.Watch`, docs/EVENTS.md): however it ends, it is opened anew. */
import { status, type ClientReadableStream } from "@grpc/grpc-js";

import { clientCredentials, type ClientCredentials } from "../client/grants.js";
import { SignetChannel, type SignetOptions } from "../client/signet_channel.js";
import { TokenSource } from "../client/token_source.js";
import { pause, type Clock } from "../clock.js";
import { EventService, Kind, type WatchResponse } from "../gen/identity/events/v1/event_service_pb.js";
import { refusalOf } from "../grpc/status.js";
import { unavailable, type Refusal } from "../refusal.js";
import type { RevocationListener, RevocationSource } from "./source.js";

/** Who follows what was revoked, and where. */
export interface RevocationsOptions extends SignetOptions {
  /** The client that watches: registered with the scope `signet.events.watch`, with this service's audience, and with Signet's own. */
  readonly client: ClientCredentials;
  /** The audience of Signet itself. `signet` by default. */
  readonly signetAudience?: string | undefined;
}

/** How long a stream may be silent, in milliseconds: a heartbeat comes each 10 seconds. */
const SILENCE_MS = 30_000;

/** How long its first part may take: a replica that cannot be reached is not waited for as long. */
const FIRST_PART_MS = 10_000;

/** What is waited after all addresses have failed, and after a refusal that an operator must mend. */
const RETRY_MS = 1_000;
const FINAL_MS = 30_000;

/** Pauses that a `RetryInfo` may ask for, at most. */
const LONGEST_MS = 60_000;

/** The codes that asking again at once does not change. */
const FINAL: readonly number[] = [status.UNAUTHENTICATED, status.PERMISSION_DENIED, status.INVALID_ARGUMENT];

/** What is wanted of the stream. */
const KINDS = [Kind.SESSIONS, Kind.CLIENTS, Kind.SCOPES, Kind.KEYS];

/** What a stream is opened with: Signet, or what stands in for it in a test. */
export interface EventStreams {
  /** How many addresses there are. */
  readonly size: number;
  /** Opens a stream that goes on after `resumeToken`. */
  open(resumeToken: Uint8Array, token: string): Pick<ClientReadableStream<WatchResponse>, "on" | "cancel">;
  /** Goes on at the next address. */
  next(): void;
  /** Closes the connections. */
  close(): void;
}

/** How a stream has ended. */
interface End {
  /** Whether something was heard. */
  readonly hadBegun: boolean;
  /** Why it ended; undefined if with OK. */
  readonly refusal: Refusal | undefined;
}

/**
 * Follows what was revoked, for one verifier.
 *
 * @example
 * ```ts
 * new Verifier({ issuer, audience, revocations: new Revocations({ addresses: "signet:50051", client: { clientId, clientSecret } }) });
 * ```
 */
export class Revocations implements RevocationSource {
  readonly #streams: EventStreams;
  readonly #source: (clock: Clock) => Pick<TokenSource, "token" | "drop">;
  readonly #closed = new AbortController();
  #resumeToken: Uint8Array = new Uint8Array();
  #listener: RevocationListener | undefined;
  #following: Promise<void> | undefined;
  #failedInTurn = 0;
  #isComplete = false;

  /** @throws ConfigurationError if there is no address, or the client's secret would leave this machine in plaintext without a reason. */
  constructor(options: RevocationsOptions | { streams: EventStreams; source: Pick<TokenSource, "token" | "drop"> }) {
    if ("streams" in options) {
      this.#streams = options.streams;
      this.#source = () => options.source;
      return;
    }
    const signet = new SignetChannel(options);
    this.#streams = streamsOf(signet);
    this.#source = (clock) =>
      new TokenSource({
        signet,
        audience: options.signetAudience ?? "signet",
        scopes: ["signet.events.watch"],
        grant: clientCredentials(options.client),
        clock,
      });
  }

  start(listener: RevocationListener): void {
    if (this.#listener !== undefined) throw new Error("these revocations are followed for another verifier already");
    this.#listener = listener;
    this.#following = this.#follow(listener, this.#source(listener.clock));
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#following;
    this.#streams.close();
  }

  async #follow(listener: RevocationListener, source: Pick<TokenSource, "token" | "drop">): Promise<void> {
    const { signal } = this.#closed;
    const isClosed = (): boolean => signal.aborted;
    while (!isClosed()) {
      listener.state("connecting");
      const end = await this.#once(listener, source);
      if (isClosed()) return;
      listener.state("down", end.refusal);
      await pause(listener.clock, this.#pauseAfter(end, listener.clock), signal);
    }
  }

  /** Gets a token, opens a stream, and hears it to its end. */
  async #once(listener: RevocationListener, source: Pick<TokenSource, "token" | "drop">): Promise<End> {
    let token: string;
    try {
      token = await source.token({ signal: this.#closed.signal });
    } catch (error) {
      return { hadBegun: false, refusal: refusalOf(error) ?? unavailable("there is no token to watch with", error) };
    }
    const end = await this.#hear(listener, token);
    if (end.refusal?.code === status.UNAUTHENTICATED) source.drop(token);
    return end;
  }

  #hear(listener: RevocationListener, token: string): Promise<End> {
    const { clock } = listener;
    return new Promise((resolve) => {
      let hadBegun = false;
      let isSilent = false;
      let isOver = false;
      let stream: ReturnType<EventStreams["open"]>;
      try {
        stream = this.#streams.open(this.#resumeToken, token);
      } catch (error) {
        resolve({ hadBegun, refusal: refusalOf(error) ?? unavailable("the stream cannot be opened", error) });
        return;
      }
      const close = (): void => {
        stream.cancel();
        over(undefined);
      };
      const armed = (ms: number): (() => void) =>
        clock.schedule(ms, () => {
          isSilent = true;
          close();
        });
      let disarm = armed(FIRST_PART_MS);
      const over = (refusal: Refusal | undefined): void => {
        if (isOver) return;
        isOver = true;
        disarm();
        this.#closed.signal.removeEventListener("abort", close);
        resolve({ hadBegun, refusal: isSilent ? unavailable("nothing was heard") : refusal });
      };
      this.#closed.signal.addEventListener("abort", close);
      if (this.#closed.signal.aborted) close();
      stream.on("data", (message: WatchResponse) => {
        if (isOver) return;
        disarm();
        disarm = armed(SILENCE_MS);
        this.#take(message, !hadBegun, listener);
        hadBegun = true;
      });
      stream.on("error", (error: Error) => {
        over(refusalOf(error) ?? unavailable("the stream has broken", error));
      });
      stream.on("end", () => {
        over(undefined);
      });
    });
  }

  #take(message: WatchResponse, isFirst: boolean, listener: RevocationListener): void {
    // Keys that were fetched before the first part may have been revoked before it, and are not told.
    if (isFirst && this.#resumeToken.length === 0) listener.begun();
    if (message.part.case === "resync") this.#resumeToken = new Uint8Array();
    listener.hear(message);
    if (message.resumeToken.length > 0) this.#resumeToken = message.resumeToken;
    this.#failedInTurn = 0;
    if (message.part.case === "snapshot" && message.part.value.isLast) this.#isComplete = true;
    if (isFirst ? this.#isComplete : message.part.case === "snapshot" && message.part.value.isLast) listener.state("complete");
  }

  /** How many milliseconds are waited after `end`. All who watched wait for a random part of a second, so as not to come at once. */
  #pauseAfter(end: End, clock: Clock): number {
    const { hadBegun, refusal } = end;
    const spread = clock.random() * 1000;
    if (refusal !== undefined && FINAL.includes(refusal.code)) return hadBegun ? spread : FINAL_MS + spread;
    this.#streams.next();
    if (hadBegun) return spread;
    this.#failedInTurn += 1;
    const asked = Math.min((refusal?.retryAfterSeconds ?? 0) * 1000, LONGEST_MS);
    // Another replica may be well: only when all have failed is it waited for longer.
    return (this.#failedInTurn % this.#streams.size === 0 ? Math.max(RETRY_MS, asked) : 0) + spread;
  }
}

function streamsOf(signet: SignetChannel): EventStreams {
  return {
    size: signet.size,
    open: (resumeToken, token) => signet.stream(EventService.method.watch, { resumeToken, kinds: KINDS }, token),
    next: () => {
      signet.next();
    },
    close: () => {
      signet.close();
    },
  };
}

