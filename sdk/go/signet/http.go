package signet

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
)

// This file owns the guard in front of net/http, whose refusals are those of RFC 6750.

// problem is the JSON of a refusal, as Signet's own HTTP API has it.
type problem struct {
	Error       string `json:"error"`
	Reason      string `json:"reason"`
	Description string `json:"error_description"`
}

// Middleware guards an HTTP handler by a rule that the code gives; its zero value asks for a valid token alone. The handler finds the
// caller by [CallerFrom] in the request's context.
//
// It answers 401 to a token that is missing or not valid, 403 to one that does not keep the rule, and 503 when it cannot tell, with
// `WWW-Authenticate` as in RFC 6750 section 3 and JSON of `error`, `reason` and `error_description`. A response that has begun goes on when
// the token expires: open streams are guarded over gRPC alone.
func (v *Verifier) Middleware(rule Rule) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
			caller, refusal := v.admit(request.Context(), request.Header.Values("Authorization"), &rule)
			if refusal != nil {
				refuse(response, refusal)
				return
			}
			next.ServeHTTP(response, request.WithContext(ContextWithCaller(request.Context(), caller)))
		})
	}
}

func refuse(response http.ResponseWriter, refusal *Refusal) {
	body := problem{Reason: refusal.Reason, Description: refusal.message}
	status := http.StatusServiceUnavailable
	switch refusal.Code {
	case codes.Unauthenticated:
		status, body.Error = http.StatusUnauthorized, "invalid_token"
	case codes.PermissionDenied:
		status, body.Error = http.StatusForbidden, "access_denied"
		if refusal.Reason == ReasonInsufficientScope {
			body.Error = "insufficient_scope"
		}
	default:
		body.Error = "temporarily_unavailable"
	}
	header := response.Header()
	if challenge := challengeOf(refusal, body.Error); challenge != "" {
		header.Set("WWW-Authenticate", challenge)
	}
	if refusal.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(refusal.RetryAfter.Seconds()))))
	}
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	encoded, err := json.Marshal(body)
	if err != nil {
		encoded = []byte("{}")
	}
	response.WriteHeader(status)
	_, _ = response.Write(append(encoded, '\n')) // A client that has gone reads nothing.
}

// challengeOf is the `WWW-Authenticate` of a refusal. Who sent no token is told of no error (RFC 6750 section 3.1).
func challengeOf(refusal *Refusal, name string) string {
	switch {
	case refusal.Reason == ReasonTokenMissing:
		return "Bearer"
	case refusal.Code == codes.Unauthenticated:
		return fmt.Sprintf("Bearer error=%q, error_description=%q", name, quotable(refusal.message))
	case refusal.Reason == ReasonInsufficientScope:
		return fmt.Sprintf("Bearer error=%q, scope=%q", name, refusal.Metadata["required_scope"])
	default:
		return ""
	}
}

// quotable is the text without what RFC 6750 section 3 leaves out of an error_description.
func quotable(text string) string { return strings.NewReplacer(`"`, "'", `\`, "/").Replace(text) }
