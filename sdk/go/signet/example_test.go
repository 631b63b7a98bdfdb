package signet_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// A server whose methods say in their protos who may call them.
func Example() {
	verifier, err := signet.NewVerifier("https://id.example", "stock")
	if err != nil {
		panic(err)
	}
	defer verifier.Close()
	policy, err := signet.PolicyFromRegistry(signet.PublicService("grpc.health.v1.Health"))
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer(signet.NewGuard(verifier, policy).ServerOptions()...)
	defer server.Stop()
	access, rule := policy.Access("/identity.v1.IdentityService/GetMe")
	fmt.Println(access == signet.AccessAuthenticated, rule.RequiredScopes)
	// Output: true [profile]
}

// A token whose session has ended is refused within a second.
func ExampleWithRevocations() {
	verifier, err := signet.NewVerifier("https://id.example", "stock", signet.WithRevocations(
		signet.Server{Addresses: []string{"signet-0.example:50051", "signet-1.example:50051"}}, signet.ClientSecret("client id", "secret"),
	))
	if err != nil {
		panic(err)
	}
	defer verifier.Close()
	fmt.Println(verifier.Audience())
	// Output: stock
}

// A channel whose calls carry tokens for one service.
func ExampleTokenSource_DialOptions() {
	signetAPI := signet.Server{Addresses: []string{"signet.example:50051"}}
	source, err := signet.NewTokenSource(signetAPI, signet.ClientCredentials(signet.ClientSecret("client id", "secret")), "stock")
	if err != nil {
		panic(err)
	}
	target := "stock.example:50052"
	channel, err := grpc.NewClient(target, source.DialOptions(target, credentials.NewTLS(nil))...)
	if err != nil {
		panic(err)
	}
	defer channel.Close()
	fmt.Println(channel.Target())
	// Output: stock.example:50052
}

// In a mesh the sidecar encrypts: the code says so.
func ExampleAllowPlaintext() {
	signetAPI := signet.Server{
		Addresses: []string{"signet:50051"}, TransportCredentials: insecure.NewCredentials(), AllowPlaintext: "the sidecar encrypts",
	}
	source, err := signet.NewTokenSource(signetAPI, signet.ClientCredentials(signet.ClientSecret("client id", "secret")), "stock")
	if err != nil {
		panic(err)
	}
	options := source.DialOptions("stock:50052", insecure.NewCredentials(), signet.AllowPlaintext("the sidecar encrypts"))
	channel, err := grpc.NewClient("stock:50052", options...)
	if err != nil {
		panic(err)
	}
	fmt.Println(channel.Close())
	// Output: <nil>
}

// The rule of an HTTP handler stands in the code.
func ExampleVerifier_Middleware() {
	issuer := signettest.NewIssuer(&testing.B{}) // In a test: signettest.NewIssuer(t)
	verifier, err := signet.NewVerifier(issuer.Identifier(), "stock", issuer.VerifierOptions()...)
	if err != nil {
		panic(err)
	}
	defer verifier.Close()
	if err := verifier.Ready(context.Background()); err != nil {
		panic(err)
	}
	guard := verifier.Middleware(signet.Rule{RequiredScopes: []string{"stock:write"}})
	handler := guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, _ := signet.CallerFrom(r.Context())
		fmt.Println(caller.Kind(), caller.Scopes())
	}))
	request := httptest.NewRequest(http.MethodPost, "/items", nil)
	request.Header.Set("Authorization", "Bearer "+issuer.Token(signettest.User{Scopes: []string{"stock:write"}}))
	handler.ServeHTTP(httptest.NewRecorder(), request)
	// Output: user [stock:write]
}
