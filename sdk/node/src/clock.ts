/** Owns time and randomness: everything in the SDK asks a {@link Clock}, so that tests turn it by hand. */

/** What tells the time, waits, and draws random numbers. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  now(): number;
  /** Milliseconds since any moment; never goes back. */
  monotonic(): number;
  /**
   * Calls `action` once, after `ms` milliseconds.
   *
   * @returns a function that cancels it.
   */
  schedule(ms: number, action: () => void): () => void;
  /** A random number from 0 up to, but not including, 1. It spreads pauses, and is no secret. */
  random(): number;
}

/** The longest that Node's timers wait: a longer time makes them fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The machine's clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  schedule(ms, action) {
    let timer: NodeJS.Timeout;
    const arm = (left: number): void => {
      const wait = Math.min(Math.max(left, 0), LONGEST_TIMER_MS);
      timer = setTimeout(() => {
        if (left > LONGEST_TIMER_MS) arm(left - LONGEST_TIMER_MS);
        else action();
      }, wait);
      timer.unref();
    };
    arm(ms);
    return () => {
      clearTimeout(timer);
    };
  },
};

/** Resolves after `ms` milliseconds, or as soon as `signal` is aborted: it never rejects. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const end = (): void => {
      cancel();
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.schedule(ms, end);
    signal?.addEventListener("abort", end);
  });
}
