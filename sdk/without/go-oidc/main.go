// Command go-oidc verifies one access token of Signet by go-oidc: ISSUER, AUDIENCE, TOKEN.
// With -without-discovery it asks for the keys alone, and with -default nothing is set but what must be.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

var (
	withoutDiscovery = flag.Bool("without-discovery", false, "ask for the keys alone")
	byDefault        = flag.Bool("default", false, "set nothing but what must be set")
)

func verifier(ctx context.Context, issuer, audience string) (*oidc.IDTokenVerifier, error) {
	config := &oidc.Config{ClientID: audience}
	if !*byDefault {
		// Without discovery, go-oidc takes RS256 alone. It looks at `exp` with no leeway, and at `nbf` with five minutes.
		config.SupportedSigningAlgs = []string{oidc.ES256, oidc.RS256, oidc.EdDSA}
		config.Now = func() time.Time { return time.Now().Add(-5 * time.Second) }
	}
	if *withoutDiscovery {
		return oidc.NewVerifier(issuer, oidc.NewRemoteKeySet(ctx, issuer+"/.well-known/jwks.json"), config), nil
	}
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	return provider.Verifier(config), nil
}

// isAccessToken looks at `typ`, which go-oidc does not: an ID token of the same audience is none.
func isAccessToken(token string) bool {
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	var header struct{ Typ string }
	if err != nil || json.Unmarshal(raw, &header) != nil {
		return false
	}
	typ := strings.ToLower(header.Typ)
	return strings.TrimPrefix(typ, "application/") == "at+jwt"
}

func verified(ctx context.Context, issuer, audience, token string) (string, error) {
	verifier, err := verifier(ctx, issuer, audience)
	if err != nil {
		return "", err
	}
	verified, err := verifier.Verify(ctx, token)
	if err != nil {
		return "", err
	}
	if *byDefault {
		return verified.Subject, nil
	}
	var claims struct {
		JTI      string  `json:"jti"`
		ClientID string  `json:"client_id"`
		Scope    *string `json:"scope"`
	}
	if err := verified.Claims(&claims); err != nil {
		return "", err
	}
	if !isAccessToken(token) || claims.JTI == "" || claims.ClientID == "" || claims.Scope == nil {
		return "", errors.New("it is no access token")
	}
	return verified.Subject, nil
}

func main() {
	flag.Parse()
	subject, err := verified(context.Background(), os.Getenv("ISSUER"), os.Getenv("AUDIENCE"), os.Getenv("TOKEN"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(subject)
}
