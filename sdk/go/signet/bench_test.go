package signet_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/json"
	"math/big"
	"net"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	identityv1 "example.com/signet/sdk/go/identity/v1"
	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns what a call costs: `go test -run '^$' -bench . ./signet`.

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

// BenchmarkNewTokenGoJose is what go-jose takes for the same checks, as far as it has them.
func BenchmarkNewTokenGoJose(b *testing.B) {
	issuer := signettest.NewIssuer(b)
	token := issuer.Token(signettest.User{Scopes: []string{"stock:read"}})
	key := publicKey(b, issuer)
	b.ReportAllocs()
	for b.Loop() {
		parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			b.Fatal(err)
		}
		var said jwt.Claims
		var own struct {
			ClientID string `json:"client_id"`
			Scope    string `json:"scope"`
			Session  string `json:"sid"`
		}
		if err := parsed.Claims(key, &said, &own); err != nil {
			b.Fatal(err)
		}
		expected := jwt.Expected{Issuer: issuer.Identifier(), AnyAudience: jwt.Audience{"stock"}, Time: issuer.Clock().Now()}
		if err := said.Validate(expected); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNewTokenSignature is the signature check alone, by the standard library.
func BenchmarkNewTokenSignature(b *testing.B) {
	issuer := signettest.NewIssuer(b)
	token := issuer.Token(signettest.User{Scopes: []string{"stock:read"}})
	key := publicKey(b, issuer)
	parsed, err := jose.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		b.Fatal(err)
	}
	signature := parsed.Signatures[0].Signature
	input := []byte(token[:strings.LastIndexByte(token, '.')])
	for b.Loop() {
		digest := sha256.Sum256(input)
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		if !ecdsa.Verify(key, digest[:], r, s) {
			b.Fatal("it does not verify")
		}
	}
}

func publicKey(b *testing.B, issuer *signettest.Issuer) *ecdsa.PublicKey {
	b.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(mustJWKS(b, issuer), &set); err != nil {
		b.Fatal(err)
	}
	key, ok := set.Keys[0].Key.(*ecdsa.PublicKey)
	if !ok {
		b.Fatal("it is not of P-256")
	}
	return key
}

// quiet answers GetMe with nothing, whoever asks.
type quiet struct {
	identityv1.UnimplementedIdentityServiceServer
}

func (quiet) GetMe(context.Context, *identityv1.GetMeRequest) (*identityv1.GetMeResponse, error) {
	return &identityv1.GetMeResponse{}, nil
}

// BenchmarkServer is a unary call over TCP, of a server with the guard beside one without, by the same client with the same token.
func BenchmarkServer(b *testing.B) {
	for _, name := range []string{"bare", "guarded"} {
		b.Run(name, func(b *testing.B) {
			issuer := signettest.NewIssuer(b)
			var options []grpc.ServerOption
			if name == "guarded" {
				options = newGuard(b, issuer).ServerOptions()
			}
			server := grpc.NewServer(options...)
			identityv1.RegisterIdentityServiceServer(server, quiet{})
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			go func() { _ = server.Serve(listener) }()
			defer server.Stop()
			channel, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				b.Fatal(err)
			}
			defer channel.Close()
			users := identityv1.NewIdentityServiceClient(channel)
			ctx := withToken(b.Context(), issuer.Token(signettest.User{Scopes: []string{"profile"}}))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := users.GetMe(ctx, &identityv1.GetMeRequest{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
