// Command golang-jwt verifies one access token of Signet by golang-jwt and keyfunc: ISSUER, AUDIENCE, TOKEN.
// With -default nothing is set but what must be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

var byDefault = flag.Bool("default", false, "set nothing but what must be set")

// claims are those of an access token (RFC 9068 section 2.2).
type claims struct {
	jwt.RegisteredClaims
	ClientID string  `json:"client_id"`
	Scope    *string `json:"scope"`
}

// Validate is called by the parser, behind its own checks.
func (c claims) Validate() error {
	if *byDefault {
		return nil
	}
	if c.Subject == "" || c.ID == "" || c.IssuedAt == nil || c.ClientID == "" || c.Scope == nil {
		return errors.New("it lacks claims of an access token")
	}
	return nil
}

func verified(ctx context.Context, issuer, audience, token string) (string, error) {
	// It keeps the keys, and asks for them again each hour, and when a `kid` is unknown.
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{issuer + "/.well-known/jwks.json"})
	if err != nil {
		return "", err
	}
	var options []jwt.ParserOption
	if !*byDefault {
		options = []jwt.ParserOption{
			jwt.WithValidMethods([]string{"ES256", "RS256", "EdDSA"}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(5 * time.Second), jwt.WithStrictDecoding(),
		}
	}
	var said claims
	parsed, err := jwt.ParseWithClaims(token, &said, keys.Keyfunc, options...)
	if err != nil {
		return "", err
	}
	typ, _ := parsed.Header["typ"].(string)
	if !*byDefault && strings.TrimPrefix(strings.ToLower(typ), "application/") != "at+jwt" {
		return "", errors.New("its typ is not at+jwt")
	}
	return said.Subject, nil
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
