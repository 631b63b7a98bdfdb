package signet_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"google.golang.org/grpc/health"

	eventsv1 "example.com/signet/sdk/go/identity/events/v1"
	identityv1 "example.com/signet/sdk/go/identity/v1"
	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns the tests of the guard in a real server. Signet's own services stand for a user's: their methods are annotated.

// guarded is a service behind the guard, over a connection within the process.
type guarded struct {
	identityv1.UnimplementedIdentityServiceServer
	eventsv1.UnimplementedEventServiceServer

	watch func(*eventsv1.WatchRequest, grpc.ServerStreamingServer[eventsv1.WatchResponse]) error
}

// GetMe asks for the scope `profile`.
func (guarded) GetMe(ctx context.Context, _ *identityv1.GetMeRequest) (*identityv1.GetMeResponse, error) {
	caller, ok := signet.CallerFrom(ctx)
	if !ok {
		return nil, errors.New("there is no caller")
	}
	return &identityv1.GetMeResponse{User: &identityv1.User{Id: caller.ID()}}, nil
}

// SignUp is public.
func (guarded) SignUp(ctx context.Context, _ *identityv1.SignUpRequest) (*identityv1.SignUpResponse, error) {
	if _, ok := signet.CallerFrom(ctx); ok {
		return nil, errors.New("there is a caller")
	}
	return &identityv1.SignUpResponse{}, nil
}

// Watch is for clients with the scope `signet.events.watch`.
func (g guarded) Watch(request *eventsv1.WatchRequest, stream grpc.ServerStreamingServer[eventsv1.WatchResponse]) error {
	return g.watch(request, stream)
}

func serve(t testing.TB, service guarded, options ...grpc.ServerOption) *bufconn.Listener {
	t.Helper()
	server := grpc.NewServer(options...)
	identityv1.RegisterIdentityServiceServer(server, service)
	eventsv1.RegisterEventServiceServer(server, service)
	healthv1.RegisterHealthServer(server, health.NewServer())
	listener := bufconn.Listen(1 << 20)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener
}

func dialer(listener *bufconn.Listener) grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) })
}

func connect(t testing.TB, listener *bufconn.Listener, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append([]grpc.DialOption{dialer(listener)}, options...)
	channel, err := grpc.NewClient("passthrough:///stock", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = channel.Close() })
	return channel
}

func plain(t testing.TB, listener *bufconn.Listener) *grpc.ClientConn {
	return connect(t, listener, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func withToken(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func newGuard(t testing.TB, issuer *signettest.Issuer, options ...signet.VerifierOption) *signet.Guard {
	t.Helper()
	policy, err := signet.PolicyFromRegistry(signet.PublicService("grpc.health.v1.Health"))
	if err != nil {
		t.Fatal(err)
	}
	return signet.NewGuard(issuer.Verifier(t, "stock", options...), policy)
}

func wantReason(t testing.TB, err error, code codes.Code, reason string) {
	t.Helper()
	refusal, ok := signet.RefusalFrom(err)
	if !ok || refusal.Code != code || refusal.Reason != reason {
		t.Errorf("got %v, want %v %s", err, code, reason)
	}
}

func TestUnaryCallsKeepTheRulesOfTheRegistry(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	listener := serve(t, guarded{}, newGuard(t, issuer).ServerOptions()...)
	users := identityv1.NewIdentityServiceClient(plain(t, listener))
	id := signettest.NewUUID()
	token := issuer.Token(signettest.User{ID: id, Scopes: []string{"profile"}})
	me, err := users.GetMe(withToken(t.Context(), token), &identityv1.GetMeRequest{})
	if err != nil || me.GetUser().GetId() != id {
		t.Errorf("got %v, %v", me, err)
	}
	if _, err := users.SignUp(withToken(t.Context(), "garbage"), &identityv1.SignUpRequest{}); err != nil {
		t.Errorf("a public method: %v", err)
	}
	_, err = users.GetMe(t.Context(), &identityv1.GetMeRequest{})
	wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenMissing)
	_, err = users.GetMe(withToken(t.Context(), issuer.Token(signettest.User{})), &identityv1.GetMeRequest{})
	wantReason(t, err, codes.PermissionDenied, signet.ReasonInsufficientScope)
	if _, err := healthv1.NewHealthClient(plain(t, listener)).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("health: %v", err)
	}
	issuer.Advance(16 * time.Minute)
	_, err = users.GetMe(withToken(t.Context(), token), &identityv1.GetMeRequest{})
	wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenExpired)
}

func TestAServiceThatIsNotMadePublicIsDenied(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	policy, err := signet.PolicyFromRegistry()
	if err != nil {
		t.Fatal(err)
	}
	listener := serve(t, guarded{}, signet.NewGuard(issuer.Verifier(t, "stock"), policy).ServerOptions()...)
	_, err = healthv1.NewHealthClient(plain(t, listener)).Check(t.Context(), &healthv1.HealthCheckRequest{})
	wantReason(t, err, codes.PermissionDenied, signet.ReasonAccessUndeclared)
}

func TestRefusalsAndErrorsHoldNoToken(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	verifier := issuer.Verifier(t, "orders")
	token := issuer.Token(signettest.User{})
	_, err := verifier.Verify(t.Context(), token, signet.Rule{})
	wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenInvalid)
	for _, part := range strings.Split(token, ".") {
		if strings.Contains(err.Error(), part) {
			t.Error(err)
		}
	}
}

func TestAHookThatPanicsDisturbsNoCall(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	var reasons []string
	verifier := issuer.Verifier(t, "stock", signet.WithHooks(signet.Hooks{Verified: func(reason string, isCached bool) {
		reasons = append(reasons, reason, map[bool]string{true: "seen", false: "new"}[isCached])
		panic("a bug of the metrics")
	}}))
	token := issuer.Token(signettest.User{})
	for range 2 {
		if _, err := verifier.Verify(t.Context(), token, signet.Rule{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(reasons, " "); got != "OK new OK seen" {
		t.Error(got)
	}
}

func TestWhatAHandlerDoesWithACallerNoOtherCallSees(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	verifier := issuer.Verifier(t, "stock")
	token := issuer.Token(signettest.User{
		Scopes: []string{"stock:read"}, Roles: []string{"picker"}, Groups: []string{"night"},
		Claims: map[string]any{"attributes": map[string]any{
			"sites": []string{"north", "south"}, "desk": map[string]any{"rows": []any{1, map[string]any{"seat": 2}}},
		}},
	})
	said := func() (*signet.Caller, string) {
		caller, err := verifier.Verify(t.Context(), token, signet.Rule{})
		if err != nil {
			t.Fatal(err)
		}
		all := []any{caller.Attributes(), caller.Scopes(), caller.Roles(), caller.Groups(), caller.AMR(), caller.Audiences()}
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return caller, string(text)
	}
	caller, before := said()
	attributes := caller.Attributes()
	attributes["sites"].([]any)[0] = "everywhere"
	desk := attributes["desk"].(map[string]any)
	desk["rows"].([]any)[1].(map[string]any)["seat"] = 3
	desk["admin"] = true
	attributes["admin"] = true
	for _, list := range [][]string{caller.Scopes(), caller.Roles(), caller.Groups(), caller.AMR(), caller.Audiences()} {
		list[0] = "admin"
	}
	if _, after := said(); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
	if none, err := verifier.Verify(t.Context(), issuer.Token(signettest.User{}), signet.Rule{}); err != nil || none.Attributes() != nil {
		t.Errorf("no attributes: %v, %v", none.Attributes(), err)
	}
}
