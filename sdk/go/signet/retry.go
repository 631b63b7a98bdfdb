package signet

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
)

// This file owns what becomes of a token that a service has refused: a unary call is sent once more with another one, and whoever opens a
// stream anew gets another one.

// attempt is one attempt of a call: the token that went with it, and whether anything of an answer has come.
type attempt struct {
	token       atomic.Pointer[string]
	hasReceived atomic.Bool
}

type attemptKey struct{}

func attemptOf(ctx context.Context) *attempt {
	found, _ := ctx.Value(attemptKey{}).(*attempt)
	return found
}

// retryOnce is the interceptor of unary calls.
func (s *TokenSource) retryOnce(
	ctx context.Context, method string, request, reply any, channel *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	first := &attempt{}
	err := invoke(context.WithValue(ctx, attemptKey{}, first), method, request, reply, channel, options...)
	if err == nil {
		return nil
	}
	token := first.token.Load()
	if token == nil || !isOwnRefusal(err, method, s.audience, first.hasReceived.Load()) || !s.replace(*token) {
		return err
	}
	if s.hooks.CallRetried != nil {
		func() {
			defer ignorePanic()
			s.hooks.CallRetried()
		}()
	}
	return invoke(context.WithValue(ctx, attemptKey{}, &attempt{}), method, request, reply, channel, options...)
}

// isOwnRefusal says whether the guard of the called service itself has refused the call for its token, before anything was done. A
// service that did its work and passes on the refusal of the next one is not called twice.
func isOwnRefusal(err error, method, audience string, hasReceived bool) bool {
	if hasReceived {
		return false
	}
	refusal, ok := RefusalFrom(err)
	if !ok || refusal.Code != codes.Unauthenticated {
		return false
	}
	isOfToken := refusal.Reason == ReasonTokenExpired || refusal.Reason == ReasonTokenRevoked
	return isOfToken && refusal.Metadata["audience"] == audience && refusal.Metadata["method"] == method
}

// streaming is the interceptor of all other calls. None is sent once more: whoever reads the stream opens it anew.
func (s *TokenSource) streaming(
	ctx context.Context, description *grpc.StreamDesc, channel *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	call := &attempt{}
	stream, err := open(context.WithValue(ctx, attemptKey{}, call), description, channel, method, options...)
	if err != nil {
		return nil, err
	}
	return &attachedStream{ClientStream: stream, source: s, method: method, call: call}, nil
}

// attachedStream is a stream that was opened with a token of the source.
type attachedStream struct {
	grpc.ClientStream
	source *TokenSource
	method string
	call   *attempt
}

// RecvMsg implements [grpc.ClientStream]. A token for which the service's guard has ended the stream opens no other one.
func (s *attachedStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err != nil && isOwnRefusal(err, s.method, s.source.audience, false) {
		if token := s.call.token.Load(); token != nil {
			s.source.replace(*token)
		}
	}
	return err
}

// answers notes that a message of an answer has come: grpc tells it to stats handlers alone.
type answers struct{}

// TagRPC implements [stats.Handler].
func (answers) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements [stats.Handler].
func (answers) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if _, ok := event.(*stats.InPayload); ok {
		if call := attemptOf(ctx); call != nil {
			call.hasReceived.Store(true)
		}
	}
}

// TagConn implements [stats.Handler].
func (answers) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (answers) HandleConn(context.Context, stats.ConnStats) {}
