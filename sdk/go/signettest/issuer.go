// Package signettest has an issuer of access tokens in the process, without network, so that a team tests the authorization of its service
// in milliseconds:
//
//	issuer := signettest.NewIssuer(t)
//	verifier := issuer.Verifier(t, "stock")
//	token := issuer.Token(signettest.User{Scopes: []string{"stock:write"}})
//
// Time stands still until [Issuer.Advance] turns it. What [Issuer.RevokeSession] and the like revoke, the verifiers refuse when these
// return.
package signettest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventsv1 "example.com/signet/sdk/go/identity/events/v1"
	"example.com/signet/sdk/go/signet"
)

const (
	// DefaultIssuer is the issuer's identifier unless the test says otherwise: a name that nobody can have (RFC 6761 section 6.4).
	DefaultIssuer = "https://issuer.invalid"
	// DefaultLifetime is how long tokens live: as Signet's by default.
	DefaultLifetime = 15 * time.Minute
	// revokedAhead is how far in the future the time of a revocation lies, as Signet's does by default.
	revokedAhead = 6 * time.Second
	// heartbeat is how often the feed says that nothing has changed.
	heartbeat = 10 * time.Second
)

// Issuer issues tokens, and says what was revoked.
type Issuer struct {
	identifier string
	clock      *Clock
	feed       *feed

	mu      sync.Mutex
	keys    []*issuerKey
	rotated int
	revoked *eventsv1.Changes
}

type issuerKey struct {
	jwk    jose.JSONWebKey
	signer jose.Signer
}

// Option is an option of [NewIssuer].
type Option func(*Issuer)

// WithIdentifier has another `iss` than [DefaultIssuer].
func WithIdentifier(issuer string) Option { return func(i *Issuer) { i.identifier = issuer } }

// WithTime has the clock begin elsewhere than at the present second.
func WithTime(now time.Time) Option { return func(i *Issuer) { i.clock = NewClock(now) } }

// NewIssuer makes an issuer with one key of P-256.
func NewIssuer(t testing.TB, options ...Option) *Issuer {
	t.Helper()
	issuer := &Issuer{identifier: DefaultIssuer, clock: NewClock(time.Now().Truncate(time.Second)), revoked: &eventsv1.Changes{}}
	for _, option := range options {
		option(issuer)
	}
	issuer.feed = newFeed(issuer.snapshot)
	issuer.RotateKey(t)
	return issuer
}

// Identifier is the `iss` of the tokens.
func (i *Issuer) Identifier() string { return i.identifier }

// Clock is the one that the tokens and the verifiers go by.
func (i *Issuer) Clock() *Clock { return i.clock }

// VerifierOptions are what [signet.NewVerifier] takes, with [Issuer.Identifier], for a verifier of this issuer's tokens, by this issuer's
// clock, that follows what it revokes.
func (i *Issuer) VerifierOptions() []signet.VerifierOption {
	return []signet.VerifierOption{
		signet.WithKeySource(keys{i}), signet.WithUnknownKeyPause(0), signet.WithRevocationSource(i.feed), signet.WithClock(i.clock),
	}
}

// Verifier is such a verifier, ready, which is closed when the test ends. options come on top.
func (i *Issuer) Verifier(t testing.TB, audience string, options ...signet.VerifierOption) *signet.Verifier {
	t.Helper()
	verifier, err := signet.NewVerifier(i.identifier, audience, append(i.VerifierOptions(), options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	if err := verifier.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return verifier
}

// Advance turns the clock. Meanwhile the feed goes on, unless it is down.
func (i *Issuer) Advance(d time.Duration) {
	for d > 0 {
		step := min(d, heartbeat)
		i.clock.Advance(step)
		i.feed.tell(&eventsv1.WatchResponse{Part: &eventsv1.WatchResponse_Heartbeat{Heartbeat: &eventsv1.Heartbeat{}}})
		d -= step
	}
}

// RotateKey signs further tokens with a new key. The old ones are still published.
func (i *Issuer) RotateKey(t testing.TB) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	i.rotated++
	jwk := jose.JSONWebKey{Key: private, KeyID: fmt.Sprintf("test-%d", i.rotated), Algorithm: string(jose.ES256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jwk}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err == nil {
		i.keys = append(i.keys, &issuerKey{jwk: jwk.Public(), signer: signer})
	}
	i.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	i.tell(&eventsv1.Changes{KeysChanged: true})
}

// keys is the signet.KeySource of an issuer.
type keys struct{ issuer *Issuer }

// FetchKeys implements signet.KeySource.
func (k keys) FetchKeys(context.Context) ([]byte, time.Duration, error) {
	document, err := k.issuer.JWKS()
	return document, time.Hour, err
}

// JWKS is the JWK Set that the issuer publishes.
func (i *Issuer) JWKS() ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, key := range i.keys {
		set.Keys = append(set.Keys, key.jwk)
	}
	return json.Marshal(set)
}

// ===== what is revoked =====

// RevokeSession ends a session: its tokens are refused.
func (i *Issuer) RevokeSession(session string) {
	i.revoke(&eventsv1.Changes{EndedSessions: []string{session}})
}

// RevokeClient disables a client: its tokens and those of its users are refused, up to those of the next 6 seconds.
func (i *Issuer) RevokeClient(clientID string) {
	i.revoke(&eventsv1.Changes{EndedClients: []*eventsv1.EndedClient{{ClientId: clientID, Time: i.ahead()}}})
}

// RevokeScopes takes scopes away from a user or a client at an audience, or from everybody if the subject is empty: tokens that have one of
// them are refused, up to those of the next 6 seconds.
func (i *Issuer) RevokeScopes(subject, audience string, scopes ...string) {
	taken := &eventsv1.TakenScopes{Subject: subject, Audience: audience, Scopes: scopes, Time: i.ahead()}
	i.revoke(&eventsv1.Changes{TakenScopes: []*eventsv1.TakenScopes{taken}})
}

// SetFeedDown breaks the stream of revocations, as if no replica of Signet were there, or has it come back.
func (i *Issuer) SetFeedDown(isDown bool) { i.feed.setDown(isDown) }

func (i *Issuer) revoke(changes *eventsv1.Changes) {
	i.mu.Lock()
	proto.Merge(i.revoked, changes)
	i.mu.Unlock()
	i.tell(changes)
}

func (i *Issuer) tell(changes *eventsv1.Changes) {
	i.feed.tell(&eventsv1.WatchResponse{Part: &eventsv1.WatchResponse_Changes{Changes: changes}})
}

func (i *Issuer) ahead() *timestamppb.Timestamp {
	return timestamppb.New(i.clock.Now().Add(revokedAhead))
}

func (i *Issuer) snapshot() *eventsv1.Snapshot {
	i.mu.Lock()
	defer i.mu.Unlock()
	changes, _ := proto.Clone(i.revoked).(*eventsv1.Changes)
	return &eventsv1.Snapshot{Changes: changes, IsLast: true, KeepFor: durationpb.New(DefaultLifetime + revokedAhead + 5*time.Second)}
}
