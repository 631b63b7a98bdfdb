package signet_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"example.com/signet/sdk/go/signet"
)

// This file owns the run of the corpus of open streams.

type streamCase struct {
	Name          string
	Why           string
	Method        string
	Authorization any
	Audience      string
	Opened        int64
	Leeway        *float64
	Grace         *float64
	MaxAge        *float64 `json:"max_age"`
	WhenStale     string   `json:"when_stale"`
	Followed      *bool
	Events        []struct {
		At   int64
		Told json.RawMessage
		Feed string
	}
	Until  int64
	Expect struct {
		Open         bool
		EndsAt       int64 `json:"ends_at"`
		Code, Reason string
	}
}

// idleStream is a stream whose caller says nothing.
type idleStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s idleStream) Context() context.Context { return s.ctx }

func seconds(of *float64, otherwise time.Duration) time.Duration {
	if of == nil {
		return otherwise
	}
	return time.Duration(*of * float64(time.Second))
}

func TestCorpusStreams(t *testing.T) {
	var file struct {
		Issuer, Audience string
		Cases            []streamCase
	}
	readJSON(t, "streams.json", &file)
	var keys map[string]json.RawMessage
	readJSON(t, "keys.json", &keys)
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			audience := file.Audience
			if c.Audience != "" {
				audience = c.Audience
			}
			synctest.Test(t, func(t *testing.T) { c.run(t, file.Issuer, audience, keys["main"]) })
		})
	}
}

func (c *streamCase) run(t *testing.T, issuer, audience string, jwks []byte) {
	options := []signet.VerifierOption{
		signet.WithLeeway(seconds(c.Leeway, 5*time.Second)), signet.WithStreamGrace(seconds(c.Grace, 30*time.Second)),
		signet.WithRevocationMaxAge(seconds(c.MaxAge, 30*time.Second)),
	}
	if c.WhenStale == "continue" {
		options = append(options, signet.WithStaleRevocations())
	}
	if c.Followed == nil && len(c.Events) > 0 || c.Followed != nil && *c.Followed {
		options = append(options, signet.WithRevocationSource(silentStream{}))
	}
	begin := c.Opened
	for _, event := range c.Events {
		begin = min(begin, event.At)
	}
	verifier, clock := startVerifier(t, issuer, audience, begin, jwks, options...)
	policy, err := signet.PolicyFromDescriptorSet(readFile(t, "policies", "corpus.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	guard := signet.NewGuard(verifier, policy)
	events := c.Events
	tell := func() {
		for len(events) > 0 && events[0].At == clock.Now().Unix() {
			if events[0].Told != nil { // Where the feed is down, nothing comes.
				verifier.TellForTest(message(t, events[0].Told))
			}
			events = events[1:]
		}
	}
	for tell(); clock.Now().Unix() < c.Opened; tell() {
		clock.Advance(time.Second)
	}
	ended, cause := c.open(t, guard)
	for {
		synctest.Wait()
		now := clock.Now().Unix()
		select {
		case err := <-ended:
			c.checkEnd(t, now, err, *cause)
			return
		default:
		}
		if c.Expect.EndsAt != 0 && now >= c.Expect.EndsAt {
			t.Fatalf("%s: it is open at %d", c.Why, now)
		}
		if now >= c.Until {
			break
		}
		clock.Advance(time.Second)
		tell()
	}
	if !c.Expect.Open {
		t.Errorf("%s: it has not ended", c.Why)
	}
}

// open opens the stream, whose handler waits for the end of its context.
func (c *streamCase) open(t *testing.T, guard *signet.Guard) (<-chan error, *error) {
	values, ok := c.Authorization.([]any)
	if !ok {
		values = []any{c.Authorization}
	}
	headers := metadata.MD{}
	for _, value := range values {
		if text, ok := value.(string); ok {
			headers.Append("authorization", text)
		}
	}
	// The connection ends with the test.
	ctx, cancel := context.WithCancel(metadata.NewIncomingContext(context.Background(), headers))
	t.Cleanup(cancel)
	var cause error
	ended := make(chan error, 1)
	go func() {
		info := &grpc.StreamServerInfo{FullMethod: c.Method, IsServerStream: true}
		ended <- guard.StreamInterceptor()(nil, idleStream{ctx: ctx}, info, func(_ any, stream grpc.ServerStream) error {
			<-stream.Context().Done()
			cause = context.Cause(stream.Context())
			return cause
		})
	}()
	return ended, &cause
}

func (c *streamCase) checkEnd(t *testing.T, now int64, err, cause error) {
	t.Helper()
	refusal, ok := signet.RefusalFrom(err)
	if !ok || c.Expect.EndsAt == 0 {
		t.Fatalf("%s: it ended at %d: %v", c.Why, now, err)
	}
	if now != c.Expect.EndsAt || refusal.Code != codeOf(t, c.Expect.Code) || refusal.Reason != c.Expect.Reason {
		t.Errorf("%s: it ended at %d with %v, want at %d with %s", c.Why, now, err, c.Expect.EndsAt, c.Expect.Reason)
	}
	if refusal.Metadata["method"] != c.Method || refusal.Metadata["audience"] == "" {
		t.Errorf("%s: metadata %v", c.Why, refusal.Metadata)
	}
	if !errors.As(cause, new(*signet.Refusal)) {
		t.Errorf("%s: the context of the handler has ended by %v", c.Why, cause)
	}
}
