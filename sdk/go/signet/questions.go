package signet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// This file owns how calls wait for introspection: those with one token share a question, and only so many questions are open.

const (
	// introspectionTimeout is how long a question may be open.
	introspectionTimeout = 5 * time.Second
	// maxQuestions is how many may be open: whoever has many tokens without room for roles must not flood Signet by this service.
	maxQuestions = 1_000
)

var (
	errIntrospectionTimeout  = errors.New("signet: introspection did not answer in time")
	errIntrospectionPanicked = errors.New("signet: the introspector panicked")
	errVerifierClosed        = errors.New("signet: the verifier was closed")
)

// questions are those that are open.
type questions struct {
	clock Clock
	to    Introspector

	mu       sync.Mutex
	open     map[fingerprint]*question
	isClosed bool
}

// question is one about a token. What was told is set before answered is closed.
type question struct {
	cancel   context.CancelCauseFunc
	ended    <-chan struct{} // closed when it is too late for an answer
	answered chan struct{}
	told     Introspection
	err      error
}

func newQuestions(clock Clock, to Introspector) *questions {
	return &questions{clock: clock, to: to, open: make(map[fingerprint]*question)}
}

// ask is what is told of the token.
func (q *questions) ask(ctx context.Context, token string) (Introspection, *Refusal) {
	open, refusal := q.about(ctx, token)
	if refusal != nil {
		return Introspection{}, refusal
	}
	select {
	case <-open.answered:
	case <-open.ended:
	case <-ctx.Done():
		return Introspection{}, gaveUp(ctx)
	}
	err := errIntrospectionTimeout
	select {
	case <-open.answered: // It has ended by that.
		err = open.err
	default: // The introspector does not look at its context.
	}
	if err != nil {
		refusal := unavailable("introspection cannot be asked")
		refusal.cause = err
		return Introspection{}, refusal
	}
	return open.told, nil
}

// about is the open question about the token. It belongs to no call, so that none ends it for the others.
func (q *questions) about(ctx context.Context, token string) (*question, *Refusal) {
	print := fingerprint(sha256.Sum256([]byte(token)))
	q.mu.Lock()
	defer q.mu.Unlock()
	switch open := q.open[print]; {
	case open != nil:
		return open, nil
	case len(q.open) >= maxQuestions:
		return nil, unavailable("too many calls wait for introspection")
	case q.isClosed:
		refusal := unavailable("introspection cannot be asked")
		refusal.cause = errVerifierClosed
		return nil, refusal
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	open := &question{cancel: cancel, ended: ctx.Done(), answered: make(chan struct{})}
	q.open[print] = open
	go q.put(ctx, open, print, token)
	return open, nil
}

// put asks the question. An introspector that never returns keeps its place.
func (q *questions) put(ctx context.Context, open *question, print fingerprint, token string) {
	stop := q.clock.AfterFunc(introspectionTimeout, func() { open.cancel(errIntrospectionTimeout) })
	defer func() {
		if panicked := recover(); panicked != nil {
			open.err = fmt.Errorf("%w: %v", errIntrospectionPanicked, panicked)
		}
		q.mu.Lock()
		delete(q.open, print)
		q.mu.Unlock()
		close(open.answered)
		stop()
		open.cancel(nil)
	}()
	open.told, open.err = q.to.Introspect(ctx, token)
}

// close ends the open questions, and takes no more.
func (q *questions) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.isClosed = true
	for _, open := range q.open {
		open.cancel(errVerifierClosed)
	}
}
