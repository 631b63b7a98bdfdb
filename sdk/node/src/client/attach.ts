/** Owns attaching tokens to the calls of one channel of grpc-js, and nowhere else; and calling once more when a token was refused. */
import {
  InterceptingCall,
  Metadata,
  credentials,
  status,
  type CallCredentials,
  type ChannelCredentials,
  type ClientOptions,
  type Interceptor,
} from "@grpc/grpc-js";

import { toLocalStatus } from "../grpc/status.js";
import { tell, type ClientHooks } from "../hooks.js";
import { Code, Refusal } from "../refusal.js";
import { AuthenticatedCall } from "./authenticated_call.js";
import { isSecure, requireProtected } from "./plaintext.js";
import { authorityOf, hostOf, mayAttach } from "./target.js";
import type { TokenSource } from "./token_source.js";

/** The channel that tokens are for. */
export interface AttachOptions {
  /** Its target, as a client of grpc-js takes it: `stock.example:443`, `dns:///stock:50052`. */
  readonly target: string;
  /** How it is encrypted. Unset: plaintext, to a loopback address or with `allowPlaintext`. */
  readonly credentials?: ChannelCredentials | undefined;
  /** Why a token may go in plaintext to another machine, such as `the sidecar encrypts`. */
  readonly allowPlaintext?: string | undefined;
  /** What is told to metrics. */
  readonly hooks?: ClientHooks | undefined;
}

/** What a client of grpc-js is made with. */
export interface AttachedChannel {
  /** The target, as it was given. */
  readonly target: string;
  /** How the channel is encrypted; over TLS with the call credentials. */
  readonly credentials: ChannelCredentials;
  /** The interceptor, and what keeps plaintext away from proxies. */
  readonly options: ClientOptions;
}

/**
 * The target, the credentials and the options of a client whose calls carry tokens of `source`. Keep the three together.
 *
 * A call that is for another authority or over another channel fails with FAILED_PRECONDITION, and no token leaves.
 *
 * @example
 * ```ts
 * const { target, credentials, options } = attach(source, { target: "127.0.0.1:50052" });
 * const stock = new StockServiceClient(target, credentials, options);
 * ```
 *
 * @throws ConfigurationError if the channel is plaintext, leaves this machine, and no reason is given for that.
 */
export function attach(source: TokenSource, options: AttachOptions): AttachedChannel {
  const { target, allowPlaintext, hooks = {} } = options;
  const channel = options.credentials ?? credentials.createInsecure();
  const secure = isSecure(channel);
  requireProtected({ target, secure, allowPlaintext });
  const question = { target, secure, allowPlaintext: allowPlaintext !== undefined };
  const isAllowed = (authority: string): boolean => mayAttach({ ...question, authority });
  const interceptor = authenticating({ source, target, isAllowed, isHeader: !secure, hooks });
  return {
    target,
    // grpc-js refuses call credentials on plaintext channels: there the interceptor adds the header.
    credentials: secure ? credentials.combineChannelCredentials(channel, callCredentials(source, target)) : channel,
    options: { interceptors: [interceptor], ...(secure ? {} : { "grpc.enable_http_proxy": 0 }) },
  };
}

/**
 * Call credentials of grpc-js that attach tokens of `source` to calls for the hosts of `targets`, for channels that an application
 * composes by itself, with `credentials.combineChannelCredentials`. There is no retry with these alone: {@link attach} has it.
 *
 * Never pass them as `credentials` of a single call: grpc-js sends those in plaintext, too.
 */
export function callCredentials(source: TokenSource, ...targets: readonly string[]): CallCredentials {
  const hosts = new Set(targets.map((target) => hostOf(authorityOf(target)).toLowerCase()));
  return credentials.createFromMetadataGenerator(({ service_url: url }, done) => {
    const host = hostOf(/^https:\/\/([^/]*)/.exec(url)?.[1] ?? "").toLowerCase();
    if (!hosts.has(host)) {
      done(new NotItsTarget());
      return;
    }
    source.token().then((token) => {
      const metadata = new Metadata();
      metadata.set("authorization", `Bearer ${token}`);
      done(null, metadata);
    }, done);
  });
}

/** A call for a host that the source was not made for. */
class NotItsTarget extends Error {
  readonly code = status.FAILED_PRECONDITION;
  constructor() {
    super("the token source was not made for this host");
  }
}

/** What an interceptor attaches, and where. */
export interface Attachment {
  readonly source: TokenSource;
  readonly target: string;
  readonly isAllowed: (authority: string) => boolean;
  /** Whether the interceptor adds the header; else call credentials do. */
  readonly isHeader: boolean;
  readonly hooks: ClientHooks;
}

function authenticating(attachment: Attachment): Interceptor {
  return (options, nextCall) => {
    const first = nextCall(options);
    const authority = options.host ?? authorityOf(attachment.target);
    // Before it is started a call names the target of its channel as its peer.
    if (plain(first.getPeer()) !== plain(attachment.target) || !attachment.isAllowed(authority)) {
      const refusal = new Refusal(Code.FAILED_PRECONDITION, "", "the token source was not made for the target of this call");
      return new InterceptingCall(first, {
        start: (_metadata, listener) => {
          listener.onReceiveStatus(toLocalStatus(refusal));
        },
        sendMessage: () => undefined,
        halfClose: () => undefined,
        cancel: () => undefined,
      });
    }
    const call = new AuthenticatedCall(attachment.source, options, () => nextCall(options), {
      isHeader: attachment.isHeader,
      retried: () => {
        tell(() => attachment.hooks.callRetried?.());
      },
    });
    return new InterceptingCall(first, call.requester(first));
  };
}

/** A target without the scheme that grpc-js adds, and the slashes behind it. */
function plain(target: string): string {
  return target.replace(/^dns:(?:\/\/\/)?/i, "");
}
