/** Owns what is in stock, and telling who watches an item. */

/** The most of an item that there may be. */
const MOST = 1_000_000;

/** The items of a warehouse. */
export class Items {
  readonly #counts = new Map([
    ["bolt", 1000],
    ["crane", 2],
  ]);
  readonly #watchers = new Map<string, Set<(count: number) => void>>();

  /** The names, in alphabetical order. */
  names(): string[] {
    return [...this.#counts.keys()].sort();
  }

  /** How many there are of `name`; undefined if there is no such item. */
  count(name: string): number | undefined {
    return this.#counts.get(name);
  }

  /** Adds `more` (or takes, if it is negative); undefined if there would be less than none or more than a million. */
  add(name: string, more: number): number | undefined {
    const count = (this.#counts.get(name) ?? 0) + more;
    if (count < 0 || count > MOST) return undefined;
    this.#counts.set(name, count);
    for (const tell of this.#watchers.get(name) ?? []) tell(count);
    return count;
  }

  /** Tells of each change of `name`; returns how to stop that. */
  watch(name: string, tell: (count: number) => void): () => void {
    const watchers = this.#watchers.get(name) ?? new Set();
    this.#watchers.set(name, watchers.add(tell));
    return () => watchers.delete(tell);
  }
}
