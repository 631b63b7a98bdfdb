package signet_test

import (
	"context"
	"sync/atomic"
	"testing"

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
	if shown := metadata.ValueFromIncomingContext(ctx, "authorization"); len(shown) != 1 || shown[0] != "Bearer token" {
		return nil, status.Error(codes.Unauthenticated, "another token")
	}
	return &identityv1.IntrospectTokenResponse{Active: i.isActive, Roles: i.roles}, nil
}

func TestRolesThatHadNoRoomInTheTokenAreAskedFor(t *testing.T) {
	told := &introspecting{roles: []string{"picker"}, isActive: true}
	server := grpc.NewServer()
	identityv1.RegisterIdentityServiceServer(server, told)
	identityv1.RegisterTokenServiceServer(server, told)
	listener := bufconn.Listen(1 << 16)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
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
	told.roles = nil
	_, err = verifier.Verify(t.Context(), omitted, rule)
	wantReason(t, err, codes.PermissionDenied, signet.ReasonInsufficientRole)
	told.isActive = false
	_, err = verifier.Verify(t.Context(), omitted, rule)
	wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenRevoked)
	server.Stop()
	_, err = verifier.Verify(t.Context(), omitted, rule)
	wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
}
