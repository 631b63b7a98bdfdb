package signettest_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"

	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// take is what a handler of a service may look like.
func take(ctx context.Context) string {
	caller, _ := signet.CallerFrom(ctx)
	return caller.ID()
}

// This test shows how a service tests its authorization.
func TestARevokedSessionIsRefusedAtOnce(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	verifier := issuer.Verifier(t, "stock")
	user, session := signettest.NewUUID(), signettest.NewUUID()
	token := issuer.Token(signettest.User{ID: user, SessionID: session, Scopes: []string{"stock:write"}})
	caller, err := verifier.Verify(t.Context(), token, signet.Rule{RequiredScopes: []string{"stock:write"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := take(signet.ContextWithCaller(t.Context(), caller)); got != user {
		t.Errorf("got %s", got)
	}
	issuer.RevokeSession(session)
	_, err = verifier.Verify(t.Context(), token, signet.Rule{})
	refusal, ok := signet.RefusalFrom(err)
	if !ok || refusal.Code != codes.Unauthenticated || refusal.Reason != signet.ReasonTokenRevoked {
		t.Errorf("got %v", err)
	}
}

func TestTokensSayWhatTheTestSays(t *testing.T) {
	issuer := signettest.NewIssuer(t, signettest.WithIdentifier("https://id.example"))
	verifier := issuer.Verifier(t, "stock")
	id := signettest.NewUUID()
	caller, err := verifier.Verify(t.Context(), issuer.Token(signettest.Client{
		ID: id, Audiences: []string{"stock"}, Roles: []string{"picker"}, Claims: map[string]any{"acr": "2"},
	}), signet.Rule{AnyRoles: []string{"picker", "packer"}, Callers: signet.KindClient})
	if err != nil || caller.ID() != id || caller.ACR() != "2" || !caller.HasRole("picker") {
		t.Errorf("got %v, %v", caller, err)
	}
	bad := issuer.Token(signettest.User{Claims: map[string]any{"exp": nil}})
	if _, err := verifier.Verify(t.Context(), bad, signet.Rule{}); err == nil {
		t.Error("a token without exp was taken")
	}
	issuer.RotateKey(t)
	if _, err := verifier.Verify(t.Context(), issuer.Token(signettest.User{}), signet.Rule{}); err != nil {
		t.Error(err)
	}
}

func TestTakenScopesAndEndedClientsAreHeardOfByLaterVerifiersToo(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	client, user := signettest.NewUUID(), signettest.NewUUID()
	ofClient := issuer.Token(signettest.Client{ID: client})
	ofUser := issuer.Token(signettest.User{ID: user, Scopes: []string{"stock:write"}})
	issuer.RevokeClient(client)
	issuer.RevokeScopes(user, "stock", "stock:write")
	verifier := issuer.Verifier(t, "stock")
	for _, token := range []string{ofClient, ofUser} {
		if _, err := verifier.Verify(t.Context(), token, signet.Rule{}); err == nil {
			t.Error("a revoked token was taken")
		}
	}
	if _, err := verifier.Verify(t.Context(), issuer.Token(signettest.User{ID: user}), signet.Rule{}); err != nil {
		t.Error(err)
	}
}

func TestATokenOfAnUnknownKeyIsRefusedThoughTimeStandsStill(t *testing.T) {
	issuer, stranger := signettest.NewIssuer(t), signettest.NewIssuer(t)
	verifier := issuer.Verifier(t, "stock")
	for range 3 {
		stranger.RotateKey(t)
		if _, err := verifier.Verify(t.Context(), stranger.Token(signettest.User{}), signet.Rule{}); err == nil {
			t.Error("it was taken")
		}
	}
}
