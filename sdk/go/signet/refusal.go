package signet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// This file owns refusals: the one error type of a call that may not go on, with the code, the reason and the details that Signet sends.

// ErrorDomain is the domain of the google.rpc.ErrorInfo in each refusal.
const ErrorDomain = "identity.v1"

// The reasons of refusals, names of identity.v1.ErrorReason without their prefix.
const (
	// ReasonTokenMissing: the call has no `authorization`. UNAUTHENTICATED.
	ReasonTokenMissing = "TOKEN_MISSING"
	// ReasonTokenInvalid: the token is malformed, forged, for another audience, or not valid yet. UNAUTHENTICATED.
	ReasonTokenInvalid = "TOKEN_INVALID"
	// ReasonTokenExpired: the token was valid; get another one. UNAUTHENTICATED.
	ReasonTokenExpired = "TOKEN_EXPIRED"
	// ReasonTokenRevoked: the token is genuine, and what it stands for has ended. UNAUTHENTICATED.
	ReasonTokenRevoked = "TOKEN_REVOKED"
	// ReasonAccessUndeclared: the method declares no rule that this SDK understands. PERMISSION_DENIED.
	ReasonAccessUndeclared = "ACCESS_UNDECLARED"
	// ReasonCallerNotAllowed: the method is for users alone, or for clients alone. PERMISSION_DENIED.
	ReasonCallerNotAllowed = "CALLER_NOT_ALLOWED"
	// ReasonInsufficientScope: the token lacks a scope. PERMISSION_DENIED.
	ReasonInsufficientScope = "INSUFFICIENT_SCOPE"
	// ReasonInsufficientRole: the token names its roles, and none of those that the method asks for is among them. PERMISSION_DENIED.
	ReasonInsufficientRole = "INSUFFICIENT_ROLE"
	// ReasonRolesNotInToken: the method asks for a role, and the token does not say which ones its holder has. PERMISSION_DENIED.
	ReasonRolesNotInToken = "ROLES_NOT_IN_TOKEN"
	// ReasonUnavailable: it cannot be told at this moment. UNAVAILABLE, with a RetryInfo.
	ReasonUnavailable = "UNAVAILABLE"
)

// unavailableRetry is what the RetryInfo of UNAVAILABLE says.
const unavailableRetry = time.Second

// maxRetryAfter is up to which a RetryInfo counts, whoever wrote it: a proxy that says a day takes nobody away for a day.
const maxRetryAfter = time.Minute

// Refusal is the error of a call that may not go on. It is a gRPC status ([status.FromError] takes it), whose details hold a
// google.rpc.ErrorInfo of [ErrorDomain]. It holds no token and nothing of one.
type Refusal struct {
	// Code is the gRPC code.
	Code codes.Code
	// Reason is one of the constants of this package, or another name of identity.v1.ErrorReason without its prefix.
	Reason string
	// Metadata is that of the ErrorInfo. A refusal of a [Guard] always has `audience`, whom the token had to be meant for, and `method`,
	// the path of the called method.
	Metadata map[string]string
	// RetryAfter is what the RetryInfo says; zero if there is none.
	RetryAfter time.Duration

	message string
	cause   error // what has kept this process from knowing better; never sent
}

// Error tells the reason and a sentence for people.
func (r *Refusal) Error() string { return "signet: " + r.Reason + ": " + r.message }

// Unwrap is why the call could not be judged, or got no token, where that has another cause than the call: a connection to Signet that
// failed, say. It is for whoever runs this process, and not part of [Refusal.GRPCStatus].
func (r *Refusal) Unwrap() error { return r.cause }

// GRPCStatus is the status that the call is answered with.
func (r *Refusal) GRPCStatus() *status.Status {
	info := &errdetails.ErrorInfo{Reason: r.Reason, Domain: ErrorDomain, Metadata: r.Metadata}
	details := []protoadapt.MessageV1{protoadapt.MessageV1Of(info)}
	if r.RetryAfter > 0 {
		details = append(details, protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: durationpb.New(r.RetryAfter)}))
	}
	plain := status.New(r.Code, r.message)
	detailed, err := plain.WithDetails(details...)
	if err != nil {
		return plain
	}
	return detailed
}

// RefusalFrom reads a refusal of [ErrorDomain] from an error of a call, as a client gets it. It is false for any other error.
func RefusalFrom(err error) (*Refusal, bool) {
	var own *Refusal
	if errors.As(err, &own) {
		return own, true
	}
	told, ok := status.FromError(err)
	if !ok || told.Code() == codes.OK {
		return nil, false
	}
	var refusal *Refusal
	var retry time.Duration
	for _, detail := range told.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == ErrorDomain && refusal == nil {
				refusal = &Refusal{Code: told.Code(), Reason: detail.GetReason(), Metadata: detail.GetMetadata(), message: told.Message()}
			}
		case *errdetails.RetryInfo:
			retry = detail.GetRetryDelay().AsDuration()
		}
	}
	if refusal == nil {
		return nil, false
	}
	refusal.RetryAfter = retry
	return refusal, true
}

// with is the same refusal with more metadata.
func (r *Refusal) with(more map[string]string) *Refusal {
	all := maps.Clone(r.Metadata)
	if all == nil {
		all = make(map[string]string, len(more))
	}
	maps.Copy(all, more)
	return &Refusal{Code: r.Code, Reason: r.Reason, Metadata: all, RetryAfter: r.RetryAfter, message: r.message, cause: r.cause}
}

func tokenInvalid(why string) *Refusal {
	return &Refusal{Code: codes.Unauthenticated, Reason: ReasonTokenInvalid, message: "the access token is invalid: " + why}
}

func unavailable(why string) *Refusal {
	return &Refusal{Code: codes.Unavailable, Reason: ReasonUnavailable, RetryAfter: unavailableRetry, message: why}
}

// notReady is why a verifier is not ready when the context ends of who waits for it.
func notReady(what string, ended, cause error) error {
	if cause == nil {
		return fmt.Errorf("signet: %s: %w", what, ended)
	}
	return fmt.Errorf("signet: %s: %w, since: %w", what, ended, cause)
}

// gaveUp is the refusal of a call whose own context ended while it waited.
func gaveUp(ctx context.Context) *Refusal {
	refusal := unavailable("the call ended while it waited for what verifies its token")
	if errors.Is(ctx.Err(), context.Canceled) {
		refusal.Code = codes.Canceled
	}
	return refusal
}

var (
	errTokenMissing = &Refusal{
		Code: codes.Unauthenticated, Reason: ReasonTokenMissing,
		message: "this call needs an access token: send `authorization: Bearer <access_token>`",
	}
	errTokenExpired = &Refusal{Code: codes.Unauthenticated, Reason: ReasonTokenExpired, message: "the access token has expired"}
	errTokenRevoked = &Refusal{Code: codes.Unauthenticated, Reason: ReasonTokenRevoked, message: "the access token is no longer accepted: " +
		"its session has ended, or its user or client has been disabled or deleted"}
	errUndeclared = &Refusal{
		Code: codes.PermissionDenied, Reason: ReasonAccessUndeclared, message: "this method declares no access rule, so nobody may call it",
	}
)
