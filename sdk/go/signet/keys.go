package signet

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// This file owns an issuer's keys as they are known in this process: who may wait for them, and for how long. fetching.go owns when they
// are fetched.

const (
	// fetchTimeout is how long one attempt to fetch keys may take, and a call may wait for the first keys.
	fetchTimeout = 5 * time.Second
	// unknownKeyPause lies at least between the beginnings of two attempts that calls ask for, by naming a key that is not known: anybody
	// can ask so.
	unknownKeyPause = 5 * time.Second
	// keysCountFor is how long the last good keys count while the issuer is away. It bounds how long a key that the issuer has revoked
	// goes on counting for whoever can keep the issuer from being reached.
	keysCountFor = 24 * time.Hour
	// maxWaitingForKeys is how many calls may wait: a flood of made-up ids must not fill the memory.
	maxWaitingForKeys = 1_000
	// maxSightings is how many unknown ids are remembered (at most 255 bytes each). More are made up, and then it does not matter which are
	// forgotten: a forgotten one waits for one attempt more.
	maxSightings = 1_024
)

// issuerKeys are the keys of the issuer, fetched in the background.
type issuerKeys struct {
	clock     Clock
	random    func() float64
	source    KeySource
	pause     time.Duration // unknownKeyPause, but in tests
	onFetched func(error)

	confirmed atomic.Pointer[confirmedKeys]
	wake      chan struct{} // somebody wants an attempt

	mu        sync.Mutex
	changed   chan struct{} // closed when an attempt has ended, and replaced
	attempts  attempts
	wanted    uint64 // the attempt that waiting calls need
	urgent    uint64 // the attempt that must not wait for unknownKeyPause
	waiting   int
	sightings map[string]uint64 // attempts begun when the id was first named
}

// confirmedKeys are a key set, and when the attempt began that has got it.
type confirmedKeys struct {
	set *keySet
	at  time.Time
}

// attempts to fetch keys are counted from 1; one goes on at a time.
type attempts struct {
	begun, ended, succeeded uint64
	latest                  time.Time // when the latest began
	failure                 error     // why the latest that has ended failed, if it did
}

func newIssuerKeys(clock Clock, random func() float64, source KeySource, pause time.Duration, onFetched func(error)) *issuerKeys {
	return &issuerKeys{
		clock: clock, random: random, source: source, pause: pause, onFetched: onFetched, wake: make(chan struct{}, 1),
		changed: make(chan struct{}), sightings: make(map[string]uint64),
	}
}

// inForce are the keys that count at this moment; nil if there are none.
func (k *issuerKeys) inForce(now time.Time) *keySet {
	confirmed := k.confirmed.Load()
	if confirmed == nil || elapsed(confirmed.at, now) > keysCountFor {
		return nil
	}
	return confirmed.set
}

// ready returns once keys are known.
func (k *issuerKeys) ready(ctx context.Context) error {
	for {
		k.mu.Lock()
		changed := k.changed
		k.mu.Unlock()
		if k.inForce(k.clock.Now()) != nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			k.mu.Lock()
			defer k.mu.Unlock()
			return notReady("the issuer's keys are not known", ctx.Err(), k.attempts.failure)
		}
	}
}

// current are the keys in force; a call waits for the first ones.
func (k *issuerKeys) current(ctx context.Context) (*keySet, *Refusal) {
	pick := func() *keySet { return k.inForce(k.clock.Now()) }
	if set := pick(); set != nil {
		return set, nil
	}
	k.mu.Lock()
	since := k.attempts.begun
	k.mu.Unlock()
	set, refusal := waitForKeys(ctx, k, since, fetchTimeout, pick)
	if refusal == nil && set == nil {
		refusal = unavailable("the issuer has no keys")
	}
	return set, refusal
}

// find is the key that a token names and that is not among those in force; nil if the issuer does not have it.
func (k *issuerKeys) find(ctx context.Context, kid string) (*verifyingKey, *Refusal) {
	pick := func() *verifyingKey { return k.inForce(k.clock.Now()).get(kid) }
	k.mu.Lock()
	if key := pick(); key != nil {
		k.mu.Unlock()
		return key, nil
	}
	since, isOpen := k.decidedAfter(kid)
	if !isOpen {
		k.mu.Unlock()
		return nil, nil
	}
	if k.waiting < maxWaitingForKeys {
		// Only with a place: whoever floods must not push out what others wait for.
		k.sight(kid, since)
	}
	k.mu.Unlock()
	return waitForKeys(ctx, k, since, k.pause+fetchTimeout, pick)
}

// decidedAfter is after how many attempts have begun the next one decides on a key that is not known. It is false if that is decided
// already, and is not to be asked again yet.
func (k *issuerKeys) decidedAfter(kid string) (uint64, bool) {
	a := &k.attempts
	first, wasNamed := k.sightings[kid]
	isAsking := a.begun > a.ended
	switch {
	case !wasNamed:
		return a.begun, true
	case a.succeeded > first && isAsking: // An attempt that began after it was named did not find it. The present one may.
		return a.begun - 1, true
	case a.succeeded > first:
		return a.begun, !k.isPausing()
	case a.ended <= first:
		return first, true
	default:
		return a.begun, true
	}
}

// isPausing says whether it is too early for an attempt that calls ask for, and none goes on.
func (k *issuerKeys) isPausing() bool {
	a := &k.attempts
	return a.begun == a.ended && !a.latest.IsZero() && k.clock.Now().Sub(a.latest) < k.pause
}

func (k *issuerKeys) sight(kid string, since uint64) {
	if _, found := k.sightings[kid]; !found && len(k.sightings) >= maxSightings {
		for any := range k.sightings {
			delete(k.sightings, any)
			break
		}
	}
	k.sightings[kid] = since
}

var errWaitedTooLong = errors.New("signet: waited too long for the issuer's keys")

// waitForKeys is what pick finds after an attempt beyond the first `since`; the zero value if it finds nothing then.
func waitForKeys[T any](ctx context.Context, k *issuerKeys, since uint64, limit time.Duration, pick func() *T) (*T, *Refusal) {
	k.mu.Lock()
	if k.waiting >= maxWaitingForKeys {
		k.mu.Unlock()
		return nil, unavailable("too many calls wait for the issuer's keys")
	}
	k.waiting++
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.waiting--
		k.mu.Unlock()
	}()
	waitContext, cancel := withTimeout(ctx, k.clock, limit, errWaitedTooLong)
	defer cancel()
	for {
		found := pick()
		k.mu.Lock()
		hasSucceeded, failure := k.attempts.succeeded > since, k.failureFor(since)
		changed := k.changed
		if found == nil && !hasSucceeded && failure == nil {
			k.wanted = max(k.wanted, since+1)
		}
		k.mu.Unlock()
		switch {
		case found != nil:
			return found, nil
		case hasSucceeded:
			return pick(), nil // What that attempt brought may have come after the first look.
		case failure != nil:
			refusal := unavailable("the issuer's keys cannot be fetched")
			refusal.cause = failure
			return nil, refusal
		}
		k.wakeUp()
		select {
		case <-changed:
		case <-waitContext.Done():
			if ctx.Err() == nil {
				return nil, unavailable("the issuer's keys cannot be fetched in time")
			}
			return nil, gaveUp(ctx)
		}
	}
}

// failureFor is why the issuer's answer cannot be waited for by a call that needs an attempt beyond the first `since`.
func (k *issuerKeys) failureFor(since uint64) error {
	// A call need not wait for another try when the last one has just failed.
	if k.attempts.ended > since || k.isPausing() {
		return k.attempts.failure
	}
	return nil
}

// refresh has the keys fetched at once: the issuer has said that they have changed.
func (k *issuerKeys) refresh() {
	k.mu.Lock()
	k.urgent = max(k.urgent, k.attempts.begun+1)
	k.mu.Unlock()
	k.wakeUp()
}

func (k *issuerKeys) wakeUp() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}
