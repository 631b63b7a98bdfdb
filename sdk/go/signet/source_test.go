package signet_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcresolver "google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	identityv1 "example.com/signet/sdk/go/identity/v1"
	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns the tests of how tokens are got, kept and renewed, in time that the test turns (testing/synctest).

// tokenServer answers IssueToken as the test says.
type tokenServer struct {
	identityv1.UnimplementedIdentityServiceServer

	answer func(*identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error)
	asked  atomic.Int64
}

// IssueToken implements the RPC.
func (s *tokenServer) IssueToken(_ context.Context, request *identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
	s.asked.Add(1)
	return s.answer(request)
}

// start serves within the process, and gives where the SDK finds it.
func (s *tokenServer) start(t *testing.T) signet.Server {
	t.Helper()
	server := grpc.NewServer()
	identityv1.RegisterIdentityServiceServer(server, s)
	listener := bufconn.Listen(1 << 16)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return signet.Server{
		Addresses: []string{"passthrough:///signet"}, TransportCredentials: insecure.NewCredentials(),
		DialOptions: []grpc.DialOption{dialer(listener)},
	}
}

func half() float64 { return 0.5 }

func newSource(t *testing.T, server signet.Server, grant signet.Grant, options ...signet.SourceOption) *signet.TokenSource {
	t.Helper()
	source, err := signet.NewTokenSource(server, grant, "stock", append(options, signet.SourceRandomForTest(half))...)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func secret() signet.Grant { return signet.ClientCredentials(signet.ClientSecret("id", "secret")) }

// numbered answers tokens `token 1`, `token 2` and so on that live for 100 seconds.
func numbered(request *tokenServer) func(*identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
	return func(*identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
		return &identityv1.IssueTokenResponse{AccessToken: "token " + string(rune('0'+request.asked.Load())), ExpiresIn: 100}, nil
	}
}

func wantToken(t *testing.T, source *signet.TokenSource, want string) {
	t.Helper()
	got, err := source.Token(t.Context())
	if err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestATokenIsRenewedInTheBackgroundWhenFourFifthsOfItsLifeHavePassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &tokenServer{}
		server.answer = numbered(server)
		source := newSource(t, server.start(t), secret())
		var all sync.WaitGroup
		for range 50 { // They share one answer.
			all.Go(func() { wantToken(t, source, "token 1") })
		}
		all.Wait()
		time.Sleep(79 * time.Second)
		wantToken(t, source, "token 1")
		synctest.Wait()
		if asked := server.asked.Load(); asked != 1 {
			t.Fatalf("it was asked %d times", asked)
		}
		time.Sleep(time.Second)
		wantToken(t, source, "token 1") // This call goes on with it.
		synctest.Wait()
		wantToken(t, source, "token 2")
		if asked := server.asked.Load(); asked != 2 {
			t.Fatalf("it was asked %d times", asked)
		}
	})
}

func TestCallsGoOnWithALiveTokenWhileSignetIsAwayAndAskLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &tokenServer{}
		server.answer = numbered(server)
		source := newSource(t, server.start(t), secret())
		wantToken(t, source, "token 1")
		answer := server.answer
		server.answer = func(*identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
			return nil, status.Error(codes.Unavailable, "away")
		}
		time.Sleep(80 * time.Second)
		for range 190 { // 19 seconds
			wantToken(t, source, "token 1")
			time.Sleep(100 * time.Millisecond)
		}
		// At 0; after 0.75 of 1, 2, 4, 8 s: at 0.8, 2.3, 5.3 and 11.3 s.
		if asked := server.asked.Load(); asked != 1+5 {
			t.Errorf("it was asked %d times", asked)
		}
		time.Sleep(2 * time.Second)
		_, err := source.Token(t.Context())
		wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
		server.answer = answer
		time.Sleep(30 * time.Second)
		if _, err := source.Token(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAFinalRefusalIsHandedUpAndNotAskedAgainForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &tokenServer{answer: func(*identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
			return nil, &signet.Refusal{Code: codes.InvalidArgument, Reason: "INVALID_SCOPE"}
		}}
		source := newSource(t, server.start(t), secret())
		for range 99 {
			_, err := source.Token(t.Context())
			wantReason(t, err, codes.Unauthenticated, "INVALID_SCOPE")
			time.Sleep(100 * time.Millisecond)
		}
		if asked := server.asked.Load(); asked != 1 {
			t.Errorf("it was asked %d times", asked)
		}
		time.Sleep(time.Second)
		_, _ = source.Token(t.Context())
		if asked := server.asked.Load(); asked != 2 {
			t.Errorf("it was asked %d times", asked)
		}
	})
}

func TestTheDeadlineOfACallBoundsItsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		server := &tokenServer{}
		server.answer = func(*identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
			<-release
			return &identityv1.IssueTokenResponse{AccessToken: "late", ExpiresIn: 100}, nil
		}
		source := newSource(t, server.start(t), secret())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := source.Token(ctx); status.Code(err) != codes.DeadlineExceeded {
			t.Error(err)
		}
		close(release)
		synctest.Wait()
		wantToken(t, source, "late")
		if asked := server.asked.Load(); asked != 1 {
			t.Errorf("it was asked %d times", asked)
		}
	})
}

// userServer answers exchanges of `refresh 1`, `refresh 2` and so on by the next one, and notes what was shown. Access tokens live so long.
func userServer(lives int32) (*tokenServer, *[]string) {
	var shown []string
	server := &tokenServer{}
	server.answer = func(request *identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
		token := request.GetRefreshToken().GetRefreshToken()
		shown = append(shown, token)
		next := token[:len(token)-1] + string(token[len(token)-1]+1)
		return &identityv1.IssueTokenResponse{AccessToken: "token for " + token, ExpiresIn: lives, RefreshToken: &next}, nil
	}
	return server, &shown
}

func TestTheNextRefreshTokenIsStoredBeforeTheAccessTokenIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, shown := userServer(900)
		var stored []string
		broken := errors.New("the disk is full")
		source := newSource(t, server.start(t), signet.RefreshToken(signet.PublicClient("signet"), "refresh 1", func(_ context.Context, next string) error {
			stored = append(stored, next)
			return broken
		}))
		// An old refresh token that is shown again and again ends the session: the answer is kept, and storing it is tried again.
		for range 300 {
			_, err := source.Token(t.Context())
			wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
			time.Sleep(time.Second)
		}
		if !slices.Equal(*shown, []string{"refresh 1"}) || len(stored) < 10 || stored[9] != "refresh 2" {
			t.Errorf("shown %v, stored %v", *shown, stored)
		}
		broken = nil
		time.Sleep(30 * time.Second)
		wantToken(t, source, "token for refresh 1")
		time.Sleep(400 * time.Second) // It lives since it was given, and not since it was stored.
		wantToken(t, source, "token for refresh 1")
		synctest.Wait()
		wantToken(t, source, "token for refresh 2")
		if !slices.Equal(*shown, []string{"refresh 1", "refresh 2"}) || stored[len(stored)-1] != "refresh 3" {
			t.Errorf("shown %v, stored %v", *shown, stored)
		}
	})
}

func TestAnAccessTokenThatHasExpiredBeforeItsRefreshTokenWasStoredIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, shown := userServer(100)
		broken := errors.New("the disk is full")
		source := newSource(t, server.start(t), signet.RefreshToken(signet.PublicClient("signet"), "refresh 1",
			func(context.Context, string) error { return broken }))
		_, err := source.Token(t.Context())
		wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
		broken = nil
		time.Sleep(100 * time.Second)
		wantToken(t, source, "token for refresh 2")
		if !slices.Equal(*shown, []string{"refresh 1", "refresh 2"}) {
			t.Errorf("shown %v", *shown)
		}
	})
}

func TestARefreshTokenBelongsToOneSource(t *testing.T) {
	at := signet.Server{Addresses: []string{"127.0.0.1:1"}}
	user := signet.RefreshToken(signet.PublicClient("signet"), "refresh 1", func(context.Context, string) error { return nil })
	newSource(t, at, user)
	if _, err := signet.NewTokenSource(at, user, "orders"); err == nil {
		t.Error("two sources would exchange one refresh token, which ends the session")
	}
	client := secret()
	newSource(t, at, client)
	newSource(t, at, client)
}

func TestWhyNoTokenCameIsToldByUnwrap(t *testing.T) {
	cause := status.Error(codes.Unavailable, "the replica is at lunch")
	server := &tokenServer{answer: func(*identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) { return nil, cause }}
	source := newSource(t, server.start(t), secret())
	_, err := source.Token(t.Context())
	wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
	var refusal *signet.Refusal
	if errors.As(err, &refusal) {
		refusal.Reason = "CHANGED" // Each call has its own.
	}
	if _, err := source.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "UNAVAILABLE") {
		t.Error(err)
	}
	if why := errors.Unwrap(err); status.Convert(why).Message() != "the replica is at lunch" {
		t.Errorf("source: %v, since %v", err, why)
	}
	// And of a call that could not be sent for it.
	issuer := signettest.NewIssuer(t)
	listener := serve(t, guarded{}, newGuard(t, issuer).ServerOptions()...)
	users := identityv1.NewIdentityServiceClient(connect(t, listener, source.DialOptions("passthrough:///stock", insecure.NewCredentials())...))
	_, err = users.GetMe(t.Context(), &identityv1.GetMeRequest{})
	wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
	if why := errors.Unwrap(err); status.Convert(why).Message() != "the replica is at lunch" {
		t.Errorf("call: %v, since %v", err, why)
	}
}

func TestAnAccessTokenThatWasGivenTooLateIsExchangedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &tokenServer{}
		server.answer = func(request *identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
			next, lives := "refresh 2", int32(0)
			if request.GetRefreshToken().GetRefreshToken() == next {
				next, lives = "refresh 3", 100
			}
			return &identityv1.IssueTokenResponse{AccessToken: "token", ExpiresIn: lives, RefreshToken: &next}, nil
		}
		source := newSource(t, server.start(t), signet.RefreshToken(signet.PublicClient("signet"), "refresh 1",
			func(context.Context, string) error { return nil }))
		wantToken(t, source, "token")
	})
}

func TestAssertionsAreSignedForEachAttempt(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	client, err := signet.PrivateKey("id", "https://id.example", "k", private)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	server := &tokenServer{}
	server.answer = func(request *identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
		parsed, err := jwt.ParseSigned(request.GetClient().GetClientAssertion(), []jose.SignatureAlgorithm{jose.ES256})
		var said jwt.Claims
		if err == nil {
			err = parsed.Claims(private.Public(), &said)
		}
		if err != nil {
			return nil, status.Error(codes.Unauthenticated, err.Error())
		}
		header := parsed.Headers[0]
		if header.KeyID != "k" || header.ExtraHeaders["typ"] != "client-authentication+jwt" || said.Issuer != "id" || said.Subject != "id" ||
			len(said.Audience) != 1 || said.Audience[0] != "https://id.example" || said.Expiry.Time().Sub(said.IssuedAt.Time()) != time.Minute {
			return nil, status.Error(codes.Unauthenticated, "another assertion")
		}
		ids = append(ids, said.ID)
		return &identityv1.IssueTokenResponse{AccessToken: "token", ExpiresIn: 100}, nil
	}
	at := server.start(t)
	for range 2 {
		wantToken(t, newSource(t, at, signet.ClientCredentials(client)), "token")
	}
	if len(ids) != 2 || ids[0] == ids[1] || len(ids[0]) < 20 {
		t.Error(ids)
	}
}

func TestAnotherReplicaIsAskedWhenOneIsAway(t *testing.T) {
	server := &tokenServer{}
	server.answer = numbered(server)
	at := server.start(t)
	at.Addresses = []string{"passthrough:///away", "passthrough:///signet"}
	at.DialOptions = []grpc.DialOption{refusing(t, "away", server)}
	wantToken(t, newSource(t, at, secret()), "token 1")
}

// refusing has connections to one address fail.
func refusing(t *testing.T, away string, server *tokenServer) grpc.DialOption {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	serving := grpc.NewServer()
	identityv1.RegisterIdentityServiceServer(serving, server)
	go func() { _ = serving.Serve(listener) }()
	t.Cleanup(serving.Stop)
	return grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		if address == away {
			return nil, errors.New("connection refused")
		}
		return listener.DialContext(ctx)
	})
}

func TestARequestIsSentOnceToAReplicaWhateverItsResolverSays(t *testing.T) {
	server := &tokenServer{answer: func(*identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
		return nil, status.Error(codes.Unavailable, "away")
	}}
	at := server.start(t)
	resolver := manual.NewBuilderWithScheme("signet")
	state := grpcresolver.State{Endpoints: []grpcresolver.Endpoint{{Addresses: []grpcresolver.Address{{Addr: "signet"}}}}}
	resolver.BuildCallback = func(_ grpcresolver.Target, channel grpcresolver.ClientConn, _ grpcresolver.BuildOptions) {
		state.ServiceConfig = channel.ParseServiceConfig(`{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5,
			"initialBackoff": "0.001s", "maxBackoff": "0.001s", "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`)
		resolver.InitialState(state)
	}
	at.Addresses = []string{"signet:///signet"}
	at.DialOptions = append(at.DialOptions, grpc.WithResolvers(resolver))
	_, err := newSource(t, at, secret()).Token(t.Context())
	wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
	if asked := server.asked.Load(); asked != 1 { // An assertion is used once, and a refresh token that is shown again may be a stolen one.
		t.Errorf("it was asked %d times, since %v", asked, errors.Unwrap(err))
	}
}
