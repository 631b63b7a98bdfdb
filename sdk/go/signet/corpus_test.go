package signet_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	eventsv1 "example.com/signet/sdk/go/identity/events/v1"
	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns what all runs of the conformance corpus share: its files, and what they are read into.

// conformanceVariable names the folder of the corpus, where that is not beside this SDK.
const conformanceVariable = "SIGNET_CONFORMANCE"

func corpusPath(name ...string) string {
	folder := os.Getenv(conformanceVariable)
	if folder == "" {
		folder = filepath.Join("..", "..", "conformance")
	}
	return filepath.Join(append([]string{folder}, name...)...)
}

func readFile(t testing.TB, name ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(corpusPath(name...))
	if err != nil {
		t.Fatalf("%v: %s names the folder of the corpus", err, conformanceVariable)
	}
	return content
}

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, name), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// told is a message of the stream of revocations, and when it comes.
type told struct {
	At      int64           `json:"at"`
	Message json.RawMessage `json:"message"`
}

func message(t testing.TB, text json.RawMessage) *eventsv1.WatchResponse {
	t.Helper()
	read := &eventsv1.WatchResponse{}
	if err := protojson.Unmarshal(text, read); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return read
}

// fixedKeys answers one JWK Set whenever it is asked.
type fixedKeys []byte

func (k fixedKeys) FetchKeys(context.Context) ([]byte, time.Duration, error) { return k, 0, nil }

// silentStream is a stream of revocations on which nothing comes: the test tells the verifier itself.
type silentStream struct{ ctx context.Context }

func (silentStream) Watch(ctx context.Context, _ []byte) (signet.RevocationStream, error) {
	return silentStream{ctx}, nil
}

func (s silentStream) Recv() (*eventsv1.WatchResponse, error) {
	<-s.ctx.Done()
	return nil, s.ctx.Err()
}

// fixedIntrospection answers the same about each token.
type fixedIntrospection signet.Introspection

func (i fixedIntrospection) Introspect(context.Context, string) (signet.Introspection, error) {
	return signet.Introspection(i), nil
}

// before is how long before the first moment of a case its verifier begins, so that it may ask for unknown keys by then.
const before = 10 * time.Second

// startVerifier makes a verifier whose clock says the second, and that has its keys.
func startVerifier(
	t testing.TB, issuer, audience string, at int64, jwks []byte, options ...signet.VerifierOption,
) (*signet.Verifier, *signettest.Clock) {
	t.Helper()
	clock := signettest.NewClock(time.Unix(at, 0).Add(-before))
	options = append(options, signet.WithClock(clock), signet.WithKeySource(fixedKeys(jwks)))
	verifier, err := signet.NewVerifier(issuer, audience, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	if err := verifier.KeysReadyForTest(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.Advance(before)
	return verifier, clock
}

func TestCorpusJWKS(t *testing.T) {
	var file struct {
		Cases []struct {
			Name, Why, Document string
			Expect              json.RawMessage
		}
	}
	readJSON(t, "jwks.json", &file)
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			kids, err := signet.KeyIDsForTest([]byte(c.Document))
			got := json.RawMessage(`"refused"`)
			if err == nil {
				got, _ = json.Marshal(kids)
			}
			if !sameJSON(t, got, c.Expect) {
				t.Errorf("%s: got %s (%v), want %s", c.Why, got, err, c.Expect)
			}
		})
	}
}

func sameJSON(t testing.TB, a, b []byte) bool {
	t.Helper()
	var left, right any
	if err := errors.Join(json.Unmarshal(a, &left), json.Unmarshal(b, &right)); err != nil {
		t.Fatal(err)
	}
	one, _ := json.Marshal(left)
	other, _ := json.Marshal(right)
	return string(one) == string(other)
}

func codeOf(t testing.TB, name string) codes.Code {
	t.Helper()
	var code codes.Code
	if err := code.UnmarshalJSON([]byte(`"` + name + `"`)); err != nil {
		t.Fatal(err)
	}
	return code
}

func TestCorpusRetry(t *testing.T) {
	var file struct {
		Retry []struct {
			Name, Why string
			Call      struct {
				Method, Audience, Kind string
				MessagesReceived       int `json:"messages_received"`
			}
			Refusal struct{ Code, Details string }
			Attempt int
			Expect  struct{ Retry bool }
		}
	}
	readJSON(t, "clients.json", &file)
	for _, c := range file.Retry {
		t.Run(c.Name, func(t *testing.T) {
			refusal := status.New(codeOf(t, c.Refusal.Code), "refused")
			if c.Refusal.Details != "" {
				encoded, err := base64.StdEncoding.DecodeString(c.Refusal.Details)
				if err != nil {
					t.Fatal(err)
				}
				told := &spb.Status{}
				if proto.Unmarshal(encoded, told) == nil { // grpc passes over details that it cannot read.
					told.Code = int32(codeOf(t, c.Refusal.Code))
					refusal = status.FromProto(told)
				}
			}
			// The interceptor is one for unary calls, and looks at a first attempt alone.
			got := c.Call.Kind == "unary" && c.Attempt == 1 &&
				signet.MayRetryForTest(refusal.Err(), c.Call.Method, c.Call.Audience, c.Call.MessagesReceived > 0)
			if got != c.Expect.Retry {
				t.Errorf("%s: retry is %v, want %v", c.Why, got, c.Expect.Retry)
			}
		})
	}
}

func TestCorpusRenew(t *testing.T) {
	var file struct {
		Renew []struct {
			Name     string
			Lifetime float64 `json:"lifetime"`
			Random   float64 `json:"random"`
			RenewAt  float64 `json:"renew_at"`
		}
	}
	readJSON(t, "clients.json", &file)
	for _, c := range file.Renew {
		t.Run(c.Name, func(t *testing.T) {
			want := time.Duration(c.RenewAt * float64(time.Second))
			got := signet.RenewAfterForTest(c.Random, time.Duration(c.Lifetime*float64(time.Second)))
			if (got - want).Abs() > time.Millisecond {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestCorpusAttach(t *testing.T) {
	var file struct {
		Attach []struct {
			Name, Why, Target, Authority string
			Secure                       bool
			PeerIsLoopback               bool `json:"peer_is_loopback"`
			AllowPlaintext               bool `json:"allow_plaintext"`
			Expect                       string
		}
	}
	readJSON(t, "clients.json", &file)
	for _, c := range file.Attach {
		t.Run(c.Name, func(t *testing.T) {
			err := signet.MayAttachForTest(c.Target, c.Authority, c.Secure, c.PeerIsLoopback, c.AllowPlaintext)
			if got := map[bool]string{true: "attach", false: "refuse"}[err == nil]; got != c.Expect {
				t.Errorf("%s: got %s (%v), want %s", c.Why, got, err, c.Expect)
			}
		})
	}
}
