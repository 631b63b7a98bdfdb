package signet

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	eventsv1 "example.com/signet/sdk/go/identity/events/v1"
)

// This file owns opening Signet's stream of revocations, with a token of the service's own.

// watchScope is what a client needs that follows what was revoked.
const watchScope = "signet.events.watch"

// watchTokenTimeout is how long a stream waits for its token.
const watchTokenTimeout = 10 * time.Second

// watcher is the [RevocationSource] of Signet itself.
type watcher struct {
	server Server
	source *TokenSource
	clock  Clock
	next   int
}

func newWatcher(server Server, client ClientAuth, clock Clock, random func() float64) (*watcher, error) {
	source, err := NewTokenSource(server, ClientCredentials(client), server.audience(), WithScopes(watchScope),
		WithSourceClock(clock), withSourceRandom(random))
	if err != nil {
		return nil, err
	}
	return &watcher{server: server, source: source, clock: clock}, nil
}

// watchStream is an open stream, its channel, and the token that it was opened with.
type watchStream struct {
	grpc.ServerStreamingClient[eventsv1.WatchResponse]
	token  string
	source *TokenSource
}

// Watch implements [RevocationSource].
func (w *watcher) Watch(ctx context.Context, resumeToken []byte) (RevocationStream, error) {
	tokenContext, cancel := withTimeout(ctx, w.clock, watchTokenTimeout, context.DeadlineExceeded)
	token, err := w.source.Token(tokenContext)
	cancel()
	if err != nil {
		return nil, err
	}
	address := w.server.Addresses[w.next%len(w.server.Addresses)]
	w.next++
	channel, err := w.server.dial(address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = channel.Close() })
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	stream, err := eventsv1.NewEventServiceClient(channel).Watch(ctx, &eventsv1.WatchRequest{ResumeToken: resumeToken})
	if err != nil {
		return nil, err
	}
	return &watchStream{ServerStreamingClient: stream, token: token, source: w.source}, nil
}

// Recv implements [RevocationStream].
func (s *watchStream) Recv() (*eventsv1.WatchResponse, error) {
	message, err := s.ServerStreamingClient.Recv()
	if status.Code(err) == codes.Unauthenticated && !errors.Is(err, context.Canceled) {
		s.source.drop(s.token) // It has expired, or its client has changed: the next stream has another one.
	}
	return message, err
}
