// Command jwx verifies one access token of Signet by lestrrat-go/jwx: ISSUER, AUDIENCE, TOKEN.
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

	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

var byDefault = flag.Bool("default", false, "set nothing but what must be set")

func keys(ctx context.Context, issuer string) (jwk.Set, error) {
	url := issuer + "/.well-known/jwks.json"
	if *byDefault {
		return jwk.Fetch(ctx, url)
	}
	// It keeps the keys, and asks for them again in the background; not when a `kid` is unknown.
	cache, err := jwk.NewCache(ctx, httprc.NewClient())
	if err != nil {
		return nil, err
	}
	if err := cache.Register(ctx, url, jwk.WithMinInterval(30*time.Second), jwk.WithMaxInterval(5*time.Minute)); err != nil {
		return nil, err
	}
	return cache.CachedSet(url)
}

func isAccessToken(token string) bool {
	message, err := jws.ParseString(token)
	if err != nil || len(message.Signatures()) != 1 {
		return false
	}
	typ, _ := message.Signatures()[0].ProtectedHeaders().Type()
	return strings.TrimPrefix(strings.ToLower(typ), "application/") == "at+jwt"
}

func verified(ctx context.Context, issuer, audience, token string) (string, error) {
	set, err := keys(ctx, issuer)
	if err != nil {
		return "", err
	}
	options := []jwt.ParseOption{jwt.WithKeySet(set)}
	if !*byDefault {
		options = append(options, jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithAcceptableSkew(5*time.Second))
		for _, name := range []string{"exp", "iat", "sub", "jti", "client_id", "scope"} {
			options = append(options, jwt.WithRequiredClaim(name))
		}
	}
	parsed, err := jwt.ParseString(token, options...)
	if err != nil {
		return "", err
	}
	if !*byDefault && !isAccessToken(token) {
		return "", errors.New("its typ is not at+jwt")
	}
	subject, _ := parsed.Subject()
	return subject, nil
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
