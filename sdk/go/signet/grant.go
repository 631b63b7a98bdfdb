package signet

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/json"

	identityv1 "example.com/signet/sdk/go/identity/v1"
)

// This file owns what a client shows Signet for a token: who it is (RFC 6749 section 2.3), and its grant (section 4).

// assertionLife is how long a client assertion is good.
const assertionLife = time.Minute

// ClientAuth says which client asks, and proves it. It prints nothing of what it proves it by.
type ClientAuth struct {
	id    string
	prove func(now time.Time, request *identityv1.ClientAuthentication) error
}

// String names the client.
func (c ClientAuth) String() string { return "client " + c.id }

// ClientSecret is a confidential client with a secret.
func ClientSecret(clientID, secret string) ClientAuth {
	return ClientAuth{id: clientID, prove: func(_ time.Time, request *identityv1.ClientAuthentication) error {
		request.Credential = &identityv1.ClientAuthentication_ClientSecret{ClientSecret: secret}
		return nil
	}}
}

// PrivateKey is a confidential client that signs assertions (private_key_jwt, RFC 7523 section 3): ES256 with a P-256 key, EdDSA with
// Ed25519, RS256 with RSA of 2048 bits or more. The key may be one in an HSM. keyID names the key in the assertion's header; empty: Signet
// tries each of the client's.
func PrivateKey(clientID, issuer, keyID string, key crypto.Signer) (ClientAuth, error) {
	alg, err := algorithmOf(key.Public())
	if err != nil {
		return ClientAuth{}, err
	}
	options := (&jose.SignerOptions{}).WithType("client-authentication+jwt")
	opaque := cryptosigner.Opaque(key)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: &jose.JSONWebKey{Key: opaque, KeyID: keyID}}, options)
	if err != nil {
		return ClientAuth{}, err
	}
	return ClientAuth{id: clientID, prove: func(now time.Time, request *identityv1.ClientAuthentication) error {
		id := make([]byte, 16)
		_, _ = rand.Read(id) // It never fails (crypto/rand).
		claims, err := json.Marshal(map[string]any{
			"iss": clientID, "sub": clientID, "aud": issuer, "iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
			"jti": base64.RawURLEncoding.EncodeToString(id),
		})
		if err != nil {
			return err
		}
		signed, err := signer.Sign(claims)
		if err != nil {
			return err
		}
		assertion, err := signed.CompactSerialize()
		if err != nil {
			return err
		}
		request.Credential = &identityv1.ClientAuthentication_ClientAssertion{ClientAssertion: assertion}
		return nil
	}}, nil
}

// Certificate is a client that its certificate stands for (tls_client_auth, RFC 8705 section 2.1): [Server.TransportCredentials] has it. A
// workload with a SPIFFE ID need not know its client id: leave it empty.
func Certificate(clientID string) ClientAuth { return PublicClient(clientID) }

// PublicClient is a client that proves nothing: for the refresh token of a user of an application without a secret.
func PublicClient(clientID string) ClientAuth {
	return ClientAuth{id: clientID, prove: func(time.Time, *identityv1.ClientAuthentication) error { return nil }}
}

func algorithmOf(public crypto.PublicKey) (jose.SignatureAlgorithm, error) {
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P256() {
			return jose.ES256, nil
		}
	case ed25519.PublicKey:
		return jose.EdDSA, nil
	case *rsa.PublicKey:
		if public.N.BitLen() >= minRSABits {
			return jose.RS256, nil
		}
	}
	return "", errors.New("signet: a client signs with a key of P-256, Ed25519, or RSA of 2048 bits or more")
}

// Grant is what a [TokenSource] exchanges for tokens: [ClientCredentials] or [RefreshToken].
type Grant struct {
	client  ClientAuth
	refresh *refreshGrant // nil for client credentials
}

// refreshGrant is the refresh token that is exchanged next. It belongs to one source, and one exchange goes on at a time.
type refreshGrant struct {
	token   string
	store   func(ctx context.Context, next string) error
	isTaken atomic.Bool
	// unstored is an answer whose refresh token is not stored yet; nil if there is none. Signet takes who shows the old one again and
	// again for a thief, and ends the session (docs/TOKENS.md, "Repeats").
	unstored *answered
}

// answered is what Signet has answered, and when it was asked.
type answered struct {
	*identityv1.IssueTokenResponse
	asked time.Time
}

// ClientCredentials is a client's own grant: tokens in its own name (RFC 6749 section 4.4).
func ClientCredentials(client ClientAuth) Grant { return Grant{client: client} }

// RefreshToken is a user's grant (RFC 6749 section 6). Each exchange gives the next refresh token, which store must have kept when it
// returns: only then the new access token is used. If it fails, it is called again later, with the same one: until it succeeds, nothing is
// exchanged.
//
// A refresh token belongs to one source in one process: two that use one end the user's session (docs/TOKENS.md, "Repeats").
func RefreshToken(client ClientAuth, token string, store func(ctx context.Context, next string) error) Grant {
	return Grant{client: client, refresh: &refreshGrant{token: token, store: store}}
}

// request is what Signet is asked for.
func (g *Grant) request(now time.Time, audience, scope string) (*identityv1.IssueTokenRequest, error) {
	client := &identityv1.ClientAuthentication{ClientId: g.client.id}
	if err := g.client.prove(now, client); err != nil {
		return nil, err
	}
	request := &identityv1.IssueTokenRequest{Client: client, Scope: scope, Audiences: []string{audience}}
	if g.refresh != nil {
		request.Grant = &identityv1.IssueTokenRequest_RefreshToken{
			RefreshToken: &identityv1.RefreshTokenGrant{RefreshToken: g.refresh.token},
		}
	} else {
		request.Grant = &identityv1.IssueTokenRequest_ClientCredentials{ClientCredentials: &identityv1.ClientCredentialsGrant{}}
	}
	return request, nil
}
