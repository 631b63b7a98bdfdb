/** Owns how a token is asked for: a client's own credentials, or a user's refresh token. */
import { randomUUID, type KeyObject } from "node:crypto";

import type { MessageInitShape } from "@bufbuild/protobuf";
import { SignJWT, type CryptoKey, type JWK } from "jose";

import type { IssueTokenRequestSchema, IssueTokenResponse } from "../gen/identity/v1/identity_service_pb.js";
import { ConfigurationError } from "../keys/http.js";
import { unavailable } from "../refusal.js";

/** A request of a token, as far as a grant makes it. */
export type GrantRequest = Pick<MessageInitShape<typeof IssueTokenRequestSchema> & object, "grant" | "client">;

/** An answer, as far as it is looked at: the access token, the seconds that it lives, and the next refresh token. */
export type IssuedToken = Pick<IssueTokenResponse, "accessToken" | "expiresIn" | "refreshToken">;

/** How a token is asked for. */
export interface Grant {
  /**
   * Is told that a source is made of it.
   *
   * @throws ConfigurationError if another one is already, and there may be but one.
   */
  taken?(): void;
  /** The request to one address at `nowMs`, milliseconds since 1970. */
  request(nowMs: number): Promise<GrantRequest>;
  /**
   * Takes up an answer before its access token is used. If this rejects, the token is not used; and if there is a refresh token, the next
   * attempt calls this again with the same answer, and does not ask Signet.
   */
  issued(response: IssuedToken): Promise<void>;
}

/** A client by its secret. */
export interface SecretCredentials {
  /** The client's id, as `signet clients create` has told it. */
  readonly clientId: string;
  /** Its secret. */
  readonly clientSecret: string;
}

/** A client by its private key (`private_key_jwt`, RFC 7523). */
export interface PrivateKeyCredentials {
  /** The client's id. */
  readonly clientId: string;
  /** The private key, which is registered with the client by its public part. */
  readonly privateKey: KeyObject | CryptoKey | JWK;
  /** The key's algorithm. */
  readonly alg: "ES256" | "EdDSA" | "RS256";
  /** The key's id, if it is registered with one. */
  readonly keyId?: string | undefined;
  /** The issuer, as its tokens name it: whom the assertion is for. */
  readonly issuer: string;
}

/** A client by the certificate of its connection to Signet (mutual TLS). */
export interface CertificateCredentials {
  /** The client's id. */
  readonly clientId: string;
}

/** How a client proves who it is. */
export type ClientCredentials = SecretCredentials | PrivateKeyCredentials | CertificateCredentials;

/** For how long an assertion is good, in seconds. */
const ASSERTION_SECONDS = 60;

/** A client gets tokens in its own name (RFC 6749 section 4.4): by a secret, a private key, or the certificate of its channel to Signet. */
export function clientCredentials(client: ClientCredentials): Grant {
  if (client.clientId === "") throw new ConfigurationError("the client needs its id");
  return {
    request: async (nowMs) => ({
      grant: { case: "clientCredentials", value: {} },
      client: await authentication(client, nowMs),
    }),
    issued: () => Promise.resolve(),
  };
}

/** A user's session at an application. */
export interface RefreshTokenOptions {
  /** The newest refresh token: one source in one process alone may use it. */
  readonly refreshToken: string;
  /** The client that the user logged in with. Unset: the built-in client. */
  readonly client?: ClientCredentials | undefined;
  /**
   * Keeps the next refresh token, durably, before the access token that came with it is used. If it rejects, that access token is not
   * used, and this is called again later with the same refresh token: until it succeeds, Signet is not asked.
   */
  readonly store: (refreshToken: string) => Promise<void>;
}

/** An application gets tokens for a user who has logged in, by a refresh token (RFC 6749 section 6). It serves one token source. */
export function refreshToken(options: RefreshTokenOptions): Grant {
  let current = options.refreshToken;
  let isTaken = false;
  return {
    taken: () => {
      if (isTaken) throw new ConfigurationError("the refresh token has a token source: two that exchange it end the user's session");
      isTaken = true;
    },
    request: async (nowMs) => ({
      grant: { case: "refreshToken", value: { refreshToken: current } },
      ...(options.client === undefined ? {} : { client: await authentication(options.client, nowMs) }),
    }),
    issued: async (response) => {
      const next = response.refreshToken;
      if (next === undefined || next === "") throw unavailable("Signet answered without the next refresh token");
      await options.store(next);
      current = next;
    },
  };
}

async function authentication(client: ClientCredentials, nowMs: number): Promise<NonNullable<GrantRequest["client"]>> {
  const { clientId } = client;
  if ("clientSecret" in client) return { clientId, credential: { case: "clientSecret", value: client.clientSecret } };
  if ("privateKey" in client) return { clientId, credential: { case: "clientAssertion", value: await assertion(client, nowMs) } };
  return { clientId };
}

function assertion(client: PrivateKeyCredentials, nowMs: number): Promise<string> {
  const { clientId, alg, keyId, privateKey } = client;
  const now = Math.floor(nowMs / 1000);
  return new SignJWT({ iss: clientId, sub: clientId, aud: client.issuer, iat: now, exp: now + ASSERTION_SECONDS, jti: randomUUID() })
    .setProtectedHeader({ alg, typ: "client-authentication+jwt", ...(keyId === undefined ? {} : { kid: keyId }) })
    .sign(privateKey);
}
