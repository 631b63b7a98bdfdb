package signet

import (
	"context"
	"errors"
	"time"
)

// This file owns when an issuer's keys are fetched: before they are stale, soon again after a failure, and when a call needs one that is
// not known, but never in a hurry.

const (
	// defaultMaxAge is how long keys are kept whose issuer does not say.
	defaultMaxAge = 5 * time.Minute
	// Keys are fetched again at least and at most this often, whatever the issuer says.
	minRefreshInterval, maxRefreshInterval = 30 * time.Second, time.Hour
	// After the first failure it is tried again in a second, doubled with each further one up to a minute.
	firstFetchRetry, lastFetchRetry = time.Second, time.Minute
)

// KeySource is where the keys of an issuer come from. [WithKeySource] is for tests, and for issuers that are not asked over HTTP.
type KeySource interface {
	// FetchKeys asks once, and gives a JWK Set (RFC 7517 section 5) and for how long it may be kept; zero if that is not said.
	FetchKeys(ctx context.Context) (document []byte, maxAge time.Duration, err error)
}

var errFetchTimeout = errors.New("signet: there was no answer in time")

// keepFresh fetches the keys until the context ends.
func (k *issuerKeys) keepFresh(ctx context.Context) {
	failures := 0
	for {
		began, number := k.begin()
		set, maxAge, err := k.fetchOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		var pause time.Duration
		if err == nil {
			failures = 0
			pause = freshFor(k.random, maxAge)
		} else {
			failures++
			pause = backoff(k.random, failures, firstFetchRetry, lastFetchRetry)
		}
		k.end(set, began, err)
		k.onFetched(err)
		if k.untilNext(ctx, number, began, k.clock.Now().Add(pause)) != nil {
			return
		}
	}
}

func (k *issuerKeys) begin() (time.Time, uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attempts.begun++
	k.attempts.latest = k.clock.Now()
	return k.attempts.latest, k.attempts.begun
}

func (k *issuerKeys) fetchOnce(ctx context.Context) (*keySet, time.Duration, error) {
	ctx, cancel := withTimeout(ctx, k.clock, fetchTimeout, errFetchTimeout)
	defer cancel()
	document, maxAge, err := k.source.FetchKeys(ctx)
	if err != nil {
		return nil, 0, err
	}
	var known *keySet
	if confirmed := k.confirmed.Load(); confirmed != nil {
		known = confirmed.set
	}
	set, err := readKeySet(document, known)
	return set, maxAge, err
}

func (k *issuerKeys) end(set *keySet, began time.Time, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attempts.ended = k.attempts.begun
	k.attempts.failure = err
	if err == nil {
		k.attempts.succeeded = k.attempts.begun
		k.confirmed.Store(&confirmedKeys{set: set, at: began})
	}
	close(k.changed)
	k.changed = make(chan struct{})
}

// untilNext returns when the attempt after the one of the number may begin: when it is due, at once if the issuer says that its keys have
// changed, and some seconds after the last one began if a call needs it.
func (k *issuerKeys) untilNext(ctx context.Context, number uint64, began, due time.Time) error {
	for {
		k.mu.Lock()
		isUrgent, isWanted := k.urgent > number, k.wanted > number
		k.mu.Unlock()
		if isUrgent {
			return nil
		}
		next := due
		if earliest := began.Add(k.pause); isWanted && earliest.Before(due) {
			next = earliest
		}
		pause := next.Sub(k.clock.Now())
		if pause <= 0 {
			return nil
		}
		isTime, stop := after(k.clock, pause)
		select {
		case <-isTime:
			return nil
		case <-k.wake:
			stop()
		case <-ctx.Done():
			stop()
			return ctx.Err()
		}
	}
}

// freshFor is somewhat less than the issuer allows, so that the replicas of a service do not all ask at one moment, within the bounds.
func freshFor(random func() float64, maxAge time.Duration) time.Duration {
	if maxAge <= 0 {
		maxAge = defaultMaxAge
	}
	return max(randomPart(random, min(maxAge, maxRefreshInterval), 0.8, 1), minRefreshInterval)
}
