/** Owns an issuer's keys: fetched in the background, fetched at once for a key that is not known, and kept when the issuer is away. */
import type { Clock } from "../clock.js";
import { tell, type ServerHooks } from "../hooks.js";
import { unavailable, unreachable, type Refusal } from "../refusal.js";
import type { KeySource } from "./http.js";
import { readKeySet, type KeySet, type VerifyingKey } from "./jwk_set.js";

/** When keys are fetched; times in milliseconds. */
export interface FetchSettings {
  /** What lies at least between the beginnings of two fetches that tokens of unknown keys ask for. */
  readonly minPauseMs: number;
  /** How long a fetch may take. */
  readonly timeoutMs: number;
}

/** The times of the SDK. */
export const FETCH_SETTINGS: FetchSettings = { minPauseMs: 5_000, timeoutMs: 5_000 };

/** How many calls may wait for keys at once. */
const MAX_WAITING = 1_000;
/** How many ids of unknown keys are remembered. */
const MAX_SIGHTINGS = 1_024;
/** For how long keys count whose issuer cannot be asked. */
const MAX_STALENESS_MS = 24 * 3_600_000;
/** For how long keys are kept whose issuer does not say. */
const DEFAULT_MAX_AGE_MS = 300_000;
const MIN_INTERVAL_MS = 30_000;
const MAX_INTERVAL_MS = 3_600_000;
/** What is waited after a failure: doubled with each further one, up to a minute. */
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

/** A call that waits for the end of a fetch. */
interface Waiter {
  /** How many fetches had begun before the one that it needs. */
  readonly since: number;
  /** Looks at what is known now; true if it waits no longer. */
  look(): boolean;
}

/** The keys that an issuer publishes. Fetches are counted from 1, and one goes on at a time. */
export class IssuerKeys {
  readonly #source: KeySource;
  readonly #clock: Clock;
  readonly #hooks: ServerHooks;
  readonly #settings: FetchSettings;
  /** After how many fetches each unknown key was first named, the oldest first. */
  readonly #sightings = new Map<string, number>();
  readonly #waiters = new Set<Waiter>();
  #begun = 0;
  #ended = 0;
  #succeeded = 0;
  #latestBegan = -Infinity;
  #failures = 0;
  #failure: unknown;
  #keys: KeySet = new Map();
  #confirmedAt = -Infinity;
  #wanted = 0;
  #isClosed = false;
  /** Ends what the loop waits for, be it time or the issuer: no signal that lives on, since AbortSignal.any leaves an entry at it. */
  #wake: (() => void) | undefined;
  #giveUp: (() => void) | undefined;

  constructor(source: KeySource, clock: Clock, hooks: ServerHooks, settings: FetchSettings = FETCH_SETTINGS) {
    this.#source = source;
    this.#clock = clock;
    this.#hooks = hooks;
    this.#settings = settings;
    void this.#keepFresh();
  }

  /** Resolves when keys are known; rejects when this is closed. */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): boolean => {
        if (this.#isClosed) reject(unavailable("the verifier is closed"));
        else if (this.#current() !== undefined) resolve();
        else return false;
        return true;
      };
      if (!look()) this.#waiters.add({ since: Infinity, look });
    });
  }

  /** Whether `key` is one of those in force. */
  isInForce(key: VerifyingKey): boolean {
    return this.#current()?.get(key.kid) === key;
  }

  /**
   * The key `kid`; at once if it is known, and else after a fetch. Undefined if the issuer has none of that id.
   *
   * A refusal (UNAVAILABLE) if that cannot be told.
   */
  find(kid: string): VerifyingKey | undefined | Refusal | Promise<VerifyingKey | undefined | Refusal> {
    const keys = this.#current();
    const key = keys?.get(kid);
    if (key !== undefined) return key;
    const since = keys === undefined ? this.#begun - (this.#isFetching() ? 1 : 0) : this.#decidedAfter(kid);
    if (since === undefined) return undefined;
    if (this.#waiters.size >= MAX_WAITING) return unreachable("token issuer", new Error("too many calls wait for its keys"));
    if (keys !== undefined) this.#remember(kid, since);
    return this.#wait(since, kid);
  }

  /** Fetches the keys at once: they have changed. A fetch that goes on may have come too early, and is followed by another. */
  refresh(): void {
    this.#latestBegan = -Infinity;
    this.#wanted = Math.max(this.#wanted, this.#begun + 1);
    this.#wake?.();
  }

  /** Ends all fetching; calls that wait are refused. */
  close(): void {
    this.#isClosed = true;
    this.#wake?.();
    this.#giveUp?.();
    this.#look();
  }

  #current(): KeySet | undefined {
    return this.#clock.monotonic() - this.#confirmedAt <= MAX_STALENESS_MS ? this.#keys : undefined;
  }

  #isFetching(): boolean {
    return this.#begun > this.#ended;
  }

  #isPausing(): boolean {
    return !this.#isFetching() && this.#clock.monotonic() - this.#latestBegan < this.#settings.minPauseMs;
  }

  /** After how many fetches the next one decides on `kid`; undefined if that is decided, and is not to be asked again yet. */
  #decidedAfter(kid: string): number | undefined {
    const first = this.#sightings.get(kid);
    if (first === undefined) return this.#begun;
    if (this.#succeeded > first) {
      // A fetch that began later did not find it.
      if (this.#isFetching()) return this.#begun - 1;
      return this.#isPausing() ? undefined : this.#begun;
    }
    return this.#ended <= first ? first : this.#begun;
  }

  #remember(kid: string, since: number): void {
    this.#sightings.delete(kid);
    this.#sightings.set(kid, since);
    const [oldest] = this.#sightings.keys();
    // More ids than that are made up, and then it does not matter which are forgotten.
    if (this.#sightings.size > MAX_SIGHTINGS && oldest !== undefined) this.#sightings.delete(oldest);
  }

  #wait(since: number, kid: string): Promise<VerifyingKey | undefined | Refusal> {
    return new Promise((resolve) => {
      const look = (): boolean => {
        const key = this.#current()?.get(kid);
        if (key !== undefined) resolve(key);
        else if (this.#isClosed) resolve(unavailable("the verifier is closed"));
        else if (this.#succeeded > since) resolve(undefined);
        else if (this.#failure !== undefined && (this.#ended > since || this.#isPausing())) {
          // Whom an answer is owed to need not wait for another try when the last one has just failed.
          resolve(unreachable("token issuer", this.#failure));
        } else return false;
        return true;
      };
      if (look()) return;
      this.#waiters.add({ since, look });
      this.#want(since + 1);
    });
  }

  #look(): void {
    for (const waiter of this.#waiters) if (waiter.look()) this.#waiters.delete(waiter);
  }

  /** Has the next fetch begin as soon as it may. Where that is so already, a flood of unknown keys costs nothing more. */
  #want(fetch: number): void {
    if (fetch <= this.#wanted) return;
    this.#wanted = fetch;
    this.#wake?.();
  }

  async #keepFresh(): Promise<void> {
    while (!this.#isClosed) {
      const due = this.#clock.monotonic() + (await this.#attempt());
      this.#look();
      await this.#untilDue(due);
    }
  }

  /** Waits until `due`, or until a call wants a fetch and one may begin. */
  async #untilDue(due: number): Promise<void> {
    while (!this.#isClosed) {
      const wanted = this.#wanted > this.#begun;
      const at = wanted ? Math.min(due, this.#latestBegan + this.#settings.minPauseMs) : due;
      const left = at - this.#clock.monotonic();
      if (left <= 0) return;
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.schedule(left, resolve);
        this.#wake = () => {
          cancel();
          resolve();
        };
      });
      this.#wake = undefined;
    }
  }

  /** Fetches once; says in how many milliseconds the next fetch is due. */
  async #attempt(): Promise<number> {
    this.#begun += 1;
    const began = this.#clock.monotonic();
    this.#latestBegan = began;
    try {
      const { keys, maxAgeMs } = await this.#fetch();
      this.#keys = keys;
      this.#confirmedAt = began;
      this.#ended = this.#succeeded = this.#begun;
      this.#failure = undefined;
      this.#failures = 0;
      tell(() => this.#hooks.keysFetched?.(true));
      const allowed = Math.min(maxAgeMs ?? DEFAULT_MAX_AGE_MS, MAX_INTERVAL_MS);
      return Math.max(allowed * (0.8 + 0.2 * this.#clock.random()), MIN_INTERVAL_MS);
    } catch (error) {
      this.#ended = this.#begun;
      this.#failure = error;
      if (!this.#isClosed) tell(() => this.#hooks.keysFetched?.(false, error));
      const doubled = Math.min(FIRST_RETRY_MS * 2 ** Math.min(this.#failures, 10), LAST_RETRY_MS);
      this.#failures += 1;
      return doubled * (0.5 + 0.5 * this.#clock.random());
    }
  }

  async #fetch(): Promise<{ keys: KeySet; maxAgeMs: number | undefined }> {
    const ended = new AbortController();
    const { signal } = ended;
    this.#giveUp = () => {
      ended.abort(unavailable("the verifier is closed"));
    };
    const cancel = this.#clock.schedule(this.#settings.timeoutMs, () => {
      ended.abort(new Error("the issuer did not answer in time"));
    });
    try {
      const aborted = new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => {
          reject(signal.reason as Error);
        });
      });
      const { document, maxAgeSeconds } = await Promise.race([this.#source.fetch(signal), aborted]);
      const keys = await readKeySet(document, this.#keys);
      return { keys, maxAgeMs: maxAgeSeconds === undefined ? undefined : maxAgeSeconds * 1000 };
    } finally {
      this.#giveUp = undefined;
      cancel();
    }
  }
}
