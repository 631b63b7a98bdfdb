/** Owns asking Signet what a token is worth at this moment (RFC 7662), for the roles of tokens that had no room for them. */
import { clientCredentials, type ClientCredentials } from "./client/grants.js";
import { SignetChannel, type SignetOptions } from "./client/signet_channel.js";
import { TokenSource } from "./client/token_source.js";
import type { Clock } from "./clock.js";
import { TokenService } from "./gen/identity/v1/token_service_pb.js";
import { Code, Refusal, unavailable } from "./refusal.js";
import type { Introspected, Introspector } from "./verify/judge.js";

/** Who asks, and where. */
export interface IntrospectionOptions extends SignetOptions {
  /** The client that asks: registered with the scope `introspect` and with Signet's own audience. */
  readonly client: ClientCredentials;
  /** The audience of Signet itself. `signet` by default. */
  readonly signetAudience?: string | undefined;
  /** The clock. The machine's by default. */
  readonly clock?: Clock | undefined;
}

/** How many questions may be open at once. */
const MAX_OPEN = 1_000;

/** Asks Signet by `TokenService.IntrospectToken`, with a token of its own. Close it after the verifier. */
export class Introspection implements Introspector {
  readonly #signet: SignetChannel;
  readonly #source: TokenSource;
  /** Questions about one token share an answer. */
  readonly #open = new Map<string, Promise<Introspected>>();

  /** @throws ConfigurationError if there is no address, or the client's secret would leave this machine in plaintext without a reason. */
  constructor(options: IntrospectionOptions) {
    this.#signet = new SignetChannel(options);
    this.#source = new TokenSource({
      signet: this.#signet,
      audience: options.signetAudience ?? "signet",
      scopes: ["introspect"],
      grant: clientCredentials(options.client),
      clock: options.clock,
    });
  }

  introspect(token: string): Promise<Introspected> {
    const open = this.#open.get(token);
    if (open !== undefined) return open;
    if (this.#open.size >= MAX_OPEN) return Promise.reject(unavailable("too many calls wait for introspection"));
    const asked = this.#ask(token).finally(() => this.#open.delete(token));
    this.#open.set(token, asked);
    return asked;
  }

  /** Closes the connections to Signet. */
  close(): void {
    this.#signet.close();
  }

  async #ask(token: string): Promise<Introspected> {
    const own = await this.#source.token();
    try {
      return await this.#signet.unary(TokenService.method.introspectToken, { token }, { token: own });
    } catch (error) {
      if (!(error instanceof Refusal) || error.code !== Code.UNAUTHENTICATED || !this.#source.drop(own)) throw error;
      return this.#signet.unary(TokenService.method.introspectToken, { token }, { token: await this.#source.token() });
    }
  }
}
