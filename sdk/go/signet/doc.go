// Package signet protects gRPC and HTTP services with the access tokens of Signet, and gets such tokens for the calls of clients.
//
// # Server half
//
// A [Verifier] verifies the tokens of one issuer for one audience. A [Policy] says who may call which method, as the option
// identity.v1.access on the methods declares it. A [Guard] puts both in front of a gRPC server:
//
//	verifier, err := signet.NewVerifier("https://id.example", "stock")
//	policy, err := signet.PolicyFromRegistry(signet.PublicService("grpc.health.v1.Health"))
//	server := grpc.NewServer(signet.NewGuard(verifier, policy).ServerOptions()...)
//
// Handlers read who calls by [CallerFrom]. A method that declares nothing is denied. [WithRevocations] follows the stream of what was
// revoked, so that a token whose session has ended is refused within a second. [Verifier.Middleware] does the same for net/http.
//
// # Client half
//
// A [TokenSource] gets tokens for one audience, keeps and renews them. Its [TokenSource.DialOptions] attach them to the channels of named
// targets, and nowhere else.
//
// # Tests
//
// The package signettest has an issuer in the process, without network, so that a service tests its authorization in milliseconds.
package signet
