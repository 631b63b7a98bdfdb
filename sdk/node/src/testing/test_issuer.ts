/** Owns an issuer within the process, for tests: keys, tokens, time, and what is revoked, without any network. */
import { randomUUID } from "node:crypto";

import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair, type CryptoKey, type JWK } from "jose";

import {
  ChangesSchema,
  EndedClientSchema,
  SnapshotSchema,
  TakenScopesSchema,
  WatchResponseSchema,
  type Changes,
} from "../gen/identity/events/v1/event_service_pb.js";
import type { KeySource } from "../keys/http.js";
import type { RevocationListener, RevocationSource } from "../revocations/source.js";
import { Verifier, type VerifierOptions } from "../verify/verifier.js";
import { ManualClock } from "./manual_clock.js";

/** What a test issuer is made of. */
export interface TestIssuerOptions {
  /** `https://issuer.invalid` by default: an address that nobody can have. */
  readonly issuer?: string | undefined;
  /** The algorithm of its key. `ES256` by default. */
  readonly alg?: "ES256" | "EdDSA" | "RS256" | undefined;
  /** Its clock, which its verifiers share. One that is turned by hand, by default. */
  readonly clock?: ManualClock | undefined;
}

/** What a token shall say. What is unset is made up. */
export interface TestToken {
  /** The id of the user or client, a UUID. A new one by default. */
  readonly sub?: string | undefined;
  /** The client that asked for it. By default a new UUID for a user, and `sub` for a client. */
  readonly clientId?: string | undefined;
  /** Whom it is meant for. */
  readonly audiences: readonly string[];
  /** None by default. */
  readonly scopes?: readonly string[] | undefined;
  /** Unset: the token says nothing of roles. */
  readonly roles?: readonly string[] | undefined;
  /** The user's session, a UUID. A new one by default. */
  readonly sessionId?: string | undefined;
  /** How many seconds it lives. 900 by default. */
  readonly lifetime?: number | undefined;
  /** Claims that replace those above; one that is undefined is left out. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
  /** Members of the header that replace `typ`, `alg` and `kid`. */
  readonly header?: Readonly<Record<string, unknown>> | undefined;
}

/** How often the stream tells that nothing has changed. */
const HEARTBEAT_MS = 10_000;

/** An issuer within the process. */
export class TestIssuer {
  /** The value of `iss` in its tokens. */
  readonly issuer: string;
  /** Its clock. Turn it: `await issuer.clock.turn(901)`. */
  readonly clock: ManualClock;
  readonly #alg: string;
  readonly #listeners = new Set<RevocationListener>();
  readonly #changes: Changes[] = [];
  #keys: { jwk: JWK; privateKey: CryptoKey }[] = [];
  #isAway = false;
  #isSilent = false;

  private constructor(options: TestIssuerOptions) {
    this.issuer = options.issuer ?? "https://issuer.invalid";
    this.clock = options.clock ?? new ManualClock();
    this.#alg = options.alg ?? "ES256";
  }

  /** An issuer with one key. */
  static async create(options: TestIssuerOptions = {}): Promise<TestIssuer> {
    const issuer = new TestIssuer(options);
    await issuer.rotate();
    return issuer;
  }

  /** Signs with a new key from now on. `forget` takes the keys of before out of the set. Verifiers learn of it as from the real one. */
  async rotate(options: { forget?: boolean } = {}): Promise<void> {
    const { publicKey, privateKey } = await generateKeyPair(this.#alg, { extractable: true });
    const jwk = await exportJWK(publicKey);
    const kid = await calculateJwkThumbprint(jwk);
    const kept = options.forget === true ? [] : this.#keys;
    this.#keys = [{ jwk: { ...jwk, kid, alg: this.#alg, use: "sig" }, privateKey }, ...kept];
  }

  /** Whether the issuer answers nobody who asks for its keys. */
  set away(isAway: boolean) {
    this.#isAway = isAway;
  }

  /** Its JWK Set, as JSON. */
  jwks(): string {
    return JSON.stringify({ keys: this.#keys.map(({ jwk }) => jwk) });
  }

  /** Where a verifier gets its keys. */
  keySource(): KeySource {
    return {
      fetch: () =>
        this.#isAway
          ? Promise.reject(new Error("the test issuer is away"))
          : Promise.resolve({ document: new TextEncoder().encode(this.jwks()), maxAgeSeconds: 300 }),
    };
  }

  /** A user's access token. */
  token(said: TestToken): Promise<string> {
    const { sub = randomUUID(), clientId = randomUUID(), sessionId = randomUUID() } = said;
    const now = Math.floor(this.clock.now() / 1000);
    return this.#sign(said, { sub, client_id: clientId, sid: sessionId, amr: ["pwd"], auth_time: now });
  }

  /** A client's own access token. */
  clientToken(said: TestToken): Promise<string> {
    const { sub = said.clientId ?? randomUUID() } = said;
    return this.#sign(said, { sub, client_id: said.clientId ?? sub });
  }

  /**
   * A verifier that trusts this issuer alone, has its clock, and follows what it revokes. Close it at the end of the test.
   */
  verifier(audience: string, options: Partial<VerifierOptions> = {}): Verifier {
    return new Verifier({
      issuer: this.issuer,
      audience,
      keySource: this.keySource(),
      fetchSettings: { minPauseMs: 0, timeoutMs: 5_000 },
      clock: this.clock,
      revocations: this.#source(),
      ...options,
    });
  }

  /** Ends a session: its tokens are revoked. */
  revokeSession(sessionId: string): void {
    this.#tell(create(ChangesSchema, { endedSessions: [sessionId] }));
  }

  /** Disables a client: what it has got up to now is revoked, and its users' tokens too. */
  revokeClient(clientId: string): void {
    this.#tell(create(ChangesSchema, { endedClients: [create(EndedClientSchema, { clientId, time: this.#time() })] }));
  }

  /** Takes scopes away at an audience: from `subject` alone, or from everybody; in tokens of `clientId` alone, or of any client. */
  takeScopes(taken: { audience: string; scopes: readonly string[]; subject?: string; clientId?: string }): void {
    const { audience, subject = "", clientId = "" } = taken;
    const message = create(TakenScopesSchema, { audience, scopes: [...taken.scopes], subject, clientId, time: this.#time() });
    this.#tell(create(ChangesSchema, { takenScopes: [message] }));
  }

  /** Whether verifiers hear nothing any more of what is revoked. Else they hear each ten seconds that nothing has changed. */
  set silent(isSilent: boolean) {
    this.#isSilent = isSilent;
  }

  async #sign(said: TestToken, identity: Record<string, unknown>): Promise<string> {
    const [key] = this.#keys;
    if (key?.jwk.kid === undefined) throw new Error("the issuer has no key");
    const now = Math.floor(this.clock.now() / 1000);
    const claims: Record<string, unknown> = {
      iss: this.issuer,
      ...identity,
      aud: said.audiences.length === 1 ? said.audiences[0] : said.audiences,
      iat: now,
      exp: now + (said.lifetime ?? 900),
      jti: randomUUID(),
      scope: (said.scopes ?? []).join(" "),
      ...(said.roles === undefined ? {} : { roles: said.roles }),
      ...said.claims,
    };
    const present = Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
    const header = { typ: "at+jwt", alg: this.#alg, kid: key.jwk.kid, ...said.header };
    return new SignJWT(present).setProtectedHeader(header).sign(key.privateKey);
  }

  #source(): RevocationSource {
    let listener: RevocationListener | undefined;
    let stop: () => void = () => undefined;
    const beat = (): void => {
      if (!this.#isSilent) listener?.hear(create(WatchResponseSchema, { part: { case: "heartbeat", value: {} } }));
      stop = this.clock.schedule(HEARTBEAT_MS, beat);
    };
    return {
      start: (told) => {
        listener = told;
        stop = this.clock.schedule(HEARTBEAT_MS, beat);
        this.#listeners.add(told);
        const snapshot = create(SnapshotSchema, { isLast: true });
        told.hear(create(WatchResponseSchema, { part: { case: "snapshot", value: snapshot } }));
        for (const changes of this.#changes) told.hear(create(WatchResponseSchema, { part: { case: "changes", value: changes } }));
      },
      close: () => {
        stop();
        if (listener !== undefined) this.#listeners.delete(listener);
        return Promise.resolve();
      },
    };
  }

  #tell(changes: Changes): void {
    this.#changes.push(changes);
    if (this.#isSilent) return;
    for (const listener of this.#listeners) listener.hear(create(WatchResponseSchema, { part: { case: "changes", value: changes } }));
  }

  #time(): ReturnType<typeof timestampFromMs> {
    return timestampFromMs(this.clock.now());
  }
}
