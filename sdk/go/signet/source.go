package signet

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// This file owns the tokens of a client: who waits for one, when it is renewed, and when it is not asked for again. renewal.go owns asking.

const (
	// A token is renewed when between 75 and 85 % of its life have passed: 80 %, and not all clients at one moment.
	renewFrom, renewTo = 0.75, 0.85
	// After a failure it is asked again in a second, doubled with each further one up to 30 s.
	firstIssueRetry, lastIssueRetry = time.Second, 30 * time.Second
	// finalPause is how long it is not asked again after a refusal that another attempt does not mend.
	finalPause = 10 * time.Second
	// replacePause lies between two tokens that are got since a service has refused the one before: the first may have been issued too
	// early to count (docs/EVENTS.md, "What callers see").
	replacePause = 7 * time.Second
)

// SourceHooks are called when something happens that metrics count. A hook that panics disturbs no call.
type SourceHooks struct {
	// TokenRenewed: a token was asked for; err is nil if it came.
	TokenRenewed func(err error)
	// CallRetried: a call was sent once more with another token.
	CallRetried func()
}

// TokenSource gets access tokens for one audience from Signet, keeps the present one, and renews it when 80 % of its life have passed, in
// the background of a call: calls go on with it while it lives. It may be used by any number of goroutines.
type TokenSource struct {
	server   Server
	grant    Grant
	audience string
	scope    string
	clock    Clock
	random   func() float64
	hooks    SourceHooks

	mu       sync.Mutex
	token    *issuedToken
	renewing chan struct{} // closed when the attempt that goes on has ended; nil if none does
	failure  error         // of the latest attempt
	notUntil time.Time     // before when it is not asked again
	failures int           // in a row
	replaced time.Time     // when a token was last dropped since a service refused it
	next     int           // the replica that is asked first
}

// issuedToken is a token, and its times by the clock here.
type issuedToken struct {
	text             string
	renewAt, expires time.Time
}

// SourceOption is an option of [NewTokenSource].
type SourceOption func(*TokenSource)

// WithScopes asks for these scopes alone. By default the token gets all that the client may have at the audience.
func WithScopes(scopes ...string) SourceOption {
	return func(s *TokenSource) { s.scope = strings.Join(scopes, " ") }
}

// WithSourceHooks has functions called when something happens that metrics count.
func WithSourceHooks(hooks SourceHooks) SourceOption { return func(s *TokenSource) { s.hooks = hooks } }

// WithSourceClock has another clock than the system's: for tests.
func WithSourceClock(clock Clock) SourceOption { return func(s *TokenSource) { s.clock = clock } }

func withSourceRandom(random func() float64) SourceOption {
	return func(s *TokenSource) { s.random = random }
}

// NewTokenSource makes a source of tokens for the audience: the service that is to be called, and no other. It asks for the first token
// when a call needs it.
func NewTokenSource(server Server, grant Grant, audience string, options ...SourceOption) (*TokenSource, error) {
	if err := server.check(); err != nil {
		return nil, err
	}
	if audience == "" || grant.client.prove == nil {
		return nil, errors.New("signet: a source of tokens needs an audience and a grant")
	}
	source := &TokenSource{server: server, grant: grant, audience: audience, clock: systemClock{}, random: systemRandom}
	for _, option := range options {
		option(source)
	}
	if grant.refresh != nil && !grant.refresh.isTaken.CompareAndSwap(false, true) {
		return nil, errors.New("signet: the refresh token belongs to another source already: two that exchange it end the user's session")
	}
	return source, nil
}

// Audience is whom the tokens are meant for.
func (s *TokenSource) Audience() string { return s.audience }

// Token is a live token: the present one, or else a new one, for which the call waits as long as its context lets it.
//
// It fails with a gRPC status: UNAUTHENTICATED with Signet's reason if Signet has refused for good, UNAVAILABLE if Signet cannot be asked
// and no token is left that lives. Why that is so, [errors.Unwrap] tells.
func (s *TokenSource) Token(ctx context.Context) (string, error) {
	for {
		s.mu.Lock()
		now := s.clock.Now()
		if token := s.token; token != nil && now.Before(token.expires) {
			if !now.Before(token.renewAt) && s.renewing == nil && !now.Before(s.notUntil) {
				s.startRenewal()
			}
			s.mu.Unlock()
			return token.text, nil
		}
		if s.renewing == nil {
			if now.Before(s.notUntil) {
				failure := s.failure
				s.mu.Unlock()
				if refusal, ok := failure.(*Refusal); ok {
					failure = refusal.with(nil) // Many calls are told of it.
				}
				return "", failure
			}
			s.startRenewal()
		}
		renewed := s.renewing
		s.mu.Unlock()
		select {
		case <-renewed:
		case <-ctx.Done():
			return "", status.FromContextError(ctx.Err()).Err()
		}
	}
}

// startRenewal begins the one attempt that goes on. The source is locked.
func (s *TokenSource) startRenewal() {
	s.renewing = make(chan struct{})
	go s.renew()
}

// renewed ends the attempt that goes on.
func (s *TokenSource) renewed(token *issuedToken, err error) {
	s.mu.Lock()
	now := s.clock.Now()
	if err == nil {
		s.token, s.failure, s.failures, s.notUntil = token, nil, 0, time.Time{}
	} else {
		s.failures++
		var pause time.Duration
		s.failure, pause = s.failed(err)
		s.notUntil = now.Add(pause)
	}
	close(s.renewing)
	s.renewing = nil
	s.mu.Unlock()
	if s.hooks.TokenRenewed != nil {
		defer ignorePanic()
		s.hooks.TokenRenewed(err)
	}
}

// failed is what calls are told of a failure, and how long it is not asked again.
func (s *TokenSource) failed(err error) (error, time.Duration) {
	told := status.Convert(err)
	switch told.Code() {
	case codes.Unauthenticated, codes.InvalidArgument, codes.PermissionDenied, codes.FailedPrecondition, codes.NotFound:
		proto := told.Proto()
		proto.Code = int32(codes.Unauthenticated)
		return status.FromProto(proto).Err(), finalPause
	}
	pause := backoff(s.random, s.failures, firstIssueRetry, lastIssueRetry)
	if refusal, ok := RefusalFrom(err); ok {
		pause = max(pause, min(refusal.RetryAfter, maxRetryAfter))
	}
	refusal := unavailable("no access token could be got")
	refusal.RetryAfter, refusal.cause = pause, err
	return refusal, pause
}

// drop forgets the token, if it is the present one.
func (s *TokenSource) drop(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != nil && s.token.text == token {
		s.token = nil
	}
}

// replace has the next call get another token than this one, which a service has refused. It is false if that has only just been done: a
// token that is got in the seconds after a revocation may be refused as well (docs/EVENTS.md, "What callers see").
func (s *TokenSource) replace(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == nil || s.token.text != token {
		return true // Another call has been quicker.
	}
	now := s.clock.Now()
	if !s.replaced.IsZero() && now.Sub(s.replaced) < replacePause {
		return false
	}
	s.replaced, s.token = now, nil
	return true
}

// renewAfter is when a token is renewed that lives so long.
func renewAfter(random func() float64, lifetime time.Duration) time.Duration {
	return randomPart(random, lifetime, renewFrom, renewTo)
}
