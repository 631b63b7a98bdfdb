//go:build integration

package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	identityv1 "example.com/signet/sdk/go/identity/v1"
	sdk "example.com/signet/sdk/go/signet"
)

// This file owns the grants of the client half, as Signet itself answers them.

func (s *signet) server() sdk.Server {
	return sdk.Server{Addresses: []string{s.grpcAddr}, TransportCredentials: insecure.NewCredentials()}
}

// verify has a verifier of the audience look at a token.
func (s *signet) verify(t *testing.T, audience, token string) *sdk.Caller {
	t.Helper()
	verifier, err := sdk.NewVerifier(s.issuer(), audience)
	if err != nil {
		t.Fatal(err)
	}
	defer verifier.Close()
	caller, err := verifier.Verify(t.Context(), token, sdk.Rule{})
	if err != nil {
		t.Fatal(err)
	}
	return caller
}

func TestAClientSignsForItsTokens(t *testing.T) {
	s := startSignet(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600); err != nil {
		t.Fatal(err)
	}
	answer := s.command(t, "clients", "create", "signing", "--public-key", file, "--scope", "stock:read", "--allow-audience", "stock")
	id, _ := answer["id"].(string)
	client, err := sdk.PrivateKey(id, s.issuer(), "", private)
	if err != nil {
		t.Fatal(err)
	}
	source, err := sdk.NewTokenSource(s.server(), sdk.ClientCredentials(client), "stock", sdk.WithScopes("stock:read"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if caller := s.verify(t, "stock", token); caller.Kind() != sdk.KindClient || caller.ID() != id || !caller.HasScope("stock:read") {
		t.Errorf("got %v", caller)
	}
}

func TestWhatAClientMayNotHaveIsRefusedByItsName(t *testing.T) {
	s := startSignet(t)
	id, secret := s.client(t, "shop", "--scope", "stock:read", "--allow-audience", "stock")
	for reason, c := range map[string]struct {
		secret string
		option sdk.SourceOption
	}{
		"INVALID_SCOPE": {secret, sdk.WithScopes("stock:write")}, "INVALID_CLIENT": {"another", sdk.WithScopes()},
	} {
		source, err := sdk.NewTokenSource(s.server(), sdk.ClientCredentials(sdk.ClientSecret(id, c.secret)), "stock", c.option)
		if err != nil {
			t.Fatal(err)
		}
		_, err = source.Token(t.Context())
		if refusal, ok := sdk.RefusalFrom(err); !ok || refusal.Reason != reason || refusal.Code != codes.Unauthenticated {
			t.Errorf("got %v, want %s", err, reason)
		}
	}
}

func TestARefreshTokenIsExchangedForTheNext(t *testing.T) {
	s := startSignet(t)
	channel, err := grpc.NewClient(s.grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer channel.Close()
	users := identityv1.NewIdentityServiceClient(channel)
	const password = "a long password of a test"
	if _, err := users.SignUp(t.Context(), &identityv1.SignUpRequest{Username: "alice", Password: password}); err != nil {
		t.Fatal(err)
	}
	login, err := users.IssueToken(t.Context(), &identityv1.IssueTokenRequest{Grant: &identityv1.IssueTokenRequest_Password{
		Password: &identityv1.PasswordGrant{Username: "alice", Password: password},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var stored []string
	store := func(_ context.Context, next string) error {
		stored = append(stored, next)
		return nil
	}
	clock := &shifted{}
	source, err := sdk.NewTokenSource(s.server(), sdk.RefreshToken(sdk.PublicClient("signet"), login.GetRefreshToken(), store), "signet",
		sdk.WithSourceClock(clock))
	if err != nil {
		t.Fatal(err)
	}
	first, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if caller := s.verify(t, "signet", first); caller.Kind() != sdk.KindUser || caller.SessionID() == "" {
		t.Errorf("got %v", caller)
	}
	clock.by = time.Hour // The source takes the token for expired.
	second, err := source.Token(t.Context())
	if err != nil || second == first || len(stored) != 2 || stored[0] == stored[1] {
		t.Errorf("got %v, stored %d", err, len(stored))
	}
}

// shifted is the system's clock, ahead by some time.
type shifted struct{ by time.Duration }

func (s *shifted) Now() time.Time { return time.Now().Add(s.by) }

func (s *shifted) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
