/** Owns asking an issuer for its keys over HTTP: each answer bounded in size and time, no redirect followed, no way from https to http. */
import { jsonObject } from "../verify/jws.js";

/** An answer with keys. */
export interface FetchedKeys {
  /** The JWK Set, as bytes. */
  readonly document: Uint8Array;
  /** For how many seconds it may be kept, if that is said. */
  readonly maxAgeSeconds?: number | undefined;
}

/** Where keys come from: an issuer over HTTP, or what stands in for one. */
export interface KeySource {
  /** Asks once. Rejects if there is no answer. */
  fetch(signal: AbortSignal): Promise<FetchedKeys>;
}

/** A setting breaks its rule. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}

/** The largest answer, in bytes. */
const ANSWER_MAX_BYTES = 1024 * 1024;

/** The parts of a path that can be read in one way. */
const SEGMENT = /^[A-Za-z0-9_~-][A-Za-z0-9._~-]*$/;

/** The keys of `issuer`, at `jwksUri` or where its metadata say (RFC 8414; OpenID Connect Discovery 1.0). */
export class HttpKeySource implements KeySource {
  readonly #issuer: string;
  readonly #isHttps: boolean;
  readonly #given: string | undefined;
  #discovered: string | undefined;

  /** @throws ConfigurationError if the issuer or the `jwksUri` is no http or https URL that can be read in one way. */
  constructor(issuer: string, jwksUri?: string) {
    const url = webAddress(issuer);
    const path = url?.pathname.replace(/\/+$/, "") ?? "";
    if (url === undefined || !path.split("/").slice(1).every((segment) => SEGMENT.test(segment)) || /\/\/.*\/\/|\/\.\.?(\/|$)/.test(issuer)) {
      throw new ConfigurationError("the issuer must be an http or https URL with a plain path, without query or fragment (RFC 8414)");
    }
    const keys = jwksUri === undefined ? undefined : webAddress(jwksUri);
    if (jwksUri !== undefined && keys === undefined) throw new ConfigurationError("the JWKS URI must be an http or https URL");
    this.#issuer = issuer;
    this.#isHttps = url.protocol === "https:";
    this.#given = keys?.href;
  }

  async fetch(signal: AbortSignal): Promise<FetchedKeys> {
    const address = this.#given ?? (this.#discovered ??= await this.#discover(signal));
    try {
      return await get(address, signal);
    } catch (error) {
      // It may have moved.
      this.#discovered = undefined;
      throw error;
    }
  }

  async #discover(signal: AbortSignal): Promise<string> {
    let problem: unknown;
    for (const address of metadataAddresses(this.#issuer)) {
      let document: Uint8Array;
      try {
        ({ document } = await get(address, signal));
      } catch (error) {
        problem = error;
        continue;
      }
      return this.#jwksAddress(document);
    }
    throw problem;
  }

  /** Where the keys are, as the metadata in `document` say: of this very issuer (RFC 8414 section 3.3). */
  #jwksAddress(document: Uint8Array): string {
    const metadata = jsonObject(document);
    if (metadata?.["issuer"] !== this.#issuer) throw new Error("the metadata are of another issuer");
    const keys = typeof metadata["jwks_uri"] === "string" ? webAddress(metadata["jwks_uri"]) : undefined;
    if (keys === undefined) throw new Error("the issuer's metadata have no `jwks_uri` that is an http or https URL");
    if (this.#isHttps && keys.protocol !== "https:") throw new Error("the issuer's `jwks_uri` is not https, though the issuer is");
    return keys.href;
  }
}

/** Where the metadata of `issuer` may be: RFC 8414 section 3.1 puts its path behind the well-known one, OpenID Connect before it. */
export function metadataAddresses(issuer: string): [string, string] {
  const url = new URL(issuer);
  const path = url.pathname.replace(/\/+$/, "");
  return [
    `${url.origin}/.well-known/oauth-authorization-server${path}`,
    `${url.origin}${path}/.well-known/openid-configuration`,
  ];
}

/** The http or https URL `text`, without credentials, query and fragment. */
function webAddress(text: string): URL | undefined {
  if (!URL.canParse(text) || /[?#@\s\\]/.test(text) || !/^https?:\/\//i.test(text)) return undefined;
  return new URL(text);
}

async function get(address: string, signal: AbortSignal): Promise<FetchedKeys> {
  // What a cache on the way has kept is as old as what is known here.
  const headers = { accept: "application/json, application/jwk-set+json", "cache-control": "no-cache" };
  const answer = await fetch(address, { headers, redirect: "manual", signal });
  if (answer.status !== 200) {
    await answer.body?.cancel();
    throw new Error(`${address} answered ${answer.status}`);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > ANSWER_MAX_BYTES) throw new Error(`${address} answered more than ${ANSWER_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return { document: Buffer.concat(chunks), maxAgeSeconds: maxAge(answer.headers) };
}

/** For how many seconds an answer with these headers is fresh (RFC 9111 section 4.2.1), if they say. */
export function maxAge(headers: Headers): number | undefined {
  for (const directive of (headers.get("cache-control") ?? "").toLowerCase().split(",")) {
    const name = directive.trim();
    if (name === "no-store" || name === "no-cache") return 0;
    const seconds = /^max-age="?(\d{1,10})"?$/.exec(name)?.[1];
    if (seconds === undefined) continue;
    const age = /^\d{1,10}$/.exec(headers.get("age")?.trim() ?? "")?.[0] ?? "0";
    return Math.max(0, Number(seconds) - Number(age));
  }
  return undefined;
}
