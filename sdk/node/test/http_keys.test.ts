/** Owns testing how an issuer is asked over HTTP: where its metadata are, and which answers are not believed. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";

import { ConfigurationError, HttpKeySource, maxAge, metadataAddresses } from "../src/keys/http.js";

type Answers = Record<string, (response: ServerResponse, request: IncomingMessage) => void>;

async function withServer(answers: (issuer: string) => Answers, run: (issuer: string) => Promise<void>): Promise<void> {
  const server = createServer((request, response) => {
    const answer = answers(issuer)[request.url ?? ""];
    if (answer !== undefined) answer(response, request);
    else response.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    await run(issuer);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const json = (value: unknown) => (response: ServerResponse) => {
  response.setHeader("cache-control", "max-age=300").end(JSON.stringify(value));
};
const signal = new AbortController().signal;
const fetched = async (issuer: string): Promise<string> => Buffer.from((await new HttpKeySource(issuer).fetch(signal)).document).toString();

describe("an issuer over HTTP", () => {
  test("its metadata are where both specifications put them", () => {
    assert.deepEqual(metadataAddresses("https://id.example"), [
      "https://id.example/.well-known/oauth-authorization-server",
      "https://id.example/.well-known/openid-configuration",
    ]);
    assert.deepEqual(metadataAddresses("http://id.example:8080/a/b/"), [
      "http://id.example:8080/.well-known/oauth-authorization-server/a/b",
      "http://id.example:8080/a/b/.well-known/openid-configuration",
    ]);
  });

  test("an issuer is a URL that can be read in one way", () => {
    for (const good of ["https://id.example", "http://127.0.0.1:8080", "https://id.example/a/b", "https://id.example/"]) {
      assert.ok(new HttpKeySource(good), good);
    }
    for (const bad of ["", "id.example", "ftp://id.example", "https://", "https://id.example?a", "https://id.example#a",
      "https://id.example/../a", "https://id.example//a", "https://id.example/%61", "https://user@id.example", "https://id.example\\a"]) {
      assert.throws(() => new HttpKeySource(bad), ConfigurationError, bad);
    }
  });

  test("keys are found by either metadata", async () => {
    for (const path of ["oauth-authorization-server", "openid-configuration"]) {
      const answers = (issuer: string): Answers => ({
        [`/.well-known/${path}`]: json({ issuer, jwks_uri: `${issuer}/keys` }),
        "/keys": json({ keys: [] }),
      });
      await withServer(answers, async (issuer) => {
        const { maxAgeSeconds } = await new HttpKeySource(issuer).fetch(signal);
        assert.equal(maxAgeSeconds, 300);
        assert.equal(await fetched(issuer), '{"keys":[]}');
      });
    }
  });

  test("metadata of another issuer, redirects and answers without end are not believed", async () => {
    const metadata = "/.well-known/oauth-authorization-server";
    const cases: ((issuer: string) => Answers)[] = [
      (issuer) => ({ [metadata]: json({ issuer: `${issuer}/`, jwks_uri: `${issuer}/keys` }), "/keys": json({}) }),
      (issuer) => ({ [metadata]: json({ issuer, jwks_uri: "file:///etc/passwd" }) }),
      (issuer) => ({ [metadata]: json({ issuer }) }),
      () => ({ [metadata]: json([]) }),
      (issuer) => ({
        [metadata]: json({ issuer, jwks_uri: `${issuer}/moved` }),
        "/moved": (response) => response.writeHead(302, { location: `${issuer}/keys` }).end(),
        "/keys": json({}),
      }),
      (issuer) => ({
        [metadata]: json({ issuer, jwks_uri: `${issuer}/keys` }),
        "/keys": (response) => {
          const more = (): void => {
            while (response.write("x".repeat(65_536)));
            response.once("drain", more);
          };
          more();
        },
      }),
    ];
    for (const answers of cases) await withServer(answers, async (issuer) => assert.rejects(fetched(issuer)));
  });

  test("what is said of freshness is heeded", () => {
    const told = (control: string, age?: string): number | undefined =>
      maxAge(new Headers(age === undefined ? { "cache-control": control } : { "cache-control": control, age }));
    assert.equal(told("public, max-age=300"), 300);
    assert.equal(told('Max-Age="300"', "100"), 200);
    assert.equal(told("max-age=300", "1000"), 0);
    assert.equal(told("no-cache, max-age=300"), 0);
    assert.equal(told("max-age=-1"), undefined);
    assert.equal(told("s-maxage=5"), undefined);
    assert.equal(maxAge(new Headers()), undefined);
  });
});
