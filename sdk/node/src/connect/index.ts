// Whoever compiles against these types needs those of Node, whichever `types` they name: TypeScript 7 takes none by itself.
/// <reference types="node" preserve="true" />
/** Owns the interceptors of Connect for Node (`@connectrpc/connect` v2): the guard of a server, and the tokens of a client. */
export { guard, callerKey } from "./server.js";
export { authenticate, type AuthenticateOptions } from "./client.js";
export { refusalOf, toConnectError } from "./errors.js";
