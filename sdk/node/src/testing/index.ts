// Whoever compiles against these types needs those of Node, whichever `types` they name: TypeScript 7 takes none by itself.
/// <reference types="node" preserve="true" />
/** Owns what tests of protected services need: an issuer within the process, and a clock that is turned by hand. */
export { ManualClock } from "./manual_clock.js";
export { TestIssuer, type TestIssuerOptions, type TestToken } from "./test_issuer.js";
