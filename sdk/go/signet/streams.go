package signet

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// This file owns the end of open streams: when their tokens expire or are revoked, while their handlers do whatever they do.

// streamLook is how often an open stream is looked at: the clock may have been set forward, or the machine have slept, and no timer has
// noticed.
const streamLook = 5 * time.Second

// openStream is a stream whose handler runs.
type openStream struct {
	claims   *claims
	metadata map[string]string // of its refusal
	ended    chan struct{}

	mu      sync.Mutex
	refusal *Refusal
}

// end has the stream end with the refusal, unless it has ended before.
func (s *openStream) end(refusal *Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal == nil {
		s.refusal = refusal
		close(s.ended)
	}
}

// reason is why the stream has ended, for whoever asks alone; nil if it has not.
func (s *openStream) reason() *Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal == nil {
		return nil
	}
	return s.refusal.with(s.metadata)
}

// guardedStream is the stream as its handler sees it: after its end nothing is sent or received any more.
type guardedStream struct {
	grpc.ServerStream
	ctx  context.Context
	open *openStream
}

// Context implements [grpc.ServerStream].
func (s *guardedStream) Context() context.Context { return s.ctx }

// SendMsg implements [grpc.ServerStream].
func (s *guardedStream) SendMsg(message any) error {
	if refusal := s.open.reason(); refusal != nil {
		return refusal
	}
	err := s.ServerStream.SendMsg(message)
	if refusal := s.open.reason(); refusal != nil && err != nil {
		return refusal // That is why.
	}
	return err
}

// RecvMsg implements [grpc.ServerStream].
func (s *guardedStream) RecvMsg(message any) error {
	if refusal := s.open.reason(); refusal != nil {
		return refusal
	}
	err := s.ServerStream.RecvMsg(message)
	if refusal := s.open.reason(); refusal != nil { // The stream has ended while this waited.
		return refusal
	}
	return err
}

// outcome is how a handler has ended.
type outcome struct {
	err      error
	panicked any
	hasEnded bool // false if it panicked, or called runtime.Goexit
}

// serve runs the handler of a stream of the caller until it returns or the stream ends.
func (g *Guard) serve(
	ctx context.Context, caller *Caller, stream grpc.ServerStream, method string, handler func(grpc.ServerStream) error,
) error {
	v := g.verifier
	metadata := map[string]string{"audience": v.audienceOf(g.policy.declaration(method).rule), "method": method}
	open := &openStream{claims: caller.claims, metadata: metadata, ended: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if v.revocations != nil {
		v.revocations.add(open)
		defer v.revocations.remove(open)
	}
	stop := open.watch(v, time.Unix(caller.claims.Expires, 0).Add(v.settings.streamGrace))
	defer stop()
	done := make(chan outcome, 1)
	go func() {
		var how outcome
		defer func() {
			if !how.hasEnded {
				how.panicked = recover()
				how.err = status.Error(codes.Internal, "the handler has not returned")
			}
			done <- how // If the stream has ended before, nobody looks at it: its caller has been told why.
		}()
		how.err = handler(&guardedStream{ServerStream: stream, ctx: ctx, open: open})
		how.hasEnded = true
	}()
	select {
	case how := <-done:
		if how.panicked != nil {
			panic(how.panicked) // Here, where an interceptor in front recovers it.
		}
		if open.reason() == nil {
			return how.err
		}
	case <-open.ended:
	}
	cancel(open.reason())
	refusal := open.reason()
	v.settings.hooks.streamEnded(refusal.Reason)
	return refusal
}

// watch has the stream end at a time by the clock, as that of an expired token, and looks again and again whether it may go on.
func (s *openStream) watch(v *Verifier, until time.Time) (stop func()) {
	clock := v.settings.clock
	var mu sync.Mutex
	var stopTimer func() bool
	isStopped := false
	var look func()
	look = func() {
		mu.Lock()
		defer mu.Unlock()
		if isStopped {
			return
		}
		now := clock.Now()
		left := until.Sub(now)
		if left <= 0 {
			s.end(errTokenExpired)
			return
		}
		if v.revocations != nil {
			if refusal := v.revocations.judge(s.claims, now); refusal != nil {
				s.end(refusal)
				return
			}
		}
		stopTimer = clock.AfterFunc(min(left, streamLook), look)
	}
	look()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		isStopped = true
		if stopTimer != nil {
			stopTimer()
		}
	}
}
