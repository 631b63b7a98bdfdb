/** Owns what was revoked, as Signet has told it, and asking it of a token (docs/EVENTS.md, "Which tokens are revoked"). */
import type { Timestamp } from "@bufbuild/protobuf/wkt";

import type { Clock } from "../clock.js";
import type { Changes, Snapshot, WatchResponse } from "../gen/identity/events/v1/event_service_pb.js";
import type { Claims } from "../verify/claims.js";

/**
 * What the stream has ended for, and until when: a time in whole seconds (`Infinity` if none was said), and when it was told, in
 * milliseconds of the monotonic clock.
 */
interface Entry {
  readonly seconds: number;
  readonly toldAt: number;
}

/** For how long what was told is kept until Signet has said it. */
const FIRST_KEEP_FOR_MS = 24 * 3_600_000;

/** How often what is kept no longer is dropped. */
const SWEEP_MS = 60_000;

/** The most entries that are kept: a snapshot has fewer than half of them. */
const MAX_ENTRIES = 1_000_000;

/** What a part of the stream asks of whoever follows it. */
export interface Heard {
  /** The keys are to be fetched anew. */
  readonly fetchKeys: boolean;
}

/** What was revoked. Whoever reads the stream tells it {@link Revoked.hear}, and the verifier asks it of each token. */
export class Revoked {
  readonly #clock: Clock;
  readonly #sessions = new Map<string, Entry>();
  readonly #users = new Map<string, Entry>();
  readonly #clients = new Map<string, Entry>();
  readonly #scopes = new Map<string, Entry>();
  readonly #maxEntries: number;
  /** Tokens issued before this second are all revoked. */
  #notBefore = -Infinity;
  #keepForMs = FIRST_KEEP_FOR_MS;
  #sweptAt: number;
  #heardAt = -Infinity;
  #isComplete = false;
  #version = 0;

  constructor(clock: Clock, maxEntries = MAX_ENTRIES) {
    this.#clock = clock;
    this.#sweptAt = clock.monotonic();
    this.#maxEntries = maxEntries;
  }

  /** Whether a snapshot has been complete: until then nobody knows what was revoked. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** When something was heard last, in milliseconds of the monotonic clock. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Changes with each change: what was asked at the same version has the same answer. */
  get version(): number {
    return this.#version;
  }

  /** How many entries are kept. */
  get size(): number {
    return this.#sessions.size + this.#users.size + this.#clients.size + this.#scopes.size;
  }

  /** Hears a part of the stream. */
  hear(message: WatchResponse): Heard {
    this.#heardAt = this.#clock.monotonic();
    const { part } = message;
    let fetchKeys = part.case === "resync";
    if (part.case === "snapshot") fetchKeys = this.#snapshot(part.value);
    else if (part.case === "changes") fetchKeys = this.#add(part.value);
    this.#bound();
    return { fetchKeys };
  }

  /** Whether the token that says `claims` is revoked. */
  revokes(claims: Claims): boolean {
    const { iat } = claims;
    if (iat < this.#notBefore) return true;
    if (claims.sid !== undefined && this.#sessions.has(claims.sid)) return true;
    const at = (entry: Entry | undefined): boolean => entry !== undefined && iat <= entry.seconds;
    return at(this.#users.get(claims.sub)) || at(this.#clients.get(claims.clientId)) || this.#lostScope(claims, at);
  }

  #lostScope(claims: Claims, at: (entry: Entry | undefined) => boolean): boolean {
    if (this.#scopes.size === 0) return false;
    for (const audience of claims.aud) {
      for (const scope of claims.scopes) {
        for (const subject of ["", claims.sub]) {
          for (const client of ["", claims.clientId]) {
            if (at(this.#scopes.get(scopeKey(subject, client, audience, scope)))) return true;
          }
        }
      }
    }
    return false;
  }

  #snapshot(snapshot: Snapshot): boolean {
    if (snapshot.keepFor !== undefined) {
      const keepForMs = Number(snapshot.keepFor.seconds) * 1000 + snapshot.keepFor.nanos / 1e6;
      if (keepForMs > 0) this.#keepForMs = keepForMs;
    }
    const fetchKeys = snapshot.changes !== undefined && this.#add(snapshot.changes);
    if (snapshot.tokensNotBefore !== undefined) {
      const { seconds, nanos } = snapshot.tokensNotBefore;
      // `iat` is a whole second: it is before the time exactly if it is before the next whole one.
      this.#notBefore = Math.max(this.#notBefore, Number(seconds) + (nanos > 0 ? 1 : 0));
      this.#version += 1;
    }
    if (snapshot.isLast) this.#isComplete = true;
    return fetchKeys;
  }

  #add(changes: Changes): boolean {
    const toldAt = this.#clock.monotonic();
    const put = (entries: Map<string, Entry>, key: string, seconds: number): void => {
      const latest = Math.max(seconds, entries.get(key)?.seconds ?? -Infinity);
      entries.set(key, { seconds: latest, toldAt });
    };
    for (const sid of changes.endedSessions) put(this.#sessions, sid.toLowerCase(), Infinity);
    for (const user of changes.endedUserSessions) put(this.#users, user.subject.toLowerCase(), whole(user.time));
    for (const client of changes.endedClients) put(this.#clients, client.clientId, whole(client.time));
    for (const taken of changes.takenScopes) {
      for (const scope of taken.scopes) {
        put(this.#scopes, scopeKey(taken.subject.toLowerCase(), taken.clientId, taken.audience, scope), whole(taken.time));
      }
    }
    this.#version += 1;
    return changes.keysChanged;
  }

  /** Drops what is kept long enough; and if there is too much nonetheless, all of it, and refuses every token that it may have meant. */
  #bound(): void {
    const now = this.#clock.monotonic();
    const maps = [this.#sessions, this.#users, this.#clients, this.#scopes];
    const isFull = this.size > this.#maxEntries;
    if (now - this.#sweptAt < SWEEP_MS && !isFull) return;
    this.#sweptAt = now;
    for (const entries of maps) {
      for (const [key, { toldAt }] of entries) if (now - toldAt > this.#keepForMs) entries.delete(key);
    }
    if (this.size <= this.#maxEntries) return;
    // A session's tokens may be as young as this second.
    let latest = Math.floor(this.#clock.now() / 1000);
    for (const entries of maps) {
      // An entry that said no time means tokens of any time.
      if (entries !== this.#sessions) for (const { seconds } of entries.values()) latest = Math.max(latest, seconds);
      entries.clear();
    }
    this.#notBefore = Math.max(this.#notBefore, latest + 1);
    this.#version += 1;
  }
}

/** The whole seconds of `time`: `iat` is one, and is not after the time exactly if it is not after these. Unset: whenever. */
function whole(time: Timestamp | undefined): number {
  return time === undefined ? Infinity : Number(time.seconds);
}

function scopeKey(subject: string, client: string, audience: string, scope: string): string {
  return `${subject}\n${client}\n${audience}\n${scope}`;
}
