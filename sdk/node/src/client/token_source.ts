/** Owns the tokens of one audience: got when they are needed, kept, and renewed before they expire. */
import { systemClock, type Clock } from "../clock.js";
import { IdentityService, type IssueTokenRequestSchema } from "../gen/identity/v1/identity_service_pb.js";
import { tell, type ClientHooks } from "../hooks.js";
import { ConfigurationError } from "../keys/http.js";
import { Code, Refusal, unavailable } from "../refusal.js";
import type { Grant, IssuedToken } from "./grants.js";
import type { SignetChannel } from "./signet_channel.js";
import type { MessageInitShape } from "@bufbuild/protobuf";

/** Who issues tokens: Signet, or what stands in for it in a test. */
export interface TokenIssuer {
  /** Issues a token. `request` makes what is asked, anew for each address that is tried. Rejects with a `Refusal`. */
  issueToken(request: () => Promise<MessageInitShape<typeof IssueTokenRequestSchema>>): Promise<IssuedToken>;
}

/** Which tokens a source gets. */
export interface TokenSourceOptions {
  /** Where Signet is. */
  readonly signet: SignetChannel | TokenIssuer;
  /** The one audience that the tokens are for. */
  readonly audience: string;
  /** The scopes that are asked for. Unset: all that the client may have. */
  readonly scopes?: readonly string[] | undefined;
  /** How they are asked for: `clientCredentials(...)` or `refreshToken(...)`. */
  readonly grant: Grant;
  /** The clock. The machine's by default. */
  readonly clock?: Clock | undefined;
  /** What is told to metrics. */
  readonly hooks?: ClientHooks | undefined;
}

/** How long a caller waits for a token. */
export interface TokenWait {
  /** Until when, in milliseconds since 1970. */
  readonly deadline?: number | undefined;
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
}

/** A token, and its times in milliseconds of the monotonic clock. */
interface Token {
  readonly value: string;
  readonly renewAt: number;
  readonly expiresAt: number;
}

/** What is waited after a failure, in milliseconds: doubled with each further one, up to half a minute. */
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;

/** Pauses that a `RetryInfo` may ask for, at most. */
const LONGEST_MS = 60_000;

/** How long a refresh token may take to be stored: after that it counts as not stored. */
const STORE_MS = 10_000;

/** For how long a refusal counts that asking again does not change. */
const FINAL_MS = 10_000;

/** A token that was refused is dropped at most this often: the next one may have been issued too early to count (docs/EVENTS.md). */
const DROP_PAUSE_MS = 7_000;

/** An answer of Signet's, and when it was asked, in milliseconds of the monotonic clock: its token lives from then on at the latest. */
interface Answer {
  readonly began: number;
  readonly response: IssuedToken;
}

/** The codes that asking again does not change. */
const FINAL: readonly number[] = [
  Code.UNAUTHENTICATED, Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.PERMISSION_DENIED, Code.FAILED_PRECONDITION,
];

/** How many exchanges follow each other if a token has expired already: the exchange was repeated late, or its answer was stored late. */
const MAX_EXPIRED = 3;

/** Gets tokens for one audience, keeps the newest, and renews it when 75 to 85 % of its life have passed. It has no timer. */
export class TokenSource {
  /** The audience that the tokens are for. */
  readonly audience: string;
  readonly #issuer: TokenIssuer;
  readonly #scope: string;
  readonly #grant: Grant;
  readonly #clock: Clock;
  readonly #hooks: ClientHooks;
  #token: Token | undefined;
  #renewal: Promise<Token> | undefined;
  /**
   * An answer whose refresh token is not stored yet. Signet takes who shows the old one again and again for a thief, and ends the session
   * (docs/TOKENS.md, "Repeats").
   */
  #unstored: Answer | undefined;
  /** It goes on though it has taken too long. No other one begins meanwhile: an older token must not be written over a newer one. */
  #storing: Promise<void> | undefined;
  #failures = 0;
  #refusal: Refusal | undefined;
  #nextAttemptAt = -Infinity;
  #droppedAt = -Infinity;

  /** @throws ConfigurationError if the audience is empty, or another source has the grant and it serves one alone. */
  constructor(options: TokenSourceOptions) {
    if (options.audience === "") throw new ConfigurationError("a token source is made for one audience");
    this.audience = options.audience;
    this.#issuer = "issueToken" in options.signet ? options.signet : issuerAt(options.signet);
    this.#scope = (options.scopes ?? []).join(" ");
    this.#grant = options.grant;
    this.#clock = options.clock ?? systemClock;
    this.#hooks = options.hooks ?? {};
    options.grant.taken?.();
  }

  /**
   * A token that is alive: at once if there is one, and else once one has come.
   *
   * @throws Refusal UNAVAILABLE if none can be got at this moment, DEADLINE_EXCEEDED if the deadline passes; UNAUTHENTICATED with
   * Signet's reason if asking again does not help.
   */
  async token(wait: TokenWait = {}): Promise<string> {
    return this.live() ?? (await this.#awaited(wait)).value;
  }

  /** The token that is alive, if there is one. If its renewal is due, that begins in the background. */
  live(): string | undefined {
    const now = this.#clock.monotonic();
    const token = this.#token;
    if (token === undefined || now >= token.expiresAt) return undefined;
    if (now >= token.renewAt && now >= this.#nextAttemptAt) {
      // Whoever waits for it is told; calls go on with the token that there is.
      this.#renew().catch(() => undefined);
    }
    return token.value;
  }

  /**
   * Drops `token`, which a service has refused, if it is still the newest.
   *
   * @returns whether another one is to be had: false if one was dropped only just, so that nobody asks Signet in a loop.
   */
  drop(token: string): boolean {
    if (this.#token?.value !== token) return true;
    const now = this.#clock.monotonic();
    if (now - this.#droppedAt < DROP_PAUSE_MS) return false;
    this.#droppedAt = now;
    this.#token = undefined;
    return true;
  }

  #awaited(wait: TokenWait): Promise<Token> {
    const now = this.#clock.monotonic();
    if (this.#renewal === undefined && now < this.#nextAttemptAt && this.#refusal !== undefined) {
      return Promise.reject(this.#refusal);
    }
    return bounded(this.#renew(), wait, this.#clock);
  }

  /** One attempt, which all who ask meanwhile share. */
  #renew(): Promise<Token> {
    this.#renewal ??= this.#attempt().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async #attempt(): Promise<Token> {
    try {
      const token = await this.#issued();
      this.#token = token;
      this.#failures = 0;
      this.#refusal = undefined;
      this.#nextAttemptAt = -Infinity;
      tell(() => this.#hooks.tokenRenewed?.(true));
      return token;
    } catch (error) {
      tell(() => this.#hooks.tokenRenewed?.(false, error));
      throw this.#failed(error);
    }
  }

  async #issued(): Promise<Token> {
    for (let nth = 0; nth < MAX_EXPIRED; nth++) {
      const answer = this.#unstored ?? (await this.#ask());
      await this.#store(answer);
      const { began, response } = answer;
      const lifeMs = response.expiresIn * 1000;
      const expiresAt = began + lifeMs;
      if (this.#clock.monotonic() >= expiresAt) continue;
      return { value: response.accessToken, renewAt: began + renewAfter(lifeMs, this.#clock.random()), expiresAt };
    }
    throw unavailable("Signet answers with tokens that have expired");
  }

  async #ask(): Promise<Answer> {
    const began = this.#clock.monotonic();
    const response = await this.#issuer.issueToken(async () => ({
      ...(await this.#grant.request(this.#clock.now())),
      scope: this.#scope,
      audiences: [this.audience],
    }));
    return { began, response };
  }

  /** Has the grant take up the answer. If that fails, whyever, the next attempt does this again, and does not ask Signet. */
  async #store(answer: Answer): Promise<void> {
    const { refreshToken = "" } = answer.response;
    this.#unstored = refreshToken === "" ? undefined : answer;
    try {
      await (refreshToken === "" ? this.#grant.issued(answer.response) : this.#stored(answer.response));
    } catch (error) {
      throw error instanceof Refusal && error.code === Code.UNAVAILABLE ? error : unavailable("the next refresh token is not stored", error);
    }
    this.#unstored = undefined;
  }

  async #stored(response: IssuedToken): Promise<void> {
    const storing = (this.#storing ??= this.#grant.issued(response).finally(() => {
      this.#storing = undefined;
    }));
    await new Promise<void>((resolve, reject) => {
      const cancel = this.#clock.schedule(STORE_MS, () => {
        reject(new Error("the store takes too long"));
      });
      storing.finally(cancel).then(resolve, reject);
    });
  }

  #failed(error: unknown): Refusal {
    const told = error instanceof Refusal ? error : unavailable("the request of a token failed", error);
    const now = this.#clock.monotonic();
    if (FINAL.includes(told.code)) {
      const { reason, message, metadata } = told;
      this.#refusal = new Refusal(Code.UNAUTHENTICATED, reason, `no access token could be got: ${message}`, metadata, { cause: error });
      this.#nextAttemptAt = now + FINAL_MS;
      return this.#refusal;
    }
    const doubled = Math.min(FIRST_RETRY_MS * 2 ** Math.min(this.#failures, 10), LAST_RETRY_MS);
    this.#failures += 1;
    const pauseMs = Math.max(doubled * (0.5 + 0.5 * this.#clock.random()), Math.min((told.retryAfterSeconds ?? 0) * 1000, LONGEST_MS));
    this.#nextAttemptAt = now + pauseMs;
    this.#refusal = unavailable(`no access token could be got: ${told.message}`, told);
    return this.#refusal;
  }
}

/** After how many milliseconds a token that lives `lifeMs` is renewed: `random` is from 0 to 1. */
export function renewAfter(lifeMs: number, random: number): number {
  return lifeMs * (0.75 + 0.1 * random);
}

function issuerAt(signet: SignetChannel): TokenIssuer {
  return { issueToken: (request) => signet.unary(IdentityService.method.issueToken, request) };
}

function bounded(renewal: Promise<Token>, wait: TokenWait, clock: Clock): Promise<Token> {
  const { deadline, signal } = wait;
  if (deadline === undefined && signal === undefined) return renewal;
  return new Promise((resolve, reject) => {
    const late = (): void => {
      end();
      reject(new Refusal(Code.DEADLINE_EXCEEDED, "", "the deadline passed before there was an access token"));
    };
    const aborted = (): void => {
      end();
      reject(unavailable("the call has ended", signal?.reason));
    };
    const left = deadline === undefined ? Infinity : deadline - clock.now();
    const cancel = left === Infinity ? () => undefined : clock.schedule(left, late);
    const end = (): void => {
      cancel();
      signal?.removeEventListener("abort", aborted);
    };
    if (signal?.aborted === true) {
      aborted();
      return;
    }
    signal?.addEventListener("abort", aborted);
    renewal.finally(end).then(resolve, reject);
  });
}
