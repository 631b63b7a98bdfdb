/** Owns a clock that is turned by hand. */
import type { Clock } from "../clock.js";

/** An action that waits for its time. */
interface Timer {
  readonly at: number;
  readonly action: () => void;
}

/** A clock that stands still until it is turned. */
export class ManualClock implements Clock {
  readonly #timers = new Set<Timer>();
  readonly #random: () => number;
  readonly #start: number;
  #elapsed = 0;
  #steps = 0;

  /** It begins at `seconds` since 1970-01-01T00:00:00Z; `random` gives its random numbers, 0.5 by default. */
  constructor(seconds = 1_800_000_000, random: () => number = () => 0.5) {
    this.#start = seconds * 1000;
    this.#random = random;
  }

  now(): number {
    return this.#start + this.#steps + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  random(): number {
    return this.#random();
  }

  schedule(ms: number, action: () => void): () => void {
    const timer = { at: this.#elapsed + Math.max(ms, 0), action };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** How many actions wait for their time. */
  get waiting(): number {
    return this.#timers.size;
  }

  /** Steps the time of day by `seconds`, as when a machine wakes or is told the right time: nothing that waits is due sooner. */
  step(seconds: number): void {
    this.#steps += seconds * 1000;
  }

  /** Turns the clock on by `seconds`, with all that is due meanwhile, in its order; resolves when that has run. */
  async turn(seconds: number): Promise<void> {
    const end = this.#elapsed + seconds * 1000;
    await settled();
    for (;;) {
      const due = this.#next(end);
      if (due === undefined) break;
      this.#elapsed = Math.max(this.#elapsed, due.at);
      this.#timers.delete(due);
      due.action();
      await settled();
    }
    this.#elapsed = end;
    await settled();
  }

  #next(end: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at <= end && (next === undefined || timer.at < next.at)) next = timer;
    }
    return next;
  }
}

/** Resolves when what waits for nothing but its turn has run. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    // eslint-disable-next-line no-restricted-globals -- it waits for a turn of the event loop, and for no time
    setImmediate(resolve);
  });
}
