package signet

import (
	"context"
	"sync"
	"time"

	eventsv1 "example.com/signet/sdk/go/identity/events/v1"
)

// This file owns the revocations as the guard asks them: what was told, whether that is recent enough, and the open streams that end by it.
// following.go owns how they are followed.

// RevocationsState says how the stream of revocations is.
type RevocationsState string

const (
	// RevocationsConnecting: the stream is being opened.
	RevocationsConnecting RevocationsState = "connecting"
	// RevocationsComplete: the stream is open, and all that was revoked is known.
	RevocationsComplete RevocationsState = "complete"
	// RevocationsDown: the stream has ended. The verifier goes by what it knows for as long as [WithRevocationMaxAge] says.
	RevocationsDown RevocationsState = "down"
)

// revocations are what the guard asks.
type revocations struct {
	clock   Clock
	maxAge  time.Duration
	goesOn  bool // when stale
	hooks   *Hooks
	onKeys  func()
	revoked *revoked

	mu       sync.Mutex
	changed  chan struct{} // closed when something was told, and replaced
	open     map[*openStream]struct{}
	stopTime func() bool // of the timer that ends the open streams when nothing is heard
	isClosed bool
	lost     error // why the latest stream has ended, or could not be opened; nil while one goes on
}

func newRevocations(clock Clock, maxAge time.Duration, goesOn bool, hooks *Hooks, onKeys func()) *revocations {
	return &revocations{
		clock: clock, maxAge: maxAge, goesOn: goesOn, hooks: hooks, onKeys: onKeys, revoked: newRevoked(),
		changed: make(chan struct{}), open: make(map[*openStream]struct{}),
	}
}

// judge says why a token with these claims is not taken at this moment; nil if it is.
func (r *revocations) judge(said *claims, now time.Time) *Refusal {
	isComplete, heard := r.revoked.known()
	if !isComplete || !r.goesOn && elapsed(heard, now) > r.maxAge {
		return r.unknown()
	}
	if r.revoked.has(said) {
		return errTokenRevoked
	}
	return nil
}

// unknown is the refusal of what cannot be judged.
func (r *revocations) unknown() *Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	refusal := unavailable("it is not known what was revoked")
	refusal.cause = r.lost
	return refusal
}

// setLost notes why the stream has ended, or could not be opened; nil: one goes on.
func (r *revocations) setLost(err error) {
	r.mu.Lock()
	r.lost = err
	r.mu.Unlock()
	if err != nil {
		r.hooks.revocationsLost(err)
	}
}

// ready returns once the first snapshot is complete.
func (r *revocations) ready(ctx context.Context) error {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		if isComplete, _ := r.revoked.known(); isComplete {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return notReady("it is not known what was revoked", ctx.Err(), r.unknown().cause)
		}
	}
}

// take keeps what was told, and ends the open streams whose tokens are revoked by it.
func (r *revocations) take(message *eventsv1.WatchResponse) {
	hasChanged := r.revoked.take(message, r.clock.Now())
	r.mu.Lock()
	close(r.changed)
	r.changed = make(chan struct{})
	var ended []*openStream
	if hasChanged {
		for stream := range r.open {
			if r.revoked.has(stream.claims) {
				ended = append(ended, stream)
			}
		}
	}
	r.watchSilence()
	r.mu.Unlock()
	for _, stream := range ended {
		stream.end(errTokenRevoked)
	}
	if message.GetChanges().GetKeysChanged() || message.GetResync() != nil {
		r.onKeys()
	}
}

// add has the stream end when its token is revoked. What was told between its opening and now counts.
func (r *revocations) add(stream *openStream) {
	r.mu.Lock()
	r.open[stream] = struct{}{}
	if r.stopTime == nil {
		r.watchSilence()
	}
	r.mu.Unlock()
	if refusal := r.judge(stream.claims, r.clock.Now()); refusal != nil {
		stream.end(refusal)
	}
}

func (r *revocations) remove(stream *openStream) {
	r.mu.Lock()
	delete(r.open, stream)
	r.mu.Unlock()
}

// watchSilence sets the timer for the moment from which on calls are refused since nothing was heard for too long.
func (r *revocations) watchSilence() {
	if r.stopTime != nil {
		r.stopTime()
		r.stopTime = nil
	}
	if r.goesOn || r.isClosed || len(r.open) == 0 {
		return
	}
	_, heard := r.revoked.known()
	left := heard.Add(r.maxAge).Sub(r.clock.Now()) + time.Nanosecond
	r.stopTime = r.clock.AfterFunc(left, r.endStale)
}

func (r *revocations) endStale() {
	r.mu.Lock()
	_, heard := r.revoked.known()
	if elapsed(heard, r.clock.Now()) <= r.maxAge {
		r.watchSilence()
		r.mu.Unlock()
		return
	}
	r.stopTime = nil
	ended := make([]*openStream, 0, len(r.open))
	for stream := range r.open {
		ended = append(ended, stream)
	}
	r.mu.Unlock()
	for _, stream := range ended {
		stream.end(r.unknown())
	}
}

func (r *revocations) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isClosed = true
	r.watchSilence()
}
