package signet

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	eventsv1 "example.com/signet/sdk/go/identity/events/v1"
)

// This file owns following the stream of revocations (docs/EVENTS.md): where to go on, and when to call again.

const (
	// maxSilence is how long a stream may tell nothing: a heartbeat comes every 10 seconds.
	maxSilence = 30 * time.Second
	// callAgain is what is waited at least after a refusal, and lastCallAgain at most after refusals that last until an operator has done
	// something.
	callAgain, lastCallAgain = time.Second, 30 * time.Second
	// overloadedPause is waited where a refusal for want of room does not say how long.
	overloadedPause = 10 * time.Second
	// spread is the time within which all who have lost a stream call again.
	spread = time.Second
)

// RevocationSource opens streams of what was revoked: identity.events.v1.EventService.Watch. [WithRevocationSource] is for tests.
type RevocationSource interface {
	// Watch opens a stream that goes on at the place, at the next of several replicas each time. It ends with the context.
	Watch(ctx context.Context, resumeToken []byte) (RevocationStream, error)
}

// RevocationStream is an open stream of what was revoked.
type RevocationStream interface {
	// Recv waits for the next message. At the end of the stream it fails, with [io.EOF] or a gRPC status.
	Recv() (*eventsv1.WatchResponse, error)
}

var errSilence = errors.New("signet: the stream of revocations told nothing for too long")

// follower follows the stream.
type follower struct {
	clock  Clock
	random func() float64
	source RevocationSource
	to     *revocations

	resumeToken []byte
	failures    int
}

// follow keeps a stream open until the context ends.
func (f *follower) follow(ctx context.Context) {
	for ctx.Err() == nil {
		f.to.hooks.revocations(RevocationsConnecting)
		hasHeard, err := f.watch(ctx)
		if ctx.Err() != nil {
			return
		}
		f.to.setLost(err)
		f.to.hooks.revocations(RevocationsDown)
		pause := time.Duration(0)
		if hasHeard {
			f.failures = 0 // A stream that has begun may end, by the life of its token or with its replica.
		} else {
			f.failures++
			pause = f.pauseAfter(err)
		}
		// All others that have lost their streams call again, too.
		pause += randomPart(f.random, spread, 0, 1)
		if sleep(ctx, f.clock, pause) != nil {
			return
		}
	}
}

// pauseAfter is how long to wait after a refusal.
func (f *follower) pauseAfter(err error) time.Duration {
	var told codes.Code
	if refusal, ok := RefusalFrom(err); ok {
		told = refusal.Code
		if refusal.RetryAfter > 0 {
			return min(refusal.RetryAfter, maxRetryAfter)
		}
	} else {
		told = status.Code(err)
	}
	switch told {
	case codes.ResourceExhausted:
		return overloadedPause
	case codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument:
		// The operator has to do something. What was only just given back works after some seconds.
		return backoff(func() float64 { return 1 }, f.failures, callAgain, lastCallAgain)
	default:
		return callAgain
	}
}

// watch follows one stream to its end, and says whether anything was heard.
func (f *follower) watch(ctx context.Context) (hasHeard bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(context.Canceled)
	stopSilence := f.clock.AfterFunc(maxSilence, func() { cancel(errSilence) })
	defer func() { stopSilence() }()
	stream, err := f.source.Watch(ctx, f.resumeToken)
	if err != nil {
		return false, err
	}
	wasComplete := false
	for {
		message, err := stream.Recv()
		if err != nil {
			if errors.Is(context.Cause(ctx), errSilence) {
				err = errSilence
			}
			return hasHeard, err
		}
		stopSilence()
		stopSilence = f.clock.AfterFunc(maxSilence, func() { cancel(errSilence) })
		if message.GetResync() != nil {
			f.resumeToken = nil
		}
		if !hasHeard && f.to.onKeys != nil {
			f.to.onKeys() // What was changed while there was no stream.
		}
		if !hasHeard {
			f.to.setLost(nil)
		}
		hasHeard = true
		f.to.take(message)
		if token := message.GetResumeToken(); len(token) > 0 {
			f.resumeToken = token
		}
		if isComplete, _ := f.to.revoked.known(); isComplete && !wasComplete {
			wasComplete = true
			f.to.hooks.revocations(RevocationsComplete)
		}
	}
}
