/** Owns the connections to Signet: one address after the other, so that calls go on while a replica is away. */
import { create, type DescMethod, type MessageInitShape, type MessageShape, type DescMessage } from "@bufbuild/protobuf";
import { Client, Metadata, credentials, status, type ChannelCredentials, type ClientReadableStream } from "@grpc/grpc-js";

import { methodDefinition } from "../grpc/protobuf_es.js";
import { refusalOf } from "../grpc/status.js";
import { ConfigurationError } from "../keys/http.js";
import { Refusal, unavailable } from "../refusal.js";
import { isSecure, requireProtected } from "./plaintext.js";
import { isLoopback } from "./target.js";

/** Where Signet is. */
export interface SignetOptions {
  /** Its gRPC addresses, `host:port`: each a replica, or one for all. The next is asked when one fails. */
  readonly addresses: string | readonly string[];
  /** How it is reached: for mutual TLS with the client's certificate. By default plaintext to loopback addresses, and else TLS. */
  readonly credentials?: ChannelCredentials | undefined;
  /** Why it may be reached in plaintext though it is elsewhere, such as `the sidecar encrypts`. */
  readonly allowPlaintext?: string | undefined;
}

/** For how long one address may leave a call unanswered, in milliseconds. */
const ATTEMPT_MS = 5_000;

/** Connections that failed are made anew after at most this time: calls must not fail for minutes once a replica is back. */
const CHANNEL_OPTIONS = {
  "grpc.initial_reconnect_backoff_ms": 250,
  "grpc.max_reconnect_backoff_ms": 2_000,
  // Whoever answers for the name (a TXT record) must not have an assertion or a refresh token sent twice.
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_retries": 0,
};

/** The codes after which another replica may answer. */
const NEXT_ADDRESS: readonly number[] = [status.UNAVAILABLE, status.DEADLINE_EXCEEDED];

/** Connections to Signet. One can serve many token sources; connections are opened when they are needed. */
export class SignetChannel {
  readonly #addresses: readonly string[];
  readonly #credentials: ChannelCredentials;
  readonly #clients = new Map<string, Client>();
  #current = 0;
  #isClosed = false;

  /** @throws ConfigurationError if there is no address, or plaintext would leave this machine without a reason. */
  constructor(options: SignetOptions) {
    const { addresses, allowPlaintext } = options;
    this.#addresses = (typeof addresses === "string" ? addresses.split(",") : addresses).map((address) => address.trim());
    if (this.#addresses.length === 0 || this.#addresses.includes("")) throw new ConfigurationError("an address of Signet is needed");
    const isHere = this.#addresses.every(isLoopback);
    const plaintext = isHere || allowPlaintext !== undefined;
    this.#credentials = options.credentials ?? (plaintext ? credentials.createInsecure() : credentials.createSsl());
    for (const target of this.#addresses) {
      requireProtected({ target, secure: isSecure(this.#credentials), allowPlaintext });
    }
  }

  /** How many addresses there are. */
  get size(): number {
    return this.#addresses.length;
  }

  /**
   * Calls a unary method at one address after the other, the one first that answered last, until one answers or `deadline`
   * (milliseconds since 1970) has passed. A `request` that is a function is made anew for each: what is good once, such as an assertion,
   * the address before may have taken.
   *
   * @throws Refusal; and what `request` throws.
   */
  async unary<M extends DescMethod & { methodKind: "unary" }>(
    method: M,
    request: MessageInitShape<M["input"]> | (() => Promise<MessageInitShape<M["input"]>>),
    options: { token?: string | undefined; deadline?: number | undefined } = {},
  ): Promise<MessageShape<M["output"]>> {
    let refusal = unavailable("Signet cannot be reached");
    for (let nth = 0; nth < this.#addresses.length; nth++) {
      const client = this.#client(this.#current);
      const said = typeof request === "function" ? await request() : request;
      try {
        return await unaryAt(client, method, create(method.input, said as MessageInitShape<DescMessage>), options);
      } catch (error) {
        refusal = refusalOf(error) ?? unavailable("Signet cannot be reached", error);
        if (!NEXT_ADDRESS.includes(refusal.code)) throw refusal;
        this.next();
      }
    }
    throw refusal;
  }

  /** Opens a stream of a server-streaming method at the address that answered last. */
  stream<M extends DescMethod & { methodKind: "server_streaming" }>(
    method: M,
    request: MessageInitShape<M["input"]>,
    token: string,
  ): ClientReadableStream<MessageShape<M["output"]>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const message = create(method.input, request as MessageInitShape<DescMessage>);
    const client = this.#client(this.#current);
    const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, message, bearer(token), {});
    return stream as ClientReadableStream<MessageShape<M["output"]>>;
  }

  /** Goes on at the next address. */
  next(): void {
    this.#current = (this.#current + 1) % this.#addresses.length;
  }

  /** Closes the connections. */
  close(): void {
    this.#isClosed = true;
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  #client(nth: number): Client {
    if (this.#isClosed) throw unavailable("the connections to Signet are closed");
    const address = this.#addresses[nth] ?? "";
    let client = this.#clients.get(address);
    if (client === undefined) {
      const proxy = isSecure(this.#credentials) ? {} : { "grpc.enable_http_proxy": 0 };
      client = new Client(address, this.#credentials, { ...CHANNEL_OPTIONS, ...proxy });
      this.#clients.set(address, client);
    }
    return client;
  }
}

function unaryAt<M extends DescMethod>(
  client: Client,
  method: M,
  request: object,
  options: { token?: string | undefined; deadline?: number | undefined },
): Promise<MessageShape<M["output"]>> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  // grpc-js counts its deadlines by the machine's clock, whichever clock the SDK has.
  const latest = new Date().getTime() + ATTEMPT_MS;
  const deadline = Math.min(latest, options.deadline ?? Infinity);
  const metadata = options.token === undefined ? new Metadata() : bearer(options.token);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, { deadline }, (error, response) => {
      if (error !== null) reject(error);
      else if (response === undefined) reject(new Refusal(status.INTERNAL, "", "Signet answered nothing"));
      else resolve(response as MessageShape<M["output"]>);
    });
  });
}

function bearer(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}
