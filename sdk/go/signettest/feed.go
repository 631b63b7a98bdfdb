package signettest

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	eventsv1 "example.com/signet/sdk/go/identity/events/v1"
	"example.com/signet/sdk/go/signet"
)

// This file owns the stream of revocations within the process.

// feed is a signet.RevocationSource whose streams are told what the issuer revokes.
type feed struct {
	mu       sync.Mutex
	snapshot func() *eventsv1.Snapshot
	streams  map[*feedStream]struct{}
	isDown   bool
}

// feedStream hands over one message at a time. That it is asked for the next one says that the one before has been taken.
type feedStream struct {
	ctx      context.Context
	messages chan *eventsv1.WatchResponse
	asked    chan struct{} // by Recv, once for each message
	first    []*eventsv1.WatchResponse
	broken   chan struct{}
}

func newFeed(snapshot func() *eventsv1.Snapshot) *feed {
	return &feed{snapshot: snapshot, streams: make(map[*feedStream]struct{})}
}

// Watch implements signet.RevocationSource.
func (f *feed) Watch(ctx context.Context, _ []byte) (signet.RevocationStream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isDown {
		return nil, status.Error(codes.Unavailable, "the feed of the test is down")
	}
	stream := &feedStream{
		ctx: ctx, messages: make(chan *eventsv1.WatchResponse), asked: make(chan struct{}), broken: make(chan struct{}),
		first: []*eventsv1.WatchResponse{{Part: &eventsv1.WatchResponse_Snapshot{Snapshot: f.snapshot()}}},
	}
	f.streams[stream] = struct{}{}
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.streams, stream)
	})
	return stream, nil
}

// Recv implements signet.RevocationStream.
func (s *feedStream) Recv() (*eventsv1.WatchResponse, error) {
	if len(s.first) > 0 {
		message := s.first[0]
		s.first = s.first[1:]
		return message, nil
	}
	for {
		select {
		case s.asked <- struct{}{}: // Who has told the message before goes on.
		case message := <-s.messages:
			return message, nil
		case <-s.broken:
			return nil, status.Error(codes.Unavailable, "the feed of the test is down")
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
	}
}

// tell returns when all verifiers that follow the feed have taken the message.
func (f *feed) tell(message *eventsv1.WatchResponse) {
	f.mu.Lock()
	streams := make([]*feedStream, 0, len(f.streams))
	for stream := range f.streams {
		streams = append(streams, stream)
	}
	f.mu.Unlock()
	for _, stream := range streams {
		if stream.hand(message) {
			stream.isTaken()
		}
	}
}

func (s *feedStream) hand(message *eventsv1.WatchResponse) bool {
	select {
	case s.messages <- message:
		return true
	case <-s.broken:
	case <-s.ctx.Done():
	}
	return false
}

func (s *feedStream) isTaken() {
	select {
	case <-s.asked:
	case <-s.broken:
	case <-s.ctx.Done():
	}
}

// setDown breaks all streams, and refuses new ones until it is up again.
func (f *feed) setDown(isDown bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.isDown = isDown
	if isDown {
		for stream := range f.streams {
			close(stream.broken)
			delete(f.streams, stream)
		}
	}
}
