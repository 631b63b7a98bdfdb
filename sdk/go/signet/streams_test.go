package signet_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	eventsv1 "example.com/signet/sdk/go/identity/events/v1"
	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns the tests of open streams: when they end, and what their handlers see of it.

// watching opens a stream as a client.
func watching(
	t testing.TB, issuer *signettest.Issuer, listener *bufconn.Listener, client signettest.Client,
) grpc.ServerStreamingClient[eventsv1.WatchResponse] {
	t.Helper()
	client.Scopes = []string{"signet.events.watch"}
	ctx := withToken(t.Context(), issuer.Token(client))
	stream, err := eventsv1.NewEventServiceClient(plain(t, listener)).Watch(ctx, &eventsv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil { // The handler runs.
		t.Fatal(err)
	}
	return stream
}

// idle is a handler that says one thing, and then waits for the end of the call in a way that knows nothing of contexts.
func idle(ended chan<- error) func(*eventsv1.WatchRequest, grpc.ServerStreamingServer[eventsv1.WatchResponse]) error {
	return func(_ *eventsv1.WatchRequest, stream grpc.ServerStreamingServer[eventsv1.WatchResponse]) error {
		if err := stream.Send(&eventsv1.WatchResponse{}); err != nil {
			return err
		}
		<-stream.Context().Done()
		ended <- context.Cause(stream.Context())
		return stream.Context().Err()
	}
}

func TestStreamsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(*signettest.Issuer, string)
		code   codes.Code
		reason string
	}{
		"when the token expires": {
			func(issuer *signettest.Issuer, _ string) { issuer.Advance(15*time.Minute + 30*time.Second) }, codes.Unauthenticated, "TOKEN_EXPIRED",
		},
		"when it is revoked": {
			func(issuer *signettest.Issuer, id string) { issuer.RevokeClient(id) }, codes.Unauthenticated, "TOKEN_REVOKED",
		},
		"when a scope is taken away": {
			func(issuer *signettest.Issuer, id string) { issuer.RevokeScopes(id, "stock", "signet.events.watch") }, codes.Unauthenticated, "TOKEN_REVOKED",
		},
		"when nothing is heard": {
			func(issuer *signettest.Issuer, _ string) {
				issuer.SetFeedDown(true)
				issuer.Advance(31 * time.Second)
			}, codes.Unavailable, "UNAVAILABLE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			issuer := signettest.NewIssuer(t)
			ended := make(chan error, 1)
			listener := serve(t, guarded{watch: idle(ended)}, newGuard(t, issuer).ServerOptions()...)
			id := signettest.NewUUID()
			stream := watching(t, issuer, listener, signettest.Client{ID: id})
			c.end(issuer, id)
			_, err := stream.Recv()
			wantReason(t, err, c.code, c.reason)
			if cause := <-ended; !errors.As(cause, new(*signet.Refusal)) {
				t.Errorf("the handler's context ended by %v", cause)
			}
		})
	}
}

func TestAStreamEndsWhoseHandlerIsBlockedInSending(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	returned := make(chan error, 1)
	service := guarded{watch: func(_ *eventsv1.WatchRequest, stream grpc.ServerStreamingServer[eventsv1.WatchResponse]) error {
		for {
			if err := stream.Send(&eventsv1.WatchResponse{ResumeToken: make([]byte, 1<<16)}); err != nil {
				returned <- err
				return err
			}
		}
	}}
	listener := serve(t, service, newGuard(t, issuer).ServerOptions()...)
	id := signettest.NewUUID()
	stream := watching(t, issuer, listener, signettest.Client{ID: id})
	issuer.RevokeClient(id)
	if err := <-returned; err == nil {
		t.Error("it goes on sending")
	}
	for {
		if _, err := stream.Recv(); err != nil {
			wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenRevoked)
			return
		}
	}
}

func TestAPanicOfAHandlerReachesTheInterceptorInFront(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	recovering := func(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		defer func() {
			if recover() != nil {
				err = status.Error(codes.DataLoss, "recovered")
			}
		}()
		return handler(service, stream)
	}
	service := guarded{watch: func(*eventsv1.WatchRequest, grpc.ServerStreamingServer[eventsv1.WatchResponse]) error { panic("a bug") }}
	options := append([]grpc.ServerOption{grpc.ChainStreamInterceptor(recovering)}, newGuard(t, issuer).ServerOptions()...)
	listener := serve(t, service, options...)
	token := issuer.Token(signettest.Client{Scopes: []string{"signet.events.watch"}})
	stream, err := eventsv1.NewEventServiceClient(plain(t, listener)).Watch(withToken(t.Context(), token), &eventsv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.DataLoss {
		t.Error(err)
	}
}

// stepped is a clock that is set forward while its timers stand still, as when a machine wakes up.
type stepped struct {
	*signettest.Clock
	ahead *atomic.Int64 // nanoseconds
}

func (s stepped) Now() time.Time { return s.Clock.Now().Add(time.Duration(s.ahead.Load())) }

func TestAStreamEndsSoonAfterTheClockWasSetForward(t *testing.T) {
	for name, c := range map[string]struct {
		step         time.Duration
		code         codes.Code
		reason       string
		isNotRevoked bool
	}{
		"beyond its token's expiry":                {16 * time.Minute, codes.Unauthenticated, signet.ReasonTokenExpired, false},
		"and nothing was heard since before that":  {time.Minute, codes.Unavailable, signet.ReasonUnavailable, false},
		"and it is not followed what was revoked ": {16 * time.Minute, codes.Unauthenticated, signet.ReasonTokenExpired, true},
	} {
		t.Run(name, func(t *testing.T) {
			issuer := signettest.NewIssuer(t)
			clock := stepped{issuer.Clock(), &atomic.Int64{}}
			ended := make(chan error, 1)
			options := []signet.VerifierOption{signet.WithClock(clock)}
			if c.isNotRevoked {
				options = append(options, signet.WithStaleRevocations())
			}
			listener := serve(t, guarded{watch: idle(ended)}, newGuard(t, issuer, options...).ServerOptions()...)
			stream := watching(t, issuer, listener, signettest.Client{})
			clock.ahead.Store(int64(c.step))
			issuer.Clock().Advance(5 * time.Second) // No heartbeat comes.
			_, err := stream.Recv()
			wantReason(t, err, c.code, c.reason)
			<-ended
		})
	}
}

func TestWhatOneCallerDoesWithARefusalNoOtherCallerSees(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	causes := make(chan error, 1)
	listener := serve(t, guarded{watch: idle(causes)}, newGuard(t, issuer).ServerOptions()...)
	for range 2 {
		id := signettest.NewUUID()
		stream := watching(t, issuer, listener, signettest.Client{ID: id})
		issuer.RevokeClient(id)
		_, err := stream.Recv()
		wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenRevoked)
		var refusal *signet.Refusal
		if !errors.As(<-causes, &refusal) || refusal.Reason != signet.ReasonTokenRevoked ||
			refusal.Metadata["audience"] != "stock" || refusal.Metadata["method"] != eventsv1.EventService_Watch_FullMethodName {
			t.Fatalf("the handler was told %+v", refusal)
		}
		refusal.Reason, refusal.Metadata["audience"] = "CHANGED", "changed"
	}
}

// bothWays is Watch as a call in which both sides send: served by the handler, behind the interceptors, and opened by a client.
func bothWays(
	t *testing.T, issuer *signettest.Issuer, id string, handler func(grpc.ServerStream) error, options ...grpc.ServerOption,
) grpc.ClientStream {
	t.Helper()
	watch := grpc.StreamDesc{
		StreamName: "Watch", ClientStreams: true, ServerStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error { return handler(stream) },
	}
	server := grpc.NewServer(append(options, newGuard(t, issuer).ServerOptions()...)...)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: eventsv1.EventService_ServiceDesc.ServiceName, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{watch},
	}, struct{}{})
	listener := bufconn.Listen(1 << 16)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	ctx := withToken(t.Context(), issuer.Token(signettest.Client{ID: id, Scopes: []string{"signet.events.watch"}}))
	stream, err := plain(t, listener).NewStream(ctx, &watch, eventsv1.EventService_Watch_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestAHandlerThatIsBlockedInReceivingIsToldOfTheEnd(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	id, told := signettest.NewUUID(), make(chan error, 1)
	stream := bothWays(t, issuer, id, func(stream grpc.ServerStream) error {
		if err := stream.SendMsg(&eventsv1.WatchResponse{}); err != nil {
			return err
		}
		err := stream.RecvMsg(&eventsv1.WatchRequest{})
		told <- err
		return err
	})
	if err := stream.RecvMsg(&eventsv1.WatchResponse{}); err != nil { // The handler runs.
		t.Fatal(err)
	}
	issuer.RevokeClient(id)
	wantReason(t, <-told, codes.Unauthenticated, signet.ReasonTokenRevoked)
	wantReason(t, stream.RecvMsg(&eventsv1.WatchResponse{}), codes.Unauthenticated, signet.ReasonTokenRevoked)
}

// late is a stream whose first message is there only once it has ended.
type late struct {
	grpc.ServerStream
	asked, ended chan struct{}
}

// RecvMsg implements [grpc.ServerStream].
func (l late) RecvMsg(any) error {
	close(l.asked)
	<-l.ended
	return nil
}

func TestAMessageThatComesAfterTheEndReachesNoHandler(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	id, told, asked, ended := signettest.NewUUID(), make(chan error, 1), make(chan struct{}), make(chan struct{})
	slow := func(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return handler(service, late{ServerStream: stream, asked: asked, ended: ended})
	}
	stream := bothWays(t, issuer, id, func(stream grpc.ServerStream) error {
		err := stream.RecvMsg(&eventsv1.WatchRequest{})
		told <- err
		return err
	}, grpc.ChainStreamInterceptor(slow))
	<-asked
	issuer.RevokeClient(id)
	wantReason(t, stream.RecvMsg(&eventsv1.WatchResponse{}), codes.Unauthenticated, signet.ReasonTokenRevoked)
	close(ended)
	wantReason(t, <-told, codes.Unauthenticated, signet.ReasonTokenRevoked)
}

func TestNoGoroutineStaysOfAStreamThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := signettest.NewIssuer(t)
		ended := make(chan error, 1_000)
		policy, err := signet.PolicyFromRegistry()
		if err != nil {
			t.Fatal(err)
		}
		verifier := issuer.Verifier(t, "stock")
		listener := serve(t, guarded{watch: idle(ended)}, signet.NewGuard(verifier, policy).ServerOptions()...)
		events := eventsv1.NewEventServiceClient(plain(t, listener))
		open := func(id string) (grpc.ServerStreamingClient[eventsv1.WatchResponse], context.CancelFunc) {
			token := issuer.Token(signettest.Client{ID: id, Scopes: []string{"signet.events.watch"}})
			ctx, cancel := context.WithCancel(withToken(t.Context(), token))
			stream, err := events.Watch(ctx, &eventsv1.WatchRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			if err != nil {
				t.Fatal(err)
			}
			return stream, cancel
		}
		_, cancel := open(signettest.NewUUID())
		cancel()
		synctest.Wait()
		before := runtime.NumGoroutine()
		revoked := signettest.NewUUID()
		var streams []grpc.ServerStreamingClient[eventsv1.WatchResponse]
		for range 50 {
			expiring, _ := open(signettest.NewUUID())
			ending, _ := open(revoked)
			_, leave := open(signettest.NewUUID())
			leave()
			streams = append(streams, expiring, ending)
		}
		issuer.RevokeClient(revoked)
		issuer.Advance(16 * time.Minute) // The others' tokens expire.
		for _, stream := range streams {
			if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
				t.Error(err)
			}
		}
		synctest.Wait()
		if after, left := runtime.NumGoroutine(), verifier.OpenStreamsForTest(); after > before || left != 0 {
			t.Errorf("%d goroutines before, %d after, and %d streams", before, after, left)
		}
	})
}

// echoing is a service whose handler takes no notice of its context, nor of what its stream tells it. It tells when it has returned.
func echoing(returned chan<- struct{}) *grpc.ServiceDesc {
	handler := func(_ any, stream grpc.ServerStream) error {
		var users sync.WaitGroup
		for _, use := range []func(any) error{stream.RecvMsg, stream.SendMsg} {
			users.Go(func() {
				for after := 0; after < 100; {
					err := use(&emptypb.Empty{})
					if err != nil {
						after++
						_ = stream.SetHeader(metadata.Pairs("a", "b"))
						_ = stream.SendHeader(nil)
						stream.SetTrailer(metadata.Pairs("c", "d"))
					} else if after > 0 {
						panic("a message has come or gone after the end")
					}
				}
			})
		}
		users.Wait()
		returned <- struct{}{}
		return nil
	}
	streams := []grpc.StreamDesc{{StreamName: "Both", Handler: handler, ServerStreams: true, ClientStreams: true}}
	return &grpc.ServiceDesc{ServiceName: "corpus.v1.Streams", HandlerType: (*any)(nil), Streams: streams}
}

func TestAHandlerThatTakesNoNoticeOfTheEndDisturbsNothing(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	policy, err := signet.PolicyFromDescriptorSet(readFile(t, "policies", "corpus.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	returned := make(chan struct{})
	server := grpc.NewServer(signet.NewGuard(issuer.Verifier(t, "stock"), policy).ServerOptions()...)
	description := echoing(returned)
	server.RegisterService(description, struct{}{})
	listener := bufconn.Listen(1 << 16)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	channel := plain(t, listener)
	for range 10 {
		session := signettest.NewUUID()
		token := issuer.Token(signettest.User{SessionID: session, Scopes: []string{"stock:read", "stock:write"}})
		stream, err := channel.NewStream(withToken(t.Context(), token), &description.Streams[0], "/corpus.v1.Streams/Both")
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for stream.SendMsg(&emptypb.Empty{}) == nil {
			}
		}()
		for received := 0; err == nil; received++ {
			if received == 20 {
				issuer.RevokeSession(session)
			}
			err = stream.RecvMsg(&emptypb.Empty{})
		}
		wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenRevoked)
		<-sent
		<-returned
	}
}
