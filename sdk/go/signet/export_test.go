package signet

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"

	eventsv1 "example.com/signet/sdk/go/identity/events/v1"
)

// This file owns what the tests of this package see of it beyond its API.

// AdmitForTest is what the guard says to values of `authorization` that no client of gRPC sends.
func (g *Guard) AdmitForTest(ctx context.Context, method string, authorization []string) (*Caller, *Refusal) {
	return g.admit(ctx, method, authorization)
}

// TellForTest has the verifier hear a message of the stream of revocations.
func (v *Verifier) TellForTest(message *eventsv1.WatchResponse) { v.revocations.take(message) }

// KeyIDsForTest are the ids of the keys of a JWK Set that verify, in their order.
func KeyIDsForTest(document []byte) ([]string, error) {
	set, err := readKeySet(document, nil)
	if err != nil {
		return nil, err
	}
	var kids []string
	for _, key := range set.keys {
		kids = append(kids, key.kid)
	}
	return kids, nil
}

// AnyKeyVerifiesForTest says whether a key of a JWK Set verifies the signature of the message.
func AnyKeyVerifiesForTest(document []byte, message string, signature []byte) bool {
	set, err := readKeySet(document, nil)
	return err == nil && slices.ContainsFunc(set.keys, func(key *verifyingKey) bool { return key.verifies(message, signature) })
}

// MayRetryForTest says whether a unary call is sent once more.
func MayRetryForTest(err error, method, audience string, hasReceived bool) bool {
	return isOwnRefusal(err, method, audience, hasReceived)
}

// RenewAfterForTest is when a token is renewed that lives so long.
func RenewAfterForTest(random float64, lifetime time.Duration) time.Duration {
	return renewAfter(func() float64 { return random }, lifetime)
}

// MayAttachForTest says why no token goes with a call to a peer that is a loopback address or not.
func MayAttachForTest(target, authority string, isSecure, isLoopback, allowsPlaintext bool) error {
	peer := map[bool]peer{true: peerLoopback}[isLoopback]
	isLocal := peer.isLocal(isLoopbackName(authorityOf(target)) && isLoopbackName(authority))
	return mayAttach(authorityOf(target), authority, isSecure, isLocal, allowsPlaintext)
}

// UnaryInterceptorForTest is the interceptor that calls again.
func (s *TokenSource) UnaryInterceptorForTest() grpc.UnaryClientInterceptor { return s.retryOnce }

// AttachForTest is the token that goes with a call, whose attempt notes it.
func (s *TokenSource) AttachForTest(ctx context.Context) (string, error) {
	token, err := s.Token(ctx)
	if call := attemptOf(ctx); call != nil {
		call.token.Store(&token)
	}
	return token, err
}

// SourceRandomForTest has numbers of the test's choice spread what a source does.
func SourceRandomForTest(random func() float64) SourceOption { return withSourceRandom(random) }

// RandomForTest has numbers of the test's choice spread what a verifier does.
func RandomForTest(random func() float64) VerifierOption {
	return func(s *settings) { s.random = random }
}

// KeysReadyForTest returns when the keys are known, whatever is known of revocations.
func (v *Verifier) KeysReadyForTest(ctx context.Context) error { return v.keys.ready(ctx) }

// RevokedForTest is how much is kept of what was revoked.
func (v *Verifier) RevokedForTest() int {
	v.revocations.revoked.mu.RLock()
	defer v.revocations.revoked.mu.RUnlock()
	return len(v.revocations.revoked.entries)
}

// KeptSinceForTest is from when on it is counted how long each is kept of what was revoked.
func (v *Verifier) KeptSinceForTest() (since []time.Time) {
	v.revocations.revoked.mu.RLock()
	defer v.revocations.revoked.mu.RUnlock()
	for _, entry := range v.revocations.revoked.entries {
		since = append(since, entry.since)
	}
	return since
}

// OpenStreamsForTest is how many streams are watched.
func (v *Verifier) OpenStreamsForTest() int {
	v.revocations.mu.Lock()
	defer v.revocations.mu.Unlock()
	return len(v.revocations.open)
}

// ElapsedForTest is what has passed between two times.
func ElapsedForTest(from, to time.Time) time.Duration { return elapsed(from, to) }

// SeenForTest puts tokens among those that were seen, by number, and says which are still remembered.
func SeenForTest(limit int, put []int, ask func(put int) []int) (remembered []int) {
	seen := newSeenTokens(limit)
	print := func(number int) fingerprint { return fingerprint{byte(number), byte(number >> 8)} }
	for _, number := range put {
		seen.put(print(number), &verifiedToken{})
		for _, asked := range ask(number) {
			seen.get(print(asked))
		}
	}
	for _, number := range put {
		if seen.get(print(number)) != nil {
			remembered = append(remembered, number)
		}
	}
	return remembered
}

// ReadTokenForTest takes a token apart as the verifier does, and says whether that is all it could be.
func ReadTokenForTest(token string) (ok bool) {
	jws, refusal := parseCompact(token, true)
	if refusal != nil {
		return false
	}
	said, ok := readClaims(jws.payload)
	if ok && (said.Subject == "" || said.ID == "" || len(jws.kid) > kidMaxBytes || said.Session == "" && said.ClientID == "") {
		panic("it says what no access token says")
	}
	return ok
}

// DeclarationForTest reads the bytes of a rule.
func DeclarationForTest(encoded []byte) (Access, *Rule) {
	found := readDeclaration(encoded)
	return found.access, found.rule
}
