package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"example.com/signet/sdk/go/signet"
)

// This file owns the tokens: such as Signet issues to a client by default, for two scopes.

const (
	issuerName = "https://id.example"
	audience   = "stock"
	clientID   = "01a22f36-7f59-7d96-8d5a-9b5bdb12d4cc"
)

// issuer signs tokens, and publishes its keys.
type issuer struct {
	private *ecdsa.PrivateKey
	signer  jose.Signer
	keys    jose.JSONWebKeySet
}

func newIssuer() (*issuer, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	jwk := jose.JSONWebKey{Key: private, KeyID: "VNLEhrvGW5_UPKglf5pB6dZRKNF1pe0NKrAaOg74xTY", Algorithm: string(jose.ES256), Use: "sig"}
	options := (&jose.SignerOptions{}).WithType("at+jwt")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jwk}, options)
	if err != nil {
		return nil, err
	}
	return &issuer{private: private, signer: signer, keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk.Public()}}}, nil
}

// token is one that no other is like.
func (i *issuer) token() (string, error) {
	now := time.Now().Unix()
	id := make([]byte, 16)
	_, _ = rand.Read(id) // It never fails (crypto/rand).
	payload, err := json.Marshal(map[string]any{
		"iss": issuerName, "sub": clientID, "client_id": clientID, "aud": audience, "scope": "stock:read stock:write", "iat": now,
		"exp": now + 900, "jti": fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
	})
	if err != nil {
		return "", err
	}
	signed, err := i.signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// FetchKeys implements [signet.KeySource].
func (i *issuer) FetchKeys(context.Context) ([]byte, time.Duration, error) {
	document, err := json.Marshal(i.keys)
	return document, time.Hour, err
}

// verifier is one of the SDK that has the keys.
func (i *issuer) verifier() (*signet.Verifier, error) {
	verifier, err := signet.NewVerifier(issuerName, audience, signet.WithKeySource(i))
	if err != nil {
		return nil, err
	}
	return verifier, verifier.Ready(context.Background())
}
