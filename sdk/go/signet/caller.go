package signet

import (
	"context"
	"maps"
	"slices"
	"time"
)

// This file owns the caller of a call, in types, and its place in the context.

// CallerKind says whom a token stands for.
type CallerKind int

const (
	// KindUser is a user, who has logged in.
	KindUser CallerKind = iota + 1
	// KindClient is a client by itself: a service.
	KindClient
)

// String is the name as refusals and the conformance corpus have it.
func (k CallerKind) String() string {
	switch k {
	case KindUser:
		return "user"
	case KindClient:
		return "client"
	default:
		return "unknown"
	}
}

// Caller is whoever calls with a valid token. It is shared between the calls with one token: what its methods return is the caller's own
// copy.
type Caller struct {
	claims *claims
	roles  []string
}

type callerKey struct{}

// CallerFrom is who calls, in the handler of a method whose rule asks for a token. It is false in the handler of a public method.
func CallerFrom(ctx context.Context) (*Caller, bool) {
	caller, ok := ctx.Value(callerKey{}).(*Caller)
	return caller, ok
}

// ContextWithCaller is a context in which [CallerFrom] finds the caller: for the tests of handlers. The guard does this by itself.
func ContextWithCaller(ctx context.Context, caller *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

func newCaller(said *claims) *Caller {
	caller := &Caller{claims: said}
	if len(said.Audiences) == 1 {
		// A token for several audiences has no say about roles: each gives one name to another role.
		caller.roles = said.Roles
	}
	return caller
}

// Kind says whether the token stands for a user or for a client by itself.
func (c *Caller) Kind() CallerKind {
	if c.claims.Session == "" {
		return KindClient
	}
	return KindUser
}

// ID is the id of the user or of the client, a UUID in lower case (`sub`). It is never a username.
func (c *Caller) ID() string { return c.claims.Subject }

// ClientID is the client that the token was issued to; `signet` for Signet's built-in one.
func (c *Caller) ClientID() string { return c.claims.ClientID }

// SessionID is the login session of a user (`sid`); empty for a client.
func (c *Caller) SessionID() string { return c.claims.Session }

// TokenID is the token's own id (`jti`).
func (c *Caller) TokenID() string { return c.claims.ID }

// Audiences are those that the token is meant for.
func (c *Caller) Audiences() []string { return slices.Clone(c.claims.Audiences) }

// Scopes are those that the token carries.
func (c *Caller) Scopes() []string { return slices.Clone(c.claims.Scopes) }

// HasScope says whether the token carries the scope.
func (c *Caller) HasScope(scope string) bool { return c.claims.hasScope(scope) }

// Roles are those that the token names, or introspection where that was asked; none if the token is meant for several audiences.
func (c *Caller) Roles() []string { return slices.Clone(c.roles) }

// HasRole says whether the role is among [Caller.Roles].
func (c *Caller) HasRole(role string) bool { return slices.Contains(c.roles, role) }

// Groups are those by which one of the roles comes, as the token names them.
func (c *Caller) Groups() []string { return slices.Clone(c.claims.Groups) }

// Attributes are the user's, as the token says them: strings, float64 numbers, booleans and arrays of strings ([]any).
func (c *Caller) Attributes() map[string]any {
	copied, _ := copyOfJSON(c.claims.Attributes).(map[string]any)
	return copied
}

// copyOfJSON is a copy of what was read of a JSON text, with all that it holds.
func copyOfJSON(value any) any {
	switch value := value.(type) {
	case map[string]any:
		copied := maps.Clone(value)
		for name, member := range copied {
			copied[name] = copyOfJSON(member)
		}
		return copied
	case []any:
		copied := slices.Clone(value)
		for at, element := range copied {
			copied[at] = copyOfJSON(element)
		}
		return copied
	default: // A string, a number, a boolean, or nil: nobody can change it.
		return value
	}
}

// AMR are the methods by which the user logged in (RFC 8176), such as `pwd`; none for a client.
func (c *Caller) AMR() []string { return slices.Clone(c.claims.AMR) }

// AuthTime is when the user logged in; false if the token does not say.
func (c *Caller) AuthTime() (time.Time, bool) {
	if c.claims.AuthTime == nil {
		return time.Time{}, false
	}
	return time.Unix(*c.claims.AuthTime, 0), true
}

// ACR is the level of assurance that the login reached (RFC 9470); empty if the token does not say.
func (c *Caller) ACR() string { return c.claims.ACR }

// IssuedAt is when the token was issued.
func (c *Caller) IssuedAt() time.Time { return time.Unix(c.claims.IssuedAt, 0) }

// ExpiresAt is when the token expires.
func (c *Caller) ExpiresAt() time.Time { return time.Unix(c.claims.Expires, 0) }
