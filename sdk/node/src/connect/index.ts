/** Owns the interceptors of Connect for Node (`@connectrpc/connect` v2): the guard of a server, and the tokens of a client. */
export { guard, callerKey } from "./server.js";
export { authenticate, type AuthenticateOptions } from "./client.js";
export { refusalOf, toConnectError } from "./errors.js";
