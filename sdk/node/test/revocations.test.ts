/** Owns testing how the stream of revocations is followed, and what is remembered of it. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, test } from "node:test";

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { ChangesSchema, WatchResponseSchema, type WatchResponse } from "../src/gen/identity/events/v1/event_service_pb.js";
import { Code, Refusal } from "../src/refusal.js";
import { Revocations, type EventStreams } from "../src/revocations/revocations.js";
import { Revoked } from "../src/revocations/state.js";
import { ManualClock } from "../src/testing/index.js";
import type { Claims } from "../src/verify/claims.js";

/** A stream that a test writes to. */
class Stream extends EventEmitter {
  isCancelled = false;
  cancel(): void {
    this.isCancelled = true;
  }
  say(part: WatchResponse["part"], resumeToken: Uint8Array = new Uint8Array()): void {
    this.emit("data", create(WatchResponseSchema, { part, resumeToken: Uint8Array.from(resumeToken) }));
  }
  complete(resumeToken?: Uint8Array): void {
    this.say({ case: "snapshot", value: { $typeName: "identity.events.v1.Snapshot", isLast: true } }, resumeToken);
  }
}

interface World {
  clock: ManualClock;
  opened: { stream: Stream; resumeToken: Uint8Array; token: string; address: number }[];
  states: string[];
  heard: WatchResponse[];
  begun: () => number;
  dropped: string[];
  latest: () => World["opened"][number];
  refuse: (refusal: Refusal | undefined) => void;
  revocations: Revocations;
}

async function world(size = 2): Promise<World> {
  const clock = new ManualClock();
  const opened: World["opened"] = [];
  const states: string[] = [];
  const heard: WatchResponse[] = [];
  const dropped: string[] = [];
  let address = 0;
  let begun = 0;
  let refused: Refusal | undefined;
  const streams: EventStreams = {
    size,
    open: (resumeToken, token) => {
      const stream = new Stream();
      opened.push({ stream, resumeToken, token, address });
      return stream as unknown as ReturnType<EventStreams["open"]>;
    },
    next: () => (address = (address + 1) % size),
    close: () => undefined,
  };
  const source = {
    token: () => (refused === undefined ? Promise.resolve("token") : Promise.reject(refused)),
    drop: (token: string) => dropped.push(token) > 0,
  };
  const revocations = new Revocations({ streams, source });
  revocations.start({ clock, hear: (message) => heard.push(message), begun: () => begun++, state: (state) => states.push(state) });
  await clock.turn(0);
  const latest = (): World["opened"][number] => opened.at(-1) ?? assert.fail("none was opened");
  return { clock, opened, states, heard, begun: () => begun, dropped, latest, refuse: (refusal) => (refused = refusal), revocations };
}

const failed = (code: number, reason = "", retryAfterSeconds?: number): Refusal => new Refusal(code, reason, "no", {}, { retryAfterSeconds });
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("following revocations", () => {
  test("goes on where it was, at the next address, after a random part of a second", async () => {
    const { clock, opened, states, latest, begun, revocations } = await world();
    latest().stream.complete(bytes("r1"));
    latest().stream.say({ case: "heartbeat", value: { $typeName: "identity.events.v1.Heartbeat" } }, bytes("r2"));
    latest().stream.emit("end");
    await clock.turn(0.4);
    assert.equal(opened.length, 1);
    await clock.turn(0.1);
    assert.deepEqual([opened.length, latest().address, latest().resumeToken], [2, 1, bytes("r2")]);
    assert.deepEqual(states, ["connecting", "complete", "down", "connecting"]);
    latest().stream.say({ case: "heartbeat", value: { $typeName: "identity.events.v1.Heartbeat" } });
    assert.deepEqual([states.at(-1), begun()], ["complete", 1]);
    await revocations.close();
  });

  test("forgets where it was after a resync", async () => {
    const { clock, latest, begun, revocations } = await world();
    latest().stream.complete(bytes("r1"));
    latest().stream.say({ case: "resync", value: { $typeName: "identity.events.v1.Resync" } });
    latest().stream.emit("end");
    await clock.turn(1);
    assert.equal(latest().resumeToken.length, 0);
    latest().stream.complete();
    assert.equal(begun(), 2, "its keys may be old");
    await revocations.close();
  });

  test("does not wait for a stream that is silent", async () => {
    const { clock, opened, latest, revocations } = await world();
    await clock.turn(10);
    assert.ok(opened[0]?.stream.isCancelled, "no first part for ten seconds");
    await clock.turn(0.5);
    assert.equal(opened.length, 2);
    latest().stream.complete(bytes("r"));
    await clock.turn(29);
    assert.ok(!latest().stream.isCancelled);
    await clock.turn(1);
    assert.ok(opened[1]?.stream.isCancelled, "no heartbeat for thirty");
    await clock.turn(1);
    assert.deepEqual([opened.length, latest().address], [3, 0]);
    opened[1].stream.complete();
    await revocations.close();
  });

  test("asks all addresses at once, and then waits", async () => {
    const { clock, opened, latest, revocations } = await world();
    latest().stream.emit("error", failed(Code.UNAVAILABLE));
    await clock.turn(0.5);
    assert.equal(opened.length, 2);
    latest().stream.emit("error", failed(Code.RESOURCE_EXHAUSTED, "OVERLOADED", 7));
    await clock.turn(7);
    assert.equal(opened.length, 2);
    await clock.turn(0.5);
    assert.equal(opened.length, 3);
    await revocations.close();
  });

  test("gets another token when its own has expired, and asks seldom when it is refused for good", async () => {
    const { clock, opened, latest, dropped, refuse, revocations } = await world();
    latest().stream.complete();
    latest().stream.emit("error", failed(Code.UNAUTHENTICATED, "TOKEN_EXPIRED"));
    await clock.turn(0.5);
    assert.deepEqual([dropped, opened.length, latest().address], [["token"], 2, 0]);
    latest().stream.emit("error", failed(Code.PERMISSION_DENIED, "INSUFFICIENT_SCOPE"));
    await clock.turn(30);
    assert.equal(opened.length, 2);
    refuse(failed(Code.UNAUTHENTICATED, "INVALID_CLIENT"));
    await clock.turn(30);
    assert.equal(opened.length, 2);
    refuse(undefined);
    await clock.turn(1);
    assert.equal(opened.length, 3);
    await revocations.close();
  });

  test("ends when it is closed, at whatever it waits for", async () => {
    const open = await world();
    await open.revocations.close();
    assert.ok(open.latest().stream.isCancelled);
    const paused = await world();
    paused.latest().stream.emit("end");
    await paused.clock.turn(0);
    await paused.revocations.close();
    for (const { clock } of [open, paused]) assert.equal(clock.waiting, 0);
  });
});

describe("what is remembered", () => {
  const claims = (more: Partial<Claims>): Claims =>
    ({ sub: "u", sid: "s", clientId: "c", aud: ["stock"], scopes: [], iat: 1_800_000_000, exp: 1_800_000_900, ...more }) as Claims;
  const ended = (...endedSessions: string[]): WatchResponse =>
    create(WatchResponseSchema, { part: { case: "changes", value: { $typeName: "identity.events.v1.Changes", endedSessions, endedUserSessions: [],
      endedClients: [], takenScopes: [], keysChanged: false, changedPolicies: [] } } });

  test("is dropped when no token can be meant any more", async () => {
    const clock = new ManualClock();
    const revoked = new Revoked(clock);
    revoked.hear(create(WatchResponseSchema, { part: { case: "snapshot", value: { $typeName: "identity.events.v1.Snapshot", isLast: true,
      keepFor: { $typeName: "google.protobuf.Duration", seconds: 911n, nanos: 0 } } } }));
    revoked.hear(ended("s"));
    await clock.turn(911);
    revoked.hear(ended());
    assert.ok(revoked.revokes(claims({})));
    await clock.turn(120);
    revoked.hear(ended());
    assert.deepEqual([revoked.size, revoked.revokes(claims({}))], [0, false]);
  });

  test("covers every token that it names if it says no time", () => {
    const told = (changes: MessageInitShape<typeof ChangesSchema>): Revoked => {
      const revoked = new Revoked(new ManualClock());
      revoked.hear(create(WatchResponseSchema, { part: { case: "changes", value: create(ChangesSchema, changes) } }));
      return revoked;
    };
    const late = claims({ iat: 4_000_000_000, scopes: ["stock:write"] });
    const scopes = { audience: "stock", scopes: ["stock:write"] };
    for (const changes of [
      { endedClients: [{ clientId: "c" }] }, { endedUserSessions: [{ subject: "u" }] }, { endedSessions: ["s"] },
      { takenScopes: [scopes] }, { takenScopes: [{ ...scopes, subject: "u", clientId: "c" }] },
    ]) {
      assert.ok(told(changes).revokes(late), JSON.stringify(changes));
      assert.ok(!told(changes).revokes(claims({ sub: "v", sid: "t", clientId: "d" })), "it is not named");
    }
    const both = told({ endedClients: [{ clientId: "c" }, { clientId: "c", time: { seconds: 1_700_000_000n, nanos: 0 } }] });
    assert.ok(both.revokes(late), "a time that is said later narrows nothing");
  });

  test("covers them also when there is too much of it", () => {
    const revoked = new Revoked(new ManualClock(), 10);
    const endedClients = Array.from({ length: 11 }, (_, nth) => ({ clientId: `c${nth}` }));
    revoked.hear(create(WatchResponseSchema, { part: { case: "changes", value: create(ChangesSchema, { endedClients }) } }));
    assert.deepEqual([revoked.size, revoked.revokes(claims({ clientId: "c7", iat: 4_000_000_000 }))], [0, true]);
  });

  test("is bounded, and refuses too much rather than too little", () => {
    const revoked = new Revoked(new ManualClock(), 1_000);
    for (let nth = 0; nth < 100; nth++) revoked.hear(ended(...Array.from({ length: 11 }, (_, of) => `s${nth}-${of}`)));
    assert.ok(revoked.size <= 1_011, String(revoked.size));
    assert.ok(revoked.revokes(claims({ sid: "s0-0" })));
    assert.ok(revoked.revokes(claims({ sid: "never told" })), "so is what was issued by now");
    assert.ok(!revoked.revokes(claims({ sid: "never told", iat: 1_800_000_001 })));
  });
});
