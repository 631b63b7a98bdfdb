package signet_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	identityv1 "example.com/signet/sdk/go/identity/v1"
	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns the tests of asking Signet for roles.

// introspecting is a Signet that tells the roles of tokens to who shows `token`.
type introspecting struct {
	identityv1.UnimplementedIdentityServiceServer
	identityv1.UnimplementedTokenServiceServer

	roles    []string
	isActive bool
	asked    atomic.Int64
	server   *grpc.Server
}

// start serves within the process.
func (i *introspecting) start(t *testing.T) *bufconn.Listener {
	t.Helper()
	i.server = grpc.NewServer()
	identityv1.RegisterIdentityServiceServer(i.server, i)
	identityv1.RegisterTokenServiceServer(i.server, i)
	listener := bufconn.Listen(1 << 16)
	go func() { _ = i.server.Serve(listener) }()
	t.Cleanup(i.server.Stop)
	return listener
}

func (*introspecting) IssueToken(_ context.Context, request *identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
	if request.GetScope() != "introspect" || request.GetAudiences()[0] != "signet" || request.GetClient().GetClientSecret() != "secret" {
		return nil, status.Error(codes.InvalidArgument, "another request")
	}
	return &identityv1.IssueTokenResponse{AccessToken: "token", ExpiresIn: 900}, nil
}

func (i *introspecting) IntrospectToken(
	ctx context.Context, _ *identityv1.IntrospectTokenRequest,
) (*identityv1.IntrospectTokenResponse, error) {
	i.asked.Add(1)
	shown := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(shown) != 1 || shown[0] != "Bearer token" || len(metadata.ValueFromIncomingContext(ctx, "tenant")) > 0 {
		return nil, status.Error(codes.Unauthenticated, "another token")
	}
	return &identityv1.IntrospectTokenResponse{Active: i.isActive, Roles: i.roles}, nil
}

func TestRolesThatHadNoRoomInTheTokenAreAskedFor(t *testing.T) {
	told := &introspecting{roles: []string{"picker"}, isActive: true}
	listener := told.start(t)
	at := signet.Server{
		Addresses: []string{"passthrough:///signet"}, TransportCredentials: insecure.NewCredentials(),
		DialOptions: []grpc.DialOption{dialer(listener)},
	}
	issuer := signettest.NewIssuer(t)
	verifier := issuer.Verifier(t, "stock", signet.WithIntrospection(at, signet.ClientSecret("id", "secret")))
	rule := signet.Rule{AnyRoles: []string{"picker", "packer"}}
	omitted := issuer.Token(signettest.User{Claims: map[string]any{"roles_omitted": true}})
	caller, err := verifier.Verify(t.Context(), omitted, rule)
	if err != nil || !caller.HasRole("picker") {
		t.Errorf("got %v, %v", caller, err)
	}
	if _, err := verifier.Verify(t.Context(), issuer.Token(signettest.User{Roles: []string{"packer"}}), rule); err != nil || told.asked.Load() != 1 {
		t.Errorf("a token that names its roles: %v, asked %d times", err, told.asked.Load())
	}
	// An interceptor in front may have filled in what the handler's own calls are to carry: nothing of it is Signet's to see.
	onward := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+omitted, "tenant", "north")
	if _, err := verifier.Verify(onward, omitted, rule); err != nil {
		t.Errorf("with metadata for other calls: %v, since %v", err, errors.Unwrap(err))
	}
	told.roles = nil
	_, err = verifier.Verify(t.Context(), omitted, rule)
	wantReason(t, err, codes.PermissionDenied, signet.ReasonInsufficientRole)
	told.isActive = false
	_, err = verifier.Verify(t.Context(), omitted, rule)
	wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenRevoked)
	told.server.Stop()
	_, err = verifier.Verify(t.Context(), omitted, rule)
	wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
}

// askedBy is an introspector of the test's own.
type askedBy func(ctx context.Context, token string) (signet.Introspection, error)

func (a askedBy) Introspect(ctx context.Context, token string) (signet.Introspection, error) {
	return a(ctx, token)
}

// pickers are let in, whatever their tokens have no room for.
var pickers = signet.Rule{AnyRoles: []string{"picker"}}

func withoutRoom(issuer *signettest.Issuer) string {
	return issuer.Token(signettest.User{Claims: map[string]any{"roles_omitted": true}})
}

func TestCallsWithOneTokenShareAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := signettest.NewIssuer(t)
		answer := make(chan struct{})
		var asked atomic.Int64
		verifier := issuer.Verifier(t, "stock", signet.WithIntrospector(askedBy(func(ctx context.Context, _ string) (signet.Introspection, error) {
			asked.Add(1)
			select {
			case <-answer:
				return signet.Introspection{Active: true, Roles: []string{"picker"}}, nil
			case <-ctx.Done():
				return signet.Introspection{}, ctx.Err()
			}
		})))
		token := withoutRoom(issuer)
		ctx, giveUp := context.WithCancel(t.Context())
		var first, all sync.WaitGroup
		first.Go(func() {
			_, err := verifier.Verify(ctx, token, pickers)
			wantReason(t, err, codes.Canceled, signet.ReasonUnavailable)
		})
		synctest.Wait()
		for range 50 {
			all.Go(func() {
				if _, err := verifier.Verify(t.Context(), token, pickers); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		giveUp() // The question goes on for the others.
		first.Wait()
		close(answer)
		all.Wait()
		if asked.Load() != 1 {
			t.Errorf("it was asked %d times", asked.Load())
		}
		if _, err := verifier.Verify(t.Context(), token, pickers); err != nil || asked.Load() != 2 { // What was told is not kept.
			t.Errorf("%v, asked %d times", err, asked.Load())
		}
	})
}

func TestAThousandQuestionsAreOpenAtOnceAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := signettest.NewIssuer(t)
		answer := make(chan struct{})
		verifier := issuer.Verifier(t, "stock", signet.WithIntrospector(askedBy(func(context.Context, string) (signet.Introspection, error) {
			<-answer
			return signet.Introspection{Active: true, Roles: []string{"picker"}}, nil
		})))
		var all sync.WaitGroup
		var last string
		for range 1_000 {
			token := withoutRoom(issuer)
			last = token
			all.Go(func() {
				if _, err := verifier.Verify(t.Context(), token, pickers); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		one := withoutRoom(issuer)
		_, err := verifier.Verify(t.Context(), one, pickers)
		wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
		all.Go(func() { // One that is asked about already takes no place.
			if _, err := verifier.Verify(t.Context(), last, pickers); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		close(answer)
		all.Wait()
		if _, err := verifier.Verify(t.Context(), one, pickers); err != nil {
			t.Error(err)
		}
	})
}

func TestAnIntrospectorThatNeverAnswersOrPanicsIsOneThatCannotBeAsked(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	broken := issuer.Verifier(t, "stock", signet.WithIntrospector(askedBy(func(context.Context, string) (signet.Introspection, error) {
		panic("a bug")
	})))
	_, err := broken.Verify(t.Context(), withoutRoom(issuer), pickers)
	wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
	asked, release := make(chan struct{}), make(chan struct{})
	silent := issuer.Verifier(t, "stock", signet.WithIntrospector(askedBy(func(context.Context, string) (signet.Introspection, error) {
		close(asked)
		<-release
		return signet.Introspection{}, errors.New("late")
	})))
	defer close(release)
	go func() {
		<-asked
		issuer.Advance(5 * time.Second)
	}()
	_, err = silent.Verify(t.Context(), withoutRoom(issuer), pickers)
	wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
}

func TestQuestionsThatFailTogetherAllGoOnToTheReplicaThatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := (&introspecting{roles: []string{"picker"}, isActive: true}).start(t)
		fails := make(chan struct{})
		at := signet.Server{
			Addresses: []string{"passthrough:///away", "passthrough:///signet"}, TransportCredentials: insecure.NewCredentials(),
			AllowPlaintext: "it is one process",
			DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				if address == "away" {
					<-fails
					return nil, errors.New("connection refused")
				}
				return listener.DialContext(ctx)
			})},
		}
		issuer := signettest.NewIssuer(t)
		verifier := issuer.Verifier(t, "stock", signet.WithIntrospection(at, signet.ClientSecret("id", "secret")))
		var all sync.WaitGroup
		for range 8 {
			token := withoutRoom(issuer)
			all.Go(func() {
				if _, err := verifier.Verify(t.Context(), token, pickers); err != nil {
					t.Error(err, errors.Unwrap(err))
				}
			})
		}
		synctest.Wait()
		close(fails)
		all.Wait()
	})
}
