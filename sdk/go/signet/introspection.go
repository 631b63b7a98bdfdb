package signet

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	identityv1 "example.com/signet/sdk/go/identity/v1"
)

// This file owns asking Signet what a token is worth (RFC 7662): for the roles of a token that had no room for them.

// Introspection is what is told of a token.
type Introspection struct {
	// Active is whether the token is good at this moment.
	Active bool
	// Roles are those that its user or client has now at its audience.
	Roles []string
}

// Introspector tells what a token is worth at this moment.
type Introspector interface {
	// Introspect asks about a token. If it fails, or takes more than 5 seconds, the calls that wait are answered with UNAVAILABLE: calls
	// with one token share a question. The context has the values of the call that asked first.
	Introspect(ctx context.Context, token string) (Introspection, error)
}

// introspection asks Signet's TokenService.
type introspection struct {
	server Server
	source *TokenSource

	mu       sync.Mutex
	next     int                         // the replica that is asked first
	channels map[string]*grpc.ClientConn // kept, since calls wait for answers
}

func newIntrospection(server Server, client ClientAuth, clock Clock, random func() float64) (*introspection, error) {
	source, err := NewTokenSource(server, ClientCredentials(client), server.audience(), WithScopes("introspect"),
		WithSourceClock(clock), withSourceRandom(random))
	if err != nil {
		return nil, err
	}
	return &introspection{server: server, source: source, channels: make(map[string]*grpc.ClientConn)}, nil
}

// Introspect implements [Introspector].
func (i *introspection) Introspect(ctx context.Context, token string) (Introspection, error) {
	ctx = metadata.NewOutgoingContext(ctx, nil) // What the call that asks has prepared for its own calls is not for Signet.
	i.mu.Lock()
	first := i.next
	i.mu.Unlock()
	var err error
	for at := range len(i.server.Addresses) {
		replica := (first + at) % len(i.server.Addresses)
		var channel *grpc.ClientConn
		if channel, err = i.channel(i.server.Addresses[replica]); err != nil {
			return Introspection{}, err
		}
		var told *identityv1.IntrospectTokenResponse
		request := &identityv1.IntrospectTokenRequest{Token: token}
		if told, err = identityv1.NewTokenServiceClient(channel).IntrospectToken(ctx, request); err == nil {
			return Introspection{Active: told.GetActive(), Roles: told.GetRoles()}, nil
		}
		if ctx.Err() != nil {
			break
		}
		i.mu.Lock()
		if i.next == replica { // Of many questions that fail together the first one says so.
			i.next = (replica + 1) % len(i.server.Addresses)
		}
		i.mu.Unlock()
	}
	return Introspection{}, err
}

func (i *introspection) channel(address string) (*grpc.ClientConn, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if channel := i.channels[address]; channel != nil {
		return channel, nil
	}
	channel, err := i.server.dial(address, i.source.callOptions(address, i.server.AllowPlaintext)...)
	if err == nil {
		i.channels[address] = channel
	}
	return channel, err
}

func (i *introspection) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, channel := range i.channels {
		_ = channel.Close()
	}
	clear(i.channels)
}
