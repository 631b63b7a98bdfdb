/** Owns something that issues tokens as Signet does, by a script. */
import { randomUUID } from "node:crypto";

import type { IssuedToken } from "../../src/client/grants.js";
import type { TokenIssuer } from "../../src/client/token_source.js";

/** An issuer that answers what it is told to, and remembers what it was asked. */
export class ScriptedIssuer implements TokenIssuer {
  readonly asked: Parameters<TokenIssuer["issueToken"]>[0][] = [];
  /** Answers the next request; a new token of 900 seconds if nothing else is said. */
  answer: () => Promise<IssuedToken> = () => Promise.resolve(issued());

  issueToken(request: Parameters<TokenIssuer["issueToken"]>[0]): Promise<IssuedToken> {
    this.asked.push(request);
    return this.answer();
  }
}

/** An answer with a new token. */
export function issued(more: Partial<IssuedToken> = {}): IssuedToken {
  return { accessToken: `token-${randomUUID()}`, expiresIn: 900, ...more };
}

/** A promise, and how to fulfil it. */
export function pending<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((resolve_, reject_) => {
    resolve = resolve_;
    reject = reject_;
  });
  return { promise, resolve, reject };
}
