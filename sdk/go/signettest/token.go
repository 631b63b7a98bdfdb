package signettest

import (
	"crypto/rand"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"
)

// This file owns what the tokens of the test issuer say.

// User is whom a user's token stands for. What is unset is made up: ids are UUIDs of chance, and the audience is `stock`.
type User struct {
	// ID is the user's (`sub`), a UUID.
	ID string
	// SessionID is the login session's (`sid`), a UUID.
	SessionID string
	// ClientID is the client that the user logged in with; `signet` if unset.
	ClientID string
	// Audiences are those that the token is meant for; `stock` if unset.
	Audiences []string
	// Scopes are those that the token carries.
	Scopes []string
	// Roles and Groups are named in the token if they are set.
	Roles, Groups []string
	// Lifetime is [DefaultLifetime] if unset.
	Lifetime time.Duration
	// Claims take the place of those that the other fields make; a nil value takes one away.
	Claims map[string]any
}

// Client is a client by itself whose token is wanted.
type Client struct {
	// ID is the client's, a UUID.
	ID string
	// Audiences are those that the token is meant for; `stock` if unset.
	Audiences []string
	// Scopes are those that the token carries.
	Scopes []string
	// Roles are named in the token if they are set.
	Roles []string
	// Lifetime is [DefaultLifetime] if unset.
	Lifetime time.Duration
	// Claims take the place of those that the other fields make; a nil value takes one away.
	Claims map[string]any
}

// Holder is whom a token stands for: [User] or [Client].
type Holder interface {
	claims() (said map[string]any, lifetime time.Duration)
}

// Token issues a token that is good from now on. It panics if a claim is nothing that JSON can say, which is a mistake of the test.
func (i *Issuer) Token(holder Holder) string {
	said, lifetime := holder.claims()
	now := i.clock.Now()
	if lifetime == 0 {
		lifetime = DefaultLifetime
	}
	all := map[string]any{"iss": i.identifier, "iat": now.Unix(), "exp": now.Add(lifetime).Unix(), "jti": NewUUID()}
	maps.Copy(all, said)
	for name, value := range all {
		if value == nil {
			delete(all, name)
		}
	}
	payload, err := json.Marshal(all)
	if err != nil {
		panic(fmt.Sprintf("signettest: the claims cannot be said: %v", err))
	}
	i.mu.Lock()
	signer := i.keys[len(i.keys)-1].signer
	i.mu.Unlock()
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(fmt.Sprintf("signettest: the token cannot be signed: %v", err))
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		panic(fmt.Sprintf("signettest: the token cannot be written: %v", err))
	}
	return token
}

func (u User) claims() (map[string]any, time.Duration) {
	said := map[string]any{
		"sub": or(u.ID, NewUUID), "sid": or(u.SessionID, NewUUID), "client_id": or(u.ClientID, func() string { return "signet" }),
		"amr": []string{"pwd"},
	}
	common(said, u.Audiences, u.Scopes, u.Roles)
	if u.Groups != nil {
		said["groups"] = u.Groups
	}
	maps.Copy(said, u.Claims)
	return said, u.Lifetime
}

func (c Client) claims() (map[string]any, time.Duration) {
	id := or(c.ID, NewUUID)
	said := map[string]any{"sub": id, "client_id": id}
	common(said, c.Audiences, c.Scopes, c.Roles)
	maps.Copy(said, c.Claims)
	return said, c.Lifetime
}

func common(said map[string]any, audiences, scopes, roles []string) {
	switch len(audiences) {
	case 0:
		said["aud"] = "stock"
	case 1:
		said["aud"] = audiences[0]
	default:
		said["aud"] = audiences
	}
	said["scope"] = strings.Join(scopes, " ")
	if roles != nil {
		said["roles"] = roles
	}
}

func or(text string, otherwise func() string) string {
	if text == "" {
		return otherwise()
	}
	return text
}

// NewUUID is a UUID of chance (RFC 9562 section 5.4).
func NewUUID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // It never fails (crypto/rand).
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:])
}
