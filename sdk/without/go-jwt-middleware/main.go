// Command go-jwt-middleware verifies one access token of Signet by auth0's go-jwt-middleware: ISSUER, AUDIENCE, TOKEN.
// The algorithm is one, and said: ALG, ES256 unless set. With -default it is RS256, as in the examples.
package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/auth0/go-jwt-middleware/v2/jwks"
	"github.com/auth0/go-jwt-middleware/v2/validator"
)

var byDefault = flag.Bool("default", false, "set nothing but what must be set")

// claims are those of an access token beside the registered ones (RFC 9068 section 2.2).
type claims struct {
	ClientID string  `json:"client_id"`
	Scope    *string `json:"scope"`
}

// Validate is called by the validator, behind its own checks.
func (c *claims) Validate(context.Context) error {
	if c.ClientID == "" || c.Scope == nil {
		return errors.New("it lacks claims of an access token")
	}
	return nil
}

func newValidator(issuer, audience string) (*validator.Validator, error) {
	address, err := url.Parse(issuer)
	if err != nil {
		return nil, err
	}
	// It finds the keys by the metadata, and keeps them for five minutes: a key that takes over is published before.
	keys := jwks.NewCachingProvider(address, 5*time.Minute)
	if *byDefault {
		return validator.New(keys.KeyFunc, validator.RS256, issuer, []string{audience})
	}
	algorithm := validator.SignatureAlgorithm(cmp.Or(os.Getenv("ALG"), "ES256"))
	own := validator.WithCustomClaims(func() validator.CustomClaims { return &claims{} })
	return validator.New(keys.KeyFunc, algorithm, issuer, []string{audience}, own, validator.WithAllowedClockSkew(5*time.Second))
}

// isAccessToken looks at `typ`, which the middleware does not: an ID token of the same audience is none.
func isAccessToken(token string) bool {
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	var header struct{ Typ string }
	if err != nil || json.Unmarshal(raw, &header) != nil {
		return false
	}
	return strings.TrimPrefix(strings.ToLower(header.Typ), "application/") == "at+jwt"
}

func verified(ctx context.Context, issuer, audience, token string) (string, error) {
	validator, err := newValidator(issuer, audience)
	if err != nil {
		return "", err
	}
	said, err := validator.ValidateToken(ctx, token)
	if err != nil {
		return "", err
	}
	if !*byDefault && !isAccessToken(token) {
		return "", errors.New("its typ is not at+jwt")
	}
	return subject(said), nil
}

func subject(said any) string {
	valid, ok := said.(*validator.ValidatedClaims)
	if !ok {
		return ""
	}
	return valid.RegisteredClaims.Subject
}

func main() {
	flag.Parse()
	found, err := verified(context.Background(), os.Getenv("ISSUER"), os.Getenv("AUDIENCE"), os.Getenv("TOKEN"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(found)
}
