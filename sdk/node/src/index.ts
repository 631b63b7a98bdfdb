// Whoever compiles against these types needs those of Node, whichever `types` they name: TypeScript 7 takes none by itself.
/// <reference types="node" preserve="true" />
/** The SDK of Signet for Node: protects gRPC services, and calls protected ones. */
export { Caller, currentCaller } from "./caller.js";
export { attach, callCredentials, type AttachOptions, type AttachedChannel } from "./client/attach.js";
export {
  clientCredentials,
  refreshToken,
  type CertificateCredentials,
  type ClientCredentials,
  type Grant,
  type GrantRequest,
  type IssuedToken,
  type PrivateKeyCredentials,
  type RefreshTokenOptions,
  type SecretCredentials,
} from "./client/grants.js";
export { SignetChannel, type SignetOptions } from "./client/signet_channel.js";
export { TokenSource, type TokenIssuer, type TokenSourceOptions, type TokenWait } from "./client/token_source.js";
export { systemClock, type Clock } from "./clock.js";
export { callerOf, guard, type GuardOptions } from "./grpc/guard.js";
export { createClient, serviceDefinition, type ClientCallOptions, type ClientOf, type Handlers } from "./grpc/protobuf_es.js";
export { refusalOf } from "./grpc/status.js";
export type { ClientHooks, ServerHooks } from "./hooks.js";
export { Introspection, type IntrospectionOptions } from "./introspection.js";
export { ConfigurationError, type FetchedKeys, type KeySource } from "./keys/http.js";
export type { FetchSettings } from "./keys/issuer_keys.js";
export type { Access, CallerKind, Rule } from "./policy/access.js";
export { PolicyError } from "./policy/descriptors.js";
export { Policy } from "./policy/policy.js";
export { Refusal, type Reason } from "./refusal.js";
export { Revocations, type EventStreams, type RevocationsOptions } from "./revocations/revocations.js";
export type { RevocationListener, RevocationSource } from "./revocations/source.js";
export type { Introspected, Introspector } from "./verify/judge.js";
export { Verifier, type Admitted, type CallToCheck, type VerifierOptions } from "./verify/verifier.js";
