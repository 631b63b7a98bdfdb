/** Owns the tokens that have been verified: bounded, by their SHA-256, so that no token is kept. */
import { hash } from "node:crypto";

import type { Caller } from "../caller.js";
import type { VerifyingKey } from "../keys/jwk_set.js";
import type { Claims } from "./claims.js";

/** A token whose signature has been verified, and whose claims are well formed. */
export interface VerifiedToken {
  readonly claims: Claims;
  readonly caller: Caller;
  /** Once it is no longer in force, the token is worth nothing. */
  readonly key: VerifyingKey;
}

/** The verified tokens, of which the one that was used least recently goes first. */
export class TokenCache {
  readonly #size: number;
  readonly #tokens = new Map<string, VerifiedToken>();

  constructor(size: number) {
    this.#size = size;
  }

  /** The SHA-256 of `token`. */
  static fingerprint(token: string): string {
    return hash("sha256", token, "base64");
  }

  /** What was verified under this fingerprint. */
  get(fingerprint: string): VerifiedToken | undefined {
    const token = this.#tokens.get(fingerprint);
    if (token === undefined) return undefined;
    this.#tokens.delete(fingerprint);
    this.#tokens.set(fingerprint, token);
    return token;
  }

  /** Keeps `token`. */
  put(fingerprint: string, token: VerifiedToken): void {
    if (this.#size === 0) return;
    this.#tokens.set(fingerprint, token);
    if (this.#tokens.size <= this.#size) return;
    const [oldest] = this.#tokens.keys();
    if (oldest !== undefined) this.#tokens.delete(oldest);
  }

  /** Forgets what was verified under this fingerprint. */
  drop(fingerprint: string): void {
    this.#tokens.delete(fingerprint);
  }

  /** How many are kept. */
  get size(): number {
    return this.#tokens.size;
  }
}
