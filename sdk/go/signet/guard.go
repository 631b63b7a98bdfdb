package signet

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// This file owns the guard in front of a gRPC server: no call reaches a handler that its rule does not let through. streams.go owns the end
// of open streams.

// Guard enforces a policy with the callers that a verifier finds.
type Guard struct {
	verifier *Verifier
	policy   *Policy
}

// NewGuard makes a guard. The verifier stays the caller's to close, after the server has stopped.
func NewGuard(verifier *Verifier, policy *Policy) *Guard {
	return &Guard{verifier: verifier, policy: policy}
}

// ServerOptions are what [grpc.NewServer] takes to have the guard in front of all services. They are chained interceptors: those that are
// given before run before, and see refusals.
func (g *Guard) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(g.UnaryInterceptor()), grpc.ChainStreamInterceptor(g.StreamInterceptor())}
}

// UnaryInterceptor guards unary calls.
func (g *Guard) UnaryInterceptor() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		caller, refusal := g.admit(ctx, info.FullMethod, metadata.ValueFromIncomingContext(ctx, "authorization"))
		if refusal != nil {
			return nil, refusal
		}
		if caller != nil {
			ctx = ContextWithCaller(ctx, caller)
		}
		return handler(ctx, request)
	}
}

// StreamInterceptor guards all other calls. An open stream ends with the status of a refusal when its token has expired
// ([WithStreamGrace]), at once when the token is revoked, and when it is no longer known what was revoked. The context of the handler is
// cancelled then, with the refusal as its cause, whatever the handler does at that moment.
//
// So that a stream ends also while its handler waits for something, the handler runs in a goroutine of its own, which may end after the
// call has: [grpc.Server.GracefulStop] waits for the calls.
func (g *Guard) StreamInterceptor() grpc.StreamServerInterceptor {
	return func(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx := stream.Context()
		caller, refusal := g.admit(ctx, info.FullMethod, metadata.ValueFromIncomingContext(ctx, "authorization"))
		if refusal != nil {
			return refusal
		}
		if caller == nil {
			return handler(service, stream)
		}
		return g.serve(ContextWithCaller(ctx, caller), caller, stream, info.FullMethod, func(guarded grpc.ServerStream) error {
			return handler(service, guarded)
		})
	}
}

// admit is the caller of a call of a method; nil if the method is public.
func (g *Guard) admit(ctx context.Context, method string, authorization []string) (*Caller, *Refusal) {
	declared := g.policy.declaration(method)
	switch declared.access {
	case AccessPublic:
		return nil, nil
	case AccessAuthenticated:
		caller, refusal := g.verifier.admit(ctx, authorization, declared.rule)
		if refusal != nil {
			return nil, refusal.with(map[string]string{"method": method})
		}
		return caller, nil
	default:
		return nil, errUndeclared.with(map[string]string{"audience": g.verifier.audience, "method": method})
	}
}
