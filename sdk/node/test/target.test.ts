/** Owns testing which targets are this machine by their own names: tokens go to them in plaintext. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { isLoopback, mayAttach } from "../src/client/target.js";

const HERE = [
  "localhost", "localhost:50052", "LOCALHOST:50052", "dns:localhost:50052", "dns:///localhost:50052", "127.0.0.1:50052", "127.255.0.9",
  "ipv4:127.0.0.1:50052", "ipv4:127.0.0.1:50052,127.0.0.2:50052", "[::1]:50052", "::1", "[0:0:0:0:0:0:0:1]:1", "ipv6:[::1]:50052",
  "unix:/run/stock.sock", "unix:///run/stock.sock", "dns://8.8.8.8/127.0.0.1:50052",
];

const ELSEWHERE = [
  // A resolver of somebody else's says where these lead.
  "xds:///localhost:50052", "xds://authority/127.0.0.1:50052", "dns://8.8.8.8/localhost:50052", "consul:///localhost",
  "", ":50052", "127.0.0.1.attacker.example:50052", "localhost.attacker.example:50052", "127.1:50052", "0177.0.0.1:50052", "2130706433",
  "0.0.0.0:50052", "[::]:50052", "[::ffff:10.0.0.7]:50052", "[1::1]:50052", "10.0.0.7:50052", "ipv4:127.0.0.1:50052,10.0.0.7:50052",
  "user@localhost:50052", "localhost@attacker.example:50052", "stock:50052",
];

describe("in plaintext tokens go", () => {
  const question = (target: string) => ({ target, authority: target, secure: false, allowPlaintext: false });

  for (const target of HERE) {
    test(`to ${target}`, () => {
      assert.ok(isLoopback(target));
    });
  }
  for (const target of ELSEWHERE) {
    test(`not to ${JSON.stringify(target)}`, () => {
      assert.ok(!isLoopback(target));
      assert.ok(!mayAttach({ ...question(target), peerIsLoopback: true }), "though it leads to this machine at this moment");
    });
  }

  test("not where localhost leads elsewhere, as far as that is known", () => {
    assert.ok(mayAttach(question("localhost:50052")));
    assert.ok(!mayAttach({ ...question("localhost:50052"), peerIsLoopback: false }));
  });
});
