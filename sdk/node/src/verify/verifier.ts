/** Owns the verifier: whether a token is genuine, meant for this service, in time, not revoked, and keeps the rule of a method. */
import { compactVerify, errors } from "jose";

import { Caller } from "../caller.js";
import { systemClock, type Clock } from "../clock.js";
import { tell, type ServerHooks } from "../hooks.js";
import { ConfigurationError, HttpKeySource, type KeySource } from "../keys/http.js";
import { IssuerKeys, type FetchSettings } from "../keys/issuer_keys.js";
import type { Access, Rule } from "../policy/access.js";
import { Refusal, unavailable } from "../refusal.js";
import type { RevocationSource } from "../revocations/source.js";
import { Standing } from "../revocations/standing.js";
import { bearerToken } from "./bearer.js";
import { readClaims } from "./claims.js";
import { ASK, askRoles, judge, type Introspector } from "./judge.js";
import { takeApart, type Jws } from "./jws.js";
import { denied, tokenExpired, tokenInvalid } from "./refusals.js";
import { TokenCache, type VerifiedToken } from "./token_cache.js";

/** How long an open stream is not looked at, in milliseconds: the time of day may have stepped on meanwhile. */
const LOOK_AGAIN_MS = 5_000;

/** What a verifier expects of tokens. Times are in seconds. */
export interface VerifierOptions {
  /** The one issuer that is trusted, letter for letter as tokens name it (`iss`). */
  readonly issuer: string;
  /** Whom a token must be meant for (`aud`), where a rule names nobody else: this service. */
  readonly audience: string;
  /** Where the issuer's keys are. Unset: where its metadata say (RFC 8414, OpenID Connect Discovery). */
  readonly jwksUri?: string | undefined;
  /** How far the issuer's clock may be from this one. 5 by default. */
  readonly leeway?: number | undefined;
  /** How many verified tokens are remembered, some 2 KiB each. 10,000 by default. */
  readonly cacheSize?: number | undefined;
  /**
   * Whether `typ: JWT` is taken beside `at+jwt`, in tokens for this audience alone: for an audience whose `--token-typ` is `JWT`.
   * False by default.
   */
  readonly tokenTypJwt?: boolean | undefined;
  /** Where it is heard what was revoked: `new Revocations({...})`. Unset: tokens count until they expire. */
  readonly revocations?: RevocationSource | undefined;
  /** For how long nothing may be heard of revocations. 30 by default. */
  readonly revocationMaxAge?: number | undefined;
  /** What happens to calls after that. `refuse` (UNAVAILABLE) by default. */
  readonly whenStale?: "refuse" | "continue" | undefined;
  /** How long a stream may stay open after its token has expired. 30 by default. */
  readonly streamGrace?: number | undefined;
  /** Who is asked for the roles of tokens that had no room for them. Unset: such calls of a rule with roles are UNAVAILABLE. */
  readonly introspection?: Introspector | undefined;
  /** Where keys come from instead of HTTP: for tests. */
  readonly keySource?: KeySource | undefined;
  /** When keys are fetched: for tests. */
  readonly fetchSettings?: FetchSettings | undefined;
  /** The clock. The machine's by default. */
  readonly clock?: Clock | undefined;
  /** What is told to metrics. */
  readonly hooks?: ServerHooks | undefined;
}

/** A call, as far as a verifier looks at it. */
export interface CallToCheck {
  /** The method's path with its leading slash. */
  readonly method: string;
  /** All values of `authorization`. */
  readonly authorization: readonly (string | Uint8Array)[];
  /** Who may call the method. */
  readonly access: Access;
}

/** A call that passes. Of a public method it has neither caller nor token. */
export interface Admitted {
  /** Who calls. */
  readonly caller: Caller | undefined;
  /** @internal */
  readonly token: VerifiedToken | undefined;
  /** The audience that the token had to be for. */
  readonly audience: string;
}

/** Verifies the tokens of one issuer for one audience. It fetches keys in the background until it is closed. */
export class Verifier {
  /** Whom a token must be meant for, where a rule names nobody else. */
  readonly audience: string;
  readonly #issuer: string;
  readonly #leeway: number;
  readonly #graceMs: number;
  readonly #plainJwt: boolean;
  readonly #clock: Clock;
  readonly #hooks: ServerHooks;
  readonly #keys: IssuerKeys;
  readonly #cache: TokenCache;
  readonly #standing: Standing | undefined;
  readonly #source: RevocationSource | undefined;
  readonly #introspector: Introspector | undefined;

  /** @throws ConfigurationError if a setting breaks its rule. */
  constructor(options: VerifierOptions) {
    const { clock = systemClock, hooks = {}, leeway = 5, cacheSize = 10_000 } = options;
    const { revocationMaxAge = 30, whenStale = "refuse", streamGrace = 30 } = options;
    for (const [name, value] of Object.entries({ leeway, cacheSize, revocationMaxAge, streamGrace })) {
      if (!Number.isFinite(value) || value < 0) throw new ConfigurationError(`${name} must be a number that is not negative`);
    }
    if (options.audience === "") throw new ConfigurationError("the audience must not be empty");
    this.audience = options.audience;
    this.#issuer = options.issuer;
    this.#leeway = leeway;
    this.#graceMs = streamGrace * 1000;
    this.#plainJwt = options.tokenTypJwt ?? false;
    this.#clock = clock;
    this.#hooks = hooks;
    const source = options.keySource ?? new HttpKeySource(options.issuer, options.jwksUri);
    this.#keys = new IssuerKeys(source, clock, hooks, options.fetchSettings);
    this.#cache = new TokenCache(cacheSize);
    this.#introspector = options.introspection;
    this.#source = options.revocations;
    if (options.revocations !== undefined) {
      const standing = new Standing(clock, { maxAgeSeconds: revocationMaxAge, whenStale });
      this.#standing = standing;
      options.revocations.start({
        clock,
        hear: (message) => {
          if (standing.hear(message).fetchKeys) this.#keys.refresh();
        },
        begun: () => {
          this.#keys.refresh();
        },
        state: (state, cause) => {
          tell(() => hooks.revocations?.(state, cause));
        },
      });
    }
  }

  /** Resolves when calls can be judged: the issuer's keys are known, and what was revoked, if that is followed. */
  async ready(): Promise<void> {
    await Promise.all([this.#keys.ready(), this.#standing?.ready()]);
  }

  /**
   * Whether a call passes: its admission, or its refusal, with `audience` and `method` among its metadata.
   *
   * At once where the token has been verified before, and else a promise, which does not reject.
   */
  check(call: CallToCheck): Admitted | Refusal | Promise<Admitted | Refusal> {
    const { access, method } = call;
    if (access.kind === "public") return { caller: undefined, token: undefined, audience: this.audience };
    if (access.kind !== "authenticated") {
      return denied("ACCESS_UNDECLARED", "this method declares no access rule, so nobody may call it", { audience: this.audience, method });
    }
    const { rule } = access;
    const audience = rule.audience ?? this.audience;
    const placed = (result: Admitted | Refusal): Admitted | Refusal => {
      const isRefused = result instanceof Refusal;
      const hooks = this.#hooks;
      if (hooks.verified !== undefined) tell(() => hooks.verified?.(isRefused ? result.reason : "OK", cached));
      return isRefused ? result.with({ audience, method }) : result;
    };
    let cached = false;
    const token = bearerToken(call.authorization);
    if (typeof token !== "string") return placed(token);
    const fingerprint = TokenCache.fingerprint(token);
    const seen = this.#cache.get(fingerprint);
    if (seen !== undefined && this.#keys.isInForce(seen.key)) {
      cached = true;
      const result = this.#admit(token, seen, rule, audience);
      return result instanceof Promise ? result.then(placed) : placed(result);
    }
    if (seen !== undefined) this.#cache.drop(fingerprint);
    return this.#verify(token, fingerprint)
      .then((verified) => (verified instanceof Refusal ? verified : this.#admit(token, verified, rule, audience)))
      // Whatever went wrong lets nobody in.
      .catch((error: unknown) => unavailable("the access token cannot be verified", error))
      .then(placed);
  }

  /**
   * Why an admitted call does not pass any more, if it does not: its message may have come long after its metadata, by which it was
   * judged. For the moment before a handler begins.
   */
  recheck({ token, audience }: Admitted, method: string): Refusal | undefined {
    if (token === undefined) return undefined;
    return (this.#untimely(token) ?? this.#standing?.refusal(token.claims))?.with({ audience, method });
  }

  /**
   * Watches an admitted stream: calls `end` once, with the status to end it with, when its token has expired for longer than the grace,
   * is revoked, or what was revoked is not known any more. Returns how to stop, which must be called when the stream ends by itself.
   */
  watch(admitted: Admitted, method: string, end: (refusal: Refusal) => void): () => void {
    const { token, audience } = admitted;
    if (token === undefined) return () => undefined;
    const stops: (() => void)[] = [];
    const stop = (): void => {
      for (const one of stops.splice(0)) one();
    };
    const finish = (refusal: Refusal): void => {
      stop();
      tell(() => this.#hooks.streamEnded?.(refusal.reason));
      end(refusal.with({ audience, method }));
    };
    const standing = this.#standing;
    stops.push(
      this.#whenOver(token.claims.exp * 1000 + this.#graceMs, () => {
        finish(tokenExpired());
      }),
    );
    if (standing !== undefined) {
      const look = (): void => {
        const refusal = standing.refusal(token.claims);
        if (refusal !== undefined) finish(refusal);
      };
      // Also at once: something may have been told since the call was admitted.
      stops.push(standing.watch(look), this.#clock.schedule(0, look));
    }
    return stop;
  }

  /**
   * Calls `action` once it is `at`, in milliseconds since 1970, or as much time has passed as lies before it now: the time of day may step
   * meanwhile, in either direction, and a timer may fire a moment early. Returns how to cancel that.
   */
  #whenOver(at: number, action: () => void): () => void {
    const clock = this.#clock;
    const latest = clock.monotonic() + at - clock.now();
    let cancel: () => void = () => undefined;
    const arm = (): void => {
      const left = Math.min(at - clock.now(), latest - clock.monotonic());
      cancel = clock.schedule(Math.min(left, LOOK_AGAIN_MS), () => {
        if (clock.now() >= at || clock.monotonic() >= latest) action();
        else arm();
      });
    };
    arm();
    return () => {
      cancel();
    };
  }

  /** Ends all that goes on in the background. Calls that wait for keys are refused. */
  async close(): Promise<void> {
    this.#keys.close();
    this.#standing?.close();
    await this.#source?.close();
  }

  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Steps 3 and 4: form, signature and claims. */
  async #verify(token: string, fingerprint: string): Promise<VerifiedToken | Refusal> {
    const jws = takeApart(token, this.#plainJwt);
    if (jws instanceof Refusal) return jws;
    const found = this.#keys.find(jws.kid);
    const key = found instanceof Promise ? await found : found;
    if (key instanceof Refusal) return key;
    if (key === undefined) return tokenInvalid("its key is unknown");
    if (jws.alg !== key.alg) return tokenInvalid("its algorithm is not the one of its key");
    try {
      await compactVerify(token, key.key, { algorithms: [key.alg] });
    } catch (error) {
      // How a forgery failed is nobody's business.
      if (error instanceof errors.JOSEError) return tokenInvalid("its signature does not verify");
      throw error;
    }
    return this.#read(jws, key, fingerprint);
  }

  #read(jws: Jws, key: VerifiedToken["key"], fingerprint: string): VerifiedToken | Refusal {
    const claims = readClaims(jws.payload, this.#issuer);
    if (claims instanceof Refusal) return claims;
    if (jws.isPlainJwt && (claims.aud.length !== 1 || claims.aud[0] !== this.audience || claims.clientId === this.audience)) {
      return tokenInvalid("its `typ` is not `at+jwt`");
    }
    const verified: VerifiedToken = { claims, caller: new Caller(claims), key };
    // What lets nobody in pushes out nothing that does.
    if (this.#untimely(verified) === undefined) this.#cache.put(fingerprint, verified);
    return verified;
  }

  /** Steps 5 to 8, of a token that is genuine. */
  #admit(token: string, verified: VerifiedToken, rule: Rule, audience: string): Admitted | Refusal | Promise<Admitted | Refusal> {
    const { claims, caller } = verified;
    if (!claims.aud.includes(audience)) return tokenInvalid("it is meant for another audience");
    const refusal = this.#untimely(verified) ?? this.#standing?.refusal(claims);
    if (refusal !== undefined) return refusal;
    const missing = judge(rule, claims, caller, audience);
    if (missing === undefined) return { caller, token: verified, audience };
    if (missing !== ASK) return missing;
    return askRoles(this.#introspector, token, rule, claims).then((asked) => {
      if (asked instanceof Refusal) return asked;
      // Something may have been told meanwhile.
      return this.#untimely(verified) ?? this.#standing?.refusal(claims) ?? { caller: asked, token: verified, audience };
    });
  }

  #untimely({ claims }: VerifiedToken): Refusal | undefined {
    const now = this.#clock.now() / 1000;
    // "on or after which the JWT MUST NOT be accepted" (RFC 7519 section 4.1.4)
    if (now >= claims.exp + this.#leeway) return tokenExpired();
    const validFrom = Math.max(claims.nbf ?? claims.iat, claims.iat);
    return now < validFrom - this.#leeway ? tokenInvalid("it is not valid yet") : undefined;
  }
}
