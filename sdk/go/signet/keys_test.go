package signet_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns the tests of when an issuer's keys are fetched, and of what it may answer.

// slowKeys answers the keys of an issuer after a time, or fails.
type slowKeys struct {
	issuer *signettest.Issuer
	takes  time.Duration
	maxAge time.Duration
	isAway atomic.Bool
	asked  atomic.Int64
}

func (k *slowKeys) FetchKeys(ctx context.Context) ([]byte, time.Duration, error) {
	k.asked.Add(1)
	select {
	case <-time.After(k.takes):
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	if k.isAway.Load() {
		return nil, 0, errors.New("away")
	}
	document, err := k.issuer.JWKS()
	return document, k.maxAge, err
}

// watched is a verifier with the keys, in the time of the bubble.
func watched(t *testing.T, keys *slowKeys, options ...signet.VerifierOption) *signet.Verifier {
	t.Helper()
	options = append(options, signet.WithKeySource(keys), signet.RandomForTest(half))
	verifier, err := signet.NewVerifier(keys.issuer.Identifier(), "stock", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	return verifier
}

// inBubble runs a test in time of its own, that of the issuer among it.
func inBubble(t *testing.T, test func(*testing.T, *slowKeys)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, &slowKeys{issuer: signettest.NewIssuer(t), takes: 100 * time.Millisecond})
	})
}

func lives(d time.Duration) signettest.User { return signettest.User{Lifetime: d} }

func verify(t *testing.T, verifier *signet.Verifier, token string) error {
	t.Helper()
	_, err := verifier.Verify(t.Context(), token, signet.Rule{})
	return err
}

func TestCallsWaitTogetherForTheFirstKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, keys *slowKeys) {
		verifier := watched(t, keys)
		token := keys.issuer.Token(lives(time.Hour))
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if err := verify(t, verifier, token); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if asked := keys.asked.Load(); asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestCallsWaitForFiveSecondsAtMost(t *testing.T) {
	inBubble(t, func(t *testing.T, keys *slowKeys) {
		keys.takes = time.Hour
		verifier := watched(t, keys)
		began := time.Now()
		err := verify(t, verifier, keys.issuer.Token(lives(time.Hour)))
		wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAFloodOfMadeUpKeysCostsOneRequestInFiveSeconds(t *testing.T) {
	inBubble(t, func(t *testing.T, keys *slowKeys) {
		verifier := watched(t, keys)
		if err := verifier.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		stranger := signettest.NewIssuer(t)
		for range 3 {
			stranger.RotateKey(t) // A key id that the issuer has not.
		}
		token := stranger.Token(lives(time.Hour))
		began := time.Now()
		for time.Since(began) < time.Minute {
			err := verify(t, verifier, token)
			wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenInvalid)
			time.Sleep(10 * time.Millisecond)
		}
		// The first, and one in each 5 seconds.
		if asked := keys.asked.Load(); asked < 12 || asked > 13 {
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestAThousandCallsMayWaitForKeysAndNoMore(t *testing.T) {
	inBubble(t, func(t *testing.T, keys *slowKeys) {
		keys.takes = 3 * time.Second
		verifier := watched(t, keys)
		token := keys.issuer.Token(lives(time.Hour))
		var all sync.WaitGroup
		var passed, refused atomic.Int64
		for range 1_500 {
			all.Go(func() {
				if verify(t, verifier, token) == nil {
					passed.Add(1)
				} else {
					refused.Add(1)
				}
			})
		}
		all.Wait()
		if passed.Load() != 1_000 || refused.Load() != 500 {
			t.Errorf("%d passed, %d were refused", passed.Load(), refused.Load())
		}
	})
}

func TestAKeyThatHasJustBegunToSignIsFetchedOnceForAllWhoWait(t *testing.T) {
	inBubble(t, func(t *testing.T, keys *slowKeys) {
		verifier := watched(t, keys)
		if err := verifier.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		keys.issuer.RotateKey(t)
		token := keys.issuer.Token(lives(time.Hour))
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if err := verify(t, verifier, token); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if asked := keys.asked.Load(); asked != 2 {
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestKeysAreFetchedAnewBeforeTheyAreStaleAndLessOftenWhileTheIssuerIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, keys *slowKeys) {
		keys.maxAge = 10 * time.Minute
		watched(t, keys)
		time.Sleep(8*time.Minute + 30*time.Second)
		synctest.Wait()
		if asked := keys.asked.Load(); asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		keys.isAway.Store(true)
		time.Sleep(time.Minute) // At 9 minutes it fails, and then after three quarters of 1, 2, 4, 8, 16 s.
		synctest.Wait()
		if asked := keys.asked.Load(); asked != 7 {
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestTheLastGoodKeysCountForADay(t *testing.T) {
	inBubble(t, func(t *testing.T, keys *slowKeys) {
		verifier := watched(t, keys)
		if err := verifier.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		keys.isAway.Store(true)
		token := keys.issuer.Token(lives(48 * time.Hour))
		time.Sleep(24*time.Hour - time.Minute)
		if err := verify(t, verifier, token); err != nil {
			t.Error(err)
		}
		time.Sleep(6 * time.Minute)
		wantReason(t, verify(t, verifier, token), codes.Unavailable, signet.ReasonUnavailable)
		keys.isAway.Store(false)
		time.Sleep(time.Minute)
		if err := verify(t, verifier, token); err != nil {
			t.Error(err)
		}
	})
}

func TestATokenWhoseKeyIsGoneIsRefusedThoughItWasSeenBefore(t *testing.T) {
	issuer, other := signettest.NewIssuer(t), signettest.NewIssuer(t)
	other.RotateKey(t)
	keys := &slowKeys{issuer: issuer}
	verifier := watched(t, keys, signet.WithClock(issuer.Clock()), signet.WithRevocationSource(silentStream{}))
	if err := verifier.KeysReadyForTest(t.Context()); err != nil {
		t.Fatal(err)
	}
	verifier.TellForTest(message(t, []byte(`{"snapshot":{"isLast":true}}`)))
	token := issuer.Token(signettest.User{})
	if err := verify(t, verifier, token); err != nil {
		t.Fatal(err)
	}
	issuer.Clock().Advance(10 * time.Second)
	keys.issuer = other // test-1 has other material now.
	verifier.TellForTest(message(t, []byte(`{"changes":{"keysChanged":true}}`)))
	for keys.asked.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	for range 1_000 { // The answer is taken in a moment.
		if verify(t, verifier, token) != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	wantReason(t, verify(t, verifier, token), codes.Unauthenticated, signet.ReasonTokenInvalid)
}

// ===== what an issuer may answer =====

// web is an issuer over HTTP that answers what a test says, by path.
func web(t *testing.T, answers map[string]http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer := answers[r.URL.Path]; answer != nil {
			answer(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

func says(format string, values ...any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, format, values...) }
}

func TestWhatAnIssuerMayAnswer(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	keys, err := issuer.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	jwks := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(keys) }
	const rfc8414, openID = "/.well-known/oauth-authorization-server/a", "/a/.well-known/openid-configuration"
	for name, c := range map[string]struct {
		answers func(at string) map[string]http.HandlerFunc
		problem string
	}{
		"metadata of RFC 8414": {func(at string) map[string]http.HandlerFunc {
			return map[string]http.HandlerFunc{rfc8414: says(`{"issuer":"%s/a","jwks_uri":"%s/keys"}`, at, at), "/keys": jwks}
		}, ""},
		"metadata of OpenID": {func(at string) map[string]http.HandlerFunc {
			return map[string]http.HandlerFunc{openID: says(`{"issuer":"%s/a","jwks_uri":"%s/keys"}`, at, at), "/keys": jwks}
		}, ""},
		"of another issuer": {func(at string) map[string]http.HandlerFunc {
			return map[string]http.HandlerFunc{rfc8414: says(`{"issuer":"%s","jwks_uri":"%s/keys"}`, at, at), "/keys": jwks}
		}, "of the issuer"},
		"redirected": {func(at string) map[string]http.HandlerFunc {
			return map[string]http.HandlerFunc{
				rfc8414: says(`{"issuer":"%s/a","jwks_uri":"%s/moved"}`, at, at), "/keys": jwks,
				"/moved": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", http.StatusFound) },
			}
		}, "302"},
		"too long": {func(at string) map[string]http.HandlerFunc {
			return map[string]http.HandlerFunc{
				rfc8414: says(`{"issuer":"%s/a","jwks_uri":"%s/keys"}`, at, at), "/keys": says("%s", strings.Repeat(" ", 1<<20+1)),
			}
		}, "more than"},
		"no keys": {func(at string) map[string]http.HandlerFunc {
			return map[string]http.HandlerFunc{rfc8414: says(`{"issuer":"%s/a","jwks_uri":"%s/keys"}`, at, at), "/keys": says("<html>")}
		}, "JWK Set"},
		"nothing": {func(string) map[string]http.HandlerFunc { return nil }, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			answers := map[string]http.HandlerFunc{}
			server := web(t, answers)
			for path, answer := range c.answers(server.URL) {
				answers[path] = answer
			}
			fetched := make(chan error, 1)
			verifier, err := signet.NewVerifier(server.URL+"/a", "stock", signet.WithHooks(signet.Hooks{KeysFetched: func(err error) {
				select {
				case fetched <- err:
				default:
				}
			}}))
			if err != nil {
				t.Fatal(err)
			}
			defer verifier.Close()
			if err := <-fetched; c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
				t.Errorf("got %v, want %q", err, c.problem)
			}
		})
	}
}

func TestAnIssuerIsAURLThatCanBeReadInOneWay(t *testing.T) {
	for _, issuer := range []string{
		"", "id.example", "ftp://id.example", "https://", "https://id.example?a", "https://id.example#a", "https://id.example/../a",
		"https://id.example//a", "https://id.example/%61", "https://user@id.example",
	} {
		if verifier, err := signet.NewVerifier(issuer, "stock"); err == nil {
			verifier.Close()
			t.Errorf("%q was taken", issuer)
		}
	}
}

// awayKeys is an issuer that cannot be reached.
type awayKeys struct{}

var errAway = errors.New("the issuer is at lunch")

func (awayKeys) FetchKeys(context.Context) ([]byte, time.Duration, error) { return nil, 0, errAway }

func TestWhyThereAreNoKeysIsToldByUnwrap(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	fetched := make(chan error, 8)
	hooks := signet.Hooks{KeysFetched: func(err error) { fetched <- err }}
	verifier, err := signet.NewVerifier(issuer.Identifier(), "stock", signet.WithKeySource(awayKeys{}), signet.WithHooks(hooks))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	if err := <-fetched; !errors.Is(err, errAway) {
		t.Errorf("the hook was told %v", err)
	}
	_, err = verifier.Verify(t.Context(), issuer.Token(signettest.User{}), signet.Rule{})
	wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
	if !errors.Is(err, errAway) || strings.Contains(err.(*signet.Refusal).GRPCStatus().String(), "lunch") {
		t.Errorf("%v, since %v", err, errors.Unwrap(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := verifier.Ready(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, errAway) {
		t.Errorf("ready: %v", err)
	}
}
