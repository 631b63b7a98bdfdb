package signet

import (
	"net/http"
	"time"
)

// This file owns the settings of a verifier.

const (
	defaultLeeway           = 5 * time.Second
	defaultCacheSize        = 10_000
	defaultRevocationMaxAge = 30 * time.Second
	defaultStreamGrace      = 30 * time.Second
)

// Hooks are called when something happens that metrics count. They are called on the way of calls: they must be quick. A hook that panics
// disturbs no call.
type Hooks struct {
	// Verified: a token was looked at. reason is `OK` or that of the refusal; isCached says whether its signature had been verified before.
	Verified func(reason string, isCached bool)
	// KeysFetched: the issuer's keys were asked for; err is nil if they came.
	KeysFetched func(err error)
	// Revocations: the stream of what was revoked has come into the state.
	Revocations func(state RevocationsState)
	// RevocationsLost: the stream of what was revoked has ended or could not be opened, and err is why; io.EOF if its replica has ended it,
	// as each does from time to time. It is opened again.
	RevocationsLost func(err error)
	// StreamEnded: the guard has ended an open stream.
	StreamEnded func(reason string)
}

type settings struct {
	jwksURI          string
	leeway           time.Duration
	cacheSize        int
	takesJWT         bool
	httpClient       *http.Client
	keySource        KeySource
	unknownKeyPause  time.Duration
	revocationSource func(*settings) (RevocationSource, error)
	revocationMaxAge time.Duration
	goesOnWhenStale  bool
	streamGrace      time.Duration
	introspector     func(*settings) (Introspector, error)
	clock            Clock
	random           func() float64
	hooks            Hooks
}

// VerifierOption is an option of [NewVerifier].
type VerifierOption func(*settings)

// WithJWKSURI has the keys fetched from an address, in the place of the one that the issuer's metadata say.
func WithJWKSURI(uri string) VerifierOption { return func(s *settings) { s.jwksURI = uri } }

// WithLeeway says how far the issuer's clock may be from this one, in whole seconds: 5 s by default.
func WithLeeway(leeway time.Duration) VerifierOption { return func(s *settings) { s.leeway = leeway } }

// WithCacheSize says how many verified tokens are remembered, so that one seen before costs no signature check: 10,000 by default, some
// 2 KiB each. Zero: none.
func WithCacheSize(tokens int) VerifierOption { return func(s *settings) { s.cacheSize = tokens } }

// WithTokenTypeJWT also takes tokens whose `typ` is JWT, if they are meant for the verifier's audience alone and that is not their
// `client_id`: for an audience that the operator has given this type (`signet audiences update stock --token-typ JWT`).
func WithTokenTypeJWT() VerifierOption { return func(s *settings) { s.takesJWT = true } }

// WithHTTPClient has the keys fetched by a client of your own, such as one with other certification authorities. Redirects are not
// followed whatever it says.
func WithHTTPClient(client *http.Client) VerifierOption {
	return func(s *settings) { s.httpClient = client }
}

// WithKeySource has the keys come from elsewhere than the issuer's address.
func WithKeySource(source KeySource) VerifierOption {
	return func(s *settings) { s.keySource = source }
}

// WithUnknownKeyPause says what lies at least between the beginnings of two fetches of keys that calls ask for, by naming a key that is not
// known: 5 s by default. Anybody can ask so. It is for tests whose clock stands still: zero there, so that no call waits for it.
func WithUnknownKeyPause(pause time.Duration) VerifierOption {
	return func(s *settings) { s.unknownKeyPause = pause }
}

// WithRevocations follows what was revoked: a token whose session has ended, whose client was disabled, or that has a scope which was
// taken away, is refused within a second. The client needs the scope `signet.events.watch` and the audiences of Signet and of this service
// (docs/EVENTS.md). Until the first snapshot is complete all calls are answered with UNAVAILABLE: see [Verifier.Ready].
func WithRevocations(server Server, client ClientAuth) VerifierOption {
	return func(s *settings) {
		s.revocationSource = func(s *settings) (RevocationSource, error) {
			return newWatcher(server, client, s.clock, s.random)
		}
	}
}

// WithRevocationSource follows what a source of your own tells was revoked.
func WithRevocationSource(source RevocationSource) VerifierOption {
	return func(s *settings) {
		s.revocationSource = func(*settings) (RevocationSource, error) { return source, nil }
	}
}

// WithRevocationMaxAge says for how long the verifier goes by what it knows when it hears nothing of what was revoked: 30 s by default.
// After that it answers UNAVAILABLE, and ends open streams so.
func WithRevocationMaxAge(age time.Duration) VerifierOption {
	return func(s *settings) { s.revocationMaxAge = age }
}

// WithStaleRevocations has the verifier go on with what it knows, however long ago it heard of what was revoked. It never begins before the
// first snapshot.
func WithStaleRevocations() VerifierOption { return func(s *settings) { s.goesOnWhenStale = true } }

// WithStreamGrace says how long after its token's expiry an open stream ends: 30 s by default.
func WithStreamGrace(grace time.Duration) VerifierOption {
	return func(s *settings) { s.streamGrace = grace }
}

// WithIntrospection has Signet asked about the roles of a token that had no room for them (`roles_omitted`), where a rule asks for a role.
// The client needs the scope `introspect`. Without this such a call is answered with UNAVAILABLE.
func WithIntrospection(server Server, client ClientAuth) VerifierOption {
	return func(s *settings) {
		s.introspector = func(s *settings) (Introspector, error) {
			return newIntrospection(server, client, s.clock, s.random)
		}
	}
}

// WithIntrospector is [WithIntrospection] by code of your own.
func WithIntrospector(introspector Introspector) VerifierOption {
	return func(s *settings) {
		s.introspector = func(*settings) (Introspector, error) { return introspector, nil }
	}
}

// WithClock has another clock than the system's: for tests.
func WithClock(clock Clock) VerifierOption { return func(s *settings) { s.clock = clock } }

// WithHooks has functions called when something happens that metrics count.
func WithHooks(hooks Hooks) VerifierOption { return func(s *settings) { s.hooks = hooks } }

func newSettings(options []VerifierOption) *settings {
	all := &settings{
		leeway: defaultLeeway, cacheSize: defaultCacheSize, revocationMaxAge: defaultRevocationMaxAge, streamGrace: defaultStreamGrace,
		unknownKeyPause: unknownKeyPause, clock: systemClock{}, random: systemRandom,
	}
	for _, option := range options {
		option(all)
	}
	if all.httpClient == nil {
		all.httpClient = &http.Client{}
	}
	return all
}

func (h *Hooks) verified(reason string, isCached bool) {
	if h.Verified != nil {
		defer ignorePanic()
		h.Verified(reason, isCached)
	}
}

func (h *Hooks) keysFetched(err error) {
	if h.KeysFetched != nil {
		defer ignorePanic()
		h.KeysFetched(err)
	}
}

func (h *Hooks) revocations(state RevocationsState) {
	if h.Revocations != nil {
		defer ignorePanic()
		h.Revocations(state)
	}
}

func (h *Hooks) revocationsLost(err error) {
	if h.RevocationsLost != nil {
		defer ignorePanic()
		h.RevocationsLost(err)
	}
}

func (h *Hooks) streamEnded(reason string) {
	if h.StreamEnded != nil {
		defer ignorePanic()
		h.StreamEnded(reason)
	}
}

// ignorePanic has a hook's panic end with the hook: what counts calls must not end them.
func ignorePanic() { _ = recover() }
