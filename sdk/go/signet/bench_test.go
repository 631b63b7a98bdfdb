package signet_test

import (
	"testing"

	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns what a token costs, for profiles: `go test -run '^$' -bench . -cpuprofile cpu.prof ./signet`. ../example/bench compares.

func benchVerify(b *testing.B, options ...signet.VerifierOption) {
	issuer := signettest.NewIssuer(b)
	verifier := issuer.Verifier(b, "stock", options...)
	token := issuer.Token(signettest.User{Scopes: []string{"stock:read"}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verifier.Verify(b.Context(), token, signet.Rule{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSeenToken is a token that was seen before.
func BenchmarkSeenToken(b *testing.B) { benchVerify(b) }

// BenchmarkNewToken is a token that was not, with all checks.
func BenchmarkNewToken(b *testing.B) { benchVerify(b, signet.WithCacheSize(0)) }
