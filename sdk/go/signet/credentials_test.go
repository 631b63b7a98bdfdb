package signet_test

import (
	"context"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	identityv1 "example.com/signet/sdk/go/identity/v1"
	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns the tests of which calls tokens go with, and of calling again.

// attachedTo is a channel to a guarded service with tokens of a source.
func attachedTo(
	t *testing.T, issuer *signettest.Issuer, listener *bufconn.Listener, id string, hooks signet.SourceHooks,
) (identityv1.IdentityServiceClient, *tokenServer) {
	t.Helper()
	server := &tokenServer{}
	server.answer = func(*identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
		token := issuer.Token(signettest.User{SessionID: id, Scopes: []string{"profile"}})
		if server.asked.Load() > 1 {
			token = issuer.Token(signettest.User{Scopes: []string{"profile"}}) // of another session
		}
		return &identityv1.IssueTokenResponse{AccessToken: token, ExpiresIn: 900}, nil
	}
	source := newSource(t, server.start(t), secret(), signet.WithSourceHooks(hooks))
	options := source.DialOptions("passthrough:///stock", insecure.NewCredentials())
	return identityv1.NewIdentityServiceClient(connect(t, listener, options...)), server
}

func TestAUnaryCallWithARevokedTokenIsSentOnceMoreWithAnotherOne(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	listener := serve(t, guarded{}, newGuard(t, issuer).ServerOptions()...)
	session := signettest.NewUUID()
	retried := 0
	users, server := attachedTo(t, issuer, listener, session, signet.SourceHooks{CallRetried: func() { retried++ }})
	for range 2 {
		if _, err := users.GetMe(t.Context(), &identityv1.GetMeRequest{}); err != nil {
			t.Fatal(err)
		}
		issuer.RevokeSession(session)
	}
	if server.asked.Load() != 2 || retried != 1 {
		t.Errorf("asked %d, retried %d", server.asked.Load(), retried)
	}
}

func TestBetweenTwoTokensThatAreRefusedLieSevenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &tokenServer{}
		server.answer = numbered(server)
		source := newSource(t, server.start(t), secret())
		retry := source.UnaryInterceptorForTest()
		refused := func(ctx context.Context, method string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			if _, err := source.AttachForTest(ctx); err != nil {
				return err
			}
			metadata := map[string]string{"audience": "stock", "method": method}
			return &signet.Refusal{Code: codes.Unauthenticated, Reason: signet.ReasonTokenRevoked, Metadata: metadata}
		}
		var asked []int64
		for range 15 { // A second apart, from 0 to 14.
			err := retry(t.Context(), "/stock.v1.StockService/GetItem", nil, nil, nil, refused)
			wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenRevoked)
			asked = append(asked, server.asked.Load())
			time.Sleep(time.Second)
		}
		if !slices.Equal(asked, []int64{2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 4}) {
			t.Errorf("asked %v", asked)
		}
	})
}

func TestARefusalThatIsPassedOnIsHandedUp(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	calls := 0
	passing := func(_ context.Context, _ any, info *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
		calls++
		metadata := map[string]string{"audience": "orders", "method": info.FullMethod}
		return nil, &signet.Refusal{Code: codes.Unauthenticated, Reason: signet.ReasonTokenExpired, Metadata: metadata}
	}
	users, _ := attachedTo(t, issuer, serve(t, guarded{}, grpc.UnaryInterceptor(passing)), "", signet.SourceHooks{})
	_, err := users.GetMe(t.Context(), &identityv1.GetMeRequest{})
	wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenExpired)
	if calls != 1 {
		t.Errorf("it was called %d times", calls)
	}
}

func TestNoTokenLeavesForAnotherAuthority(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	listener := serve(t, guarded{}, newGuard(t, issuer).ServerOptions()...)
	server := &tokenServer{}
	server.answer = numbered(server)
	source := newSource(t, server.start(t), secret())
	options := append(source.DialOptions("passthrough:///stock", insecure.NewCredentials()), grpc.WithAuthority("orders"))
	users := identityv1.NewIdentityServiceClient(connect(t, listener, options...))
	if _, err := users.GetMe(t.Context(), &identityv1.GetMeRequest{}); err == nil || server.asked.Load() != 0 {
		t.Errorf("%v, asked %d times", err, server.asked.Load())
	}
}

// elsewhere is a connection that says that its peer is on another machine.
type elsewhere struct{ net.Conn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

func TestNoTokenLeavesOverPlaintextUnlessTheCodeSaysWhy(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	listener := serve(t, guarded{}, newGuard(t, issuer).ServerOptions()...)
	away := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		conn, err := listener.DialContext(ctx)
		return elsewhere{conn}, err
	})
	server := &tokenServer{}
	server.answer = func(*identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
		return &identityv1.IssueTokenResponse{AccessToken: issuer.Token(signettest.User{Scopes: []string{"profile"}}), ExpiresIn: 900}, nil
	}
	source := newSource(t, server.start(t), secret())
	for _, c := range []struct {
		options []signet.ChannelOption
		passes  bool
	}{
		{nil, false}, {[]signet.ChannelOption{signet.AllowPlaintext("")}, false}, {[]signet.ChannelOption{signet.AllowPlaintext("the mesh encrypts")}, true},
	} {
		options := append(source.DialOptions("passthrough:///stock", insecure.NewCredentials(), c.options...), away)
		_, err := identityv1.NewIdentityServiceClient(connect(t, listener, options...)).GetMe(t.Context(), &identityv1.GetMeRequest{})
		if (err == nil) != c.passes {
			t.Errorf("%v, want passes %v", err, c.passes)
		}
	}
	// To Signet itself neither: the client's secret would leave.
	secretly := server.start(t)
	secretly.DialOptions = []grpc.DialOption{away}
	if _, err := newSource(t, secretly, secret()).Token(t.Context()); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
}

func TestCredentialsKnowTheirTargetByAnyOfItsNames(t *testing.T) {
	source := newSource(t, signet.Server{Addresses: []string{"127.0.0.1:1"}}, secret())
	for _, transport := range []credentials.TransportCredentials{nil, insecure.NewCredentials()} {
		if len(source.DialOptions("dns:///stock.example:443", transport)) == 0 {
			t.Error("no options")
		}
	}
	for target, authority := range map[string]string{
		"dns:///stock.example:443": "stock.example", "stock.example:50052": "stock.example:50052", ":50052": "localhost:50052",
		"unix:/run/stock": "localhost", "passthrough:///stock": "stock", "[::1]:50052": "[::1]:50052",
	} {
		if err := signet.MayAttachForTest(target, authority, true, false, false); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// tcp serves the service, and Signet, at one address of the loopback network.
func tcp(t *testing.T, guard *signet.Guard, tokens *tokenServer) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(guard.ServerOptions()...)
	identityv1.RegisterIdentityServiceServer(server, guardedAnd{tokens: tokens})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// guardedAnd is the guarded service, and Signet's own.
type guardedAnd struct {
	guarded
	tokens *tokenServer
}

func (g guardedAnd) IssueToken(ctx context.Context, request *identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
	return g.tokens.IssueToken(ctx, request)
}

func TestOverPlaintextTheNameMustBeLoopbackAndNotOnlyWhereItLeads(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	tokens := &tokenServer{answer: func(*identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
		return &identityv1.IssueTokenResponse{AccessToken: issuer.Token(signettest.User{Scopes: []string{"profile"}}), ExpiresIn: 900}, nil
	}}
	address := tcp(t, newGuard(t, issuer), tokens)
	_, port, _ := net.SplitHostPort(address)
	leading := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	})
	for _, c := range []struct {
		target  string
		options []signet.ChannelOption
		passes  bool
	}{
		{address, nil, true},
		{"localhost:" + port, nil, true},
		{"passthrough:///[::1]:" + port, nil, true},
		{"passthrough:///stock.example:" + port, nil, false},
		{"passthrough:///127.0.0.1.example:" + port, nil, false},
		{"passthrough:///stock.example:" + port, []signet.ChannelOption{signet.AllowPlaintext("the test is at both ends")}, true},
		// Neither of two names will do alone: one says where the call goes, the other one who is to answer.
		{"passthrough:///stock.example:" + port, []signet.ChannelOption{signet.Authority("localhost")}, false},
		{address, []signet.ChannelOption{signet.Authority("stock.example")}, false},
	} {
		allowed := signet.Server{Addresses: []string{address}, TransportCredentials: insecure.NewCredentials()}
		channel, err := grpc.NewClient(c.target,
			append(newSource(t, allowed, secret()).DialOptions(c.target, insecure.NewCredentials(), c.options...), leading)...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = identityv1.NewIdentityServiceClient(channel).GetMe(t.Context(), &identityv1.GetMeRequest{})
		if (err == nil) != c.passes {
			t.Errorf("a call to %s: %v, want passes %v", c.target, err, c.passes)
		}
		_ = channel.Close()
		if len(c.options) > 0 {
			continue
		}
		asked := tokens.asked.Load()
		options := []grpc.DialOption{leading}
		at := signet.Server{Addresses: []string{c.target}, TransportCredentials: insecure.NewCredentials(), DialOptions: options}
		_, err = newSource(t, at, secret()).Token(t.Context())
		if (err == nil) != c.passes || (tokens.asked.Load() == asked) == c.passes {
			t.Errorf("Signet at %s: %v, want passes %v", c.target, err, c.passes)
		}
	}
}

// unnamed are credentials that do not encrypt, and do not go by the name of those that do not.
type unnamed struct {
	credentials.TransportCredentials
}

func (unnamed) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "own"}
}

func (u unnamed) Clone() credentials.TransportCredentials { return u }

func TestPlaintextIsWhateverDoesNotSayThatItEncrypts(t *testing.T) {
	server := &tokenServer{}
	server.answer = numbered(server)
	serving := grpc.NewServer()
	identityv1.RegisterIdentityServiceServer(serving, server)
	listener := bufconn.Listen(1 << 16)
	go func() { _ = serving.Serve(listener) }()
	t.Cleanup(serving.Stop)
	away := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		conn, err := listener.DialContext(ctx)
		return elsewhere{conn}, err
	})
	for _, reason := range []string{"", "the mesh encrypts"} {
		at := signet.Server{
			Addresses: []string{"passthrough:///signet"}, TransportCredentials: unnamed{insecure.NewCredentials()}, AllowPlaintext: reason,
			DialOptions: []grpc.DialOption{away},
		}
		_, err := newSource(t, at, secret()).Token(t.Context())
		if isAllowed := reason != ""; (err == nil) != isAllowed || (server.asked.Load() > 0) != isAllowed {
			t.Errorf("with the reason %q: %v, asked %d times", reason, err, server.asked.Load())
		}
	}
}
