package signet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
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
	// (insecure.NewCredentials()) is for this machine: an address that is `localhost`, 127.0.0.0/8 or ::1 by its own name.
	TransportCredentials credentials.TransportCredentials
	// AllowPlaintext is the reason why plaintext may go elsewhere, such as "the sidecar encrypts". Empty: it may not.
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
	isPlain := isPlaintext(transport)
	// Whatever it is: there may be others that do not encrypt.
	transport = plaintext{
		TransportCredentials: transport, isChecked: s.AllowPlaintext == "", address: address, isNamedSo: isLoopbackName(authorityOf(address)),
	}
	if isPlain {
		// By a proxy of HTTP on this machine the peer would be a loopback address, wherever the call goes.
		more = append(more, grpc.WithNoProxy())
	}
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: connectTimeout}),
		grpc.WithUserAgent("signet-sdk-go"),
		// By a name's TXT record gRPC would send a request again by itself: an assertion is used once, and so is a refresh token.
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
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

// plaintext is a channel's credentials that may not encrypt, and know then whom they are connected to.
type plaintext struct {
	credentials.TransportCredentials
	isChecked bool // a connection that may leave this machine fails
	address   string
	isNamedSo bool // the address is loopback by its own name
}

// plaintextInfo tells call credentials where a channel that does not encrypt goes to.
type plaintextInfo struct {
	credentials.AuthInfo
	peer peer
}

// peer says where what is sent to the other end of a connection goes.
type peer int

const (
	peerElsewhere peer = iota
	// peerLoopback: it stays on this machine, unless whoever takes it there sends it on.
	peerLoopback
	// peerInProcess: it stays in this process.
	peerInProcess
)

// isLocal says whether what is sent to the peer stays here, where the name that was asked for is that of this machine or not: another name
// that merely leads here may lead elsewhere in a moment (DNS), or here to whoever sends it on.
func (p peer) isLocal(isNamedSo bool) bool {
	return p == peerInProcess || p == peerLoopback && isNamedSo
}

// GetCommonAuthInfo tells gRPC that nothing is encrypted.
func (plaintextInfo) GetCommonAuthInfo() credentials.CommonAuthInfo {
	return credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}
}

func isPlaintext(transport credentials.TransportCredentials) bool {
	return transport.Info().SecurityProtocol == "insecure"
}

// doesEncrypt says whether a channel says so itself: credentials.CheckSecurityLevel takes for secure what does not say how secure it is.
func doesEncrypt(info credentials.AuthInfo) bool {
	said, ok := info.(interface {
		GetCommonAuthInfo() credentials.CommonAuthInfo
	})
	return ok && said.GetCommonAuthInfo().SecurityLevel == credentials.PrivacyAndIntegrity
}

// ClientHandshake implements [credentials.TransportCredentials].
func (p plaintext) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := p.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil || doesEncrypt(info) {
		return conn, info, err
	}
	peer := peerOf(raw.RemoteAddr())
	if p.isChecked && !peer.isLocal(p.isNamedSo) {
		return nil, nil, fmt.Errorf("signet: %q at %s is not this machine by its name and its address, and the channel does not encrypt: "+
			"use TLS, or AllowPlaintext", p.address, raw.RemoteAddr())
	}
	return conn, plaintextInfo{AuthInfo: info, peer: peer}, nil
}

// Clone implements [credentials.TransportCredentials].
func (p plaintext) Clone() credentials.TransportCredentials {
	p.TransportCredentials = p.TransportCredentials.Clone()
	return p
}

func peerOf(address net.Addr) peer {
	switch address := address.(type) {
	case *net.TCPAddr:
		if address.IP.IsLoopback() {
			return peerLoopback
		}
	case *net.UnixAddr:
		return peerLoopback
	default:
		if address != nil && address.Network() == "bufconn" { // google.golang.org/grpc/test/bufconn
			return peerInProcess
		}
	}
	return peerElsewhere
}

// isLoopbackName says whether an authority, with or without a port, is this machine by its own name: `localhost`, 127.0.0.0/8 or ::1.
func isLoopbackName(authority string) bool {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(authority, "["), "]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
