package signet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// This file owns how Signet's own gRPC API is reached: which replica, and over which channel.

// connectTimeout is how long one replica may take to accept a connection, before the next one is asked.
const connectTimeout = 5 * time.Second

// Server says where Signet's gRPC API is.
type Server struct {
	// Addresses are those of replicas, as gRPC targets such as `signet-0.example:50051` or `dns:///signet.example:50051`. When one is away
	// the next one is asked.
	Addresses []string
	// TransportCredentials are those of the channel; nil for TLS with the system's certification authorities. For mutual TLS, by which a
	// client may prove who it is ([Certificate]), give credentials with the client's certificate. Plaintext
	// (insecure.NewCredentials()) is for loopback addresses.
	TransportCredentials credentials.TransportCredentials
	// AllowPlaintext is the reason why plaintext may go to other than loopback addresses, such as "the sidecar encrypts". Empty: it may not.
	AllowPlaintext string
	// Audience is that of Signet's own tokens (`--audience`); empty for `signet`.
	Audience string
	// DialOptions are further options of the channels.
	DialOptions []grpc.DialOption
}

func (s *Server) check() error {
	if len(s.Addresses) == 0 {
		return errors.New("signet: an address of Signet is needed")
	}
	return nil
}

func (s *Server) audience() string {
	if s.Audience == "" {
		return "signet"
	}
	return s.Audience
}

// dial makes a channel to one address, for a call or a stream. Between two calls lie minutes: a channel that was kept would be found dead.
func (s *Server) dial(address string, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	transport := s.TransportCredentials
	if transport == nil {
		transport = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	if isPlaintext(transport) {
		transport = plaintext{TransportCredentials: transport, isAllowed: s.AllowPlaintext != "", mustBeLoopback: true}
		// By a proxy of HTTP on this machine the peer would be a loopback address, wherever the call goes.
		more = append(more, grpc.WithNoProxy())
	}
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: connectTimeout}),
		grpc.WithUserAgent("signet-sdk-go"),
	}, s.DialOptions...)
	return grpc.NewClient(address, append(options, more...)...)
}

// call calls one replica after the other, from the one at *next on, until one of them is there. *next is then that one.
func (s *Server) call(ctx context.Context, next *int, call func(context.Context, *grpc.ClientConn) error) error {
	var err error
	for range s.Addresses {
		*next %= len(s.Addresses)
		if err = s.callOne(ctx, s.Addresses[*next], call); status.Code(err) != codes.Unavailable || ctx.Err() != nil {
			return err
		}
		*next++
	}
	return err
}

func (s *Server) callOne(ctx context.Context, address string, call func(context.Context, *grpc.ClientConn) error) error {
	channel, err := s.dial(address)
	if err != nil {
		return err
	}
	defer channel.Close()
	return call(ctx, channel)
}

// ===== plaintext =====

// plaintext is a channel's credentials that do not encrypt, and know whom they are connected to.
type plaintext struct {
	credentials.TransportCredentials
	isAllowed      bool
	mustBeLoopback bool // a connection elsewhere fails, unless it is allowed
}

// plaintextInfo tells call credentials where a channel that does not encrypt goes to.
type plaintextInfo struct {
	credentials.AuthInfo
	isLoopback bool
}

// GetCommonAuthInfo tells gRPC that nothing is encrypted.
func (plaintextInfo) GetCommonAuthInfo() credentials.CommonAuthInfo {
	return credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}
}

func isPlaintext(transport credentials.TransportCredentials) bool {
	return transport.Info().SecurityProtocol == "insecure"
}

// ClientHandshake implements [credentials.TransportCredentials].
func (p plaintext) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	isLocal := isLoopback(raw.RemoteAddr())
	if p.mustBeLoopback && !isLocal && !p.isAllowed {
		return nil, nil, fmt.Errorf("signet: %s is not a loopback address, and the channel does not encrypt: use TLS, or AllowPlaintext", raw.RemoteAddr())
	}
	conn, info, err := p.TransportCredentials.ClientHandshake(ctx, authority, raw)
	return conn, plaintextInfo{AuthInfo: info, isLoopback: isLocal}, err
}

// Clone implements [credentials.TransportCredentials].
func (p plaintext) Clone() credentials.TransportCredentials {
	p.TransportCredentials = p.TransportCredentials.Clone()
	return p
}

// isLoopback says whether what is sent to the address stays on this machine.
func isLoopback(address net.Addr) bool {
	switch address := address.(type) {
	case *net.TCPAddr:
		return address.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	default:
		return address != nil && address.Network() == "bufconn" // google.golang.org/grpc/test/bufconn: within the process
	}
}
