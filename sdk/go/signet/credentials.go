package signet

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/resolver"
)

// This file owns attaching tokens to calls: to the channels of named targets, and nowhere else.

// ChannelOption is an option of [TokenSource.DialOptions].
type ChannelOption func(*channelSettings)

type channelSettings struct {
	authority       string
	allowsPlaintext bool
}

// AllowPlaintext lets the channel send tokens over plaintext to other targets than this machine. The code says why that is safe, as in
// AllowPlaintext("the mesh encrypts"). An empty reason allows nothing.
func AllowPlaintext(reason string) ChannelOption {
	return func(c *channelSettings) { c.allowsPlaintext = reason != "" }
}

// Authority names the channel's authority, where that is not the one of its target, as behind a proxy.
func Authority(name string) ChannelOption {
	return func(c *channelSettings) { c.authority = name }
}

// DialOptions are what [grpc.NewClient] takes for a channel to the target, so that each of its calls carries a token of the source:
//
//	channel, err := grpc.NewClient(target, source.DialOptions(target, credentials.NewTLS(nil))...)
//
// transport are the credentials of the channel; nil for TLS with the system's certification authorities. A call to another authority fails,
// and no token leaves for it. Over plaintext (insecure.NewCredentials()) tokens go to this machine only, unless [AllowPlaintext] says so:
// where target and authority are `localhost`, 127.0.0.0/8 or ::1 by their own names, and that is where the connection leads.
//
// A unary call that the target's own guard refuses, since the token has expired or was revoked, is sent once more with another token, if
// nothing of an answer had come. A refusal that the target passes on from another service is handed up. A stream is not opened again by
// itself: whoever reads it does that, after a moment, and gets another token.
func (s *TokenSource) DialOptions(target string, transport credentials.TransportCredentials, options ...ChannelOption) []grpc.DialOption {
	var channel channelSettings
	for _, option := range options {
		option(&channel)
	}
	if transport == nil {
		transport = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	authority := channel.authority
	var dial []grpc.DialOption
	switch {
	case authority != "":
		dial = append(dial, grpc.WithAuthority(authority))
	case transport.Info().ServerName != "":
		authority = transport.Info().ServerName // as grpc does
	default:
		authority = authorityOf(target)
	}
	if isPlaintext(transport) {
		transport = plaintext{TransportCredentials: transport}
		// By a proxy of HTTP on this machine the peer would be a loopback address, wherever the call goes.
		dial = append(dial, grpc.WithNoProxy())
	}
	dial = append(dial, grpc.WithTransportCredentials(transport))
	return append(dial, s.attaching(target, authority, channel.allowsPlaintext)...)
}

// callOptions are those that attach tokens to a channel to a target whose transport is set up already.
func (s *TokenSource) callOptions(target, plaintextReason string) []grpc.DialOption {
	return s.attaching(target, authorityOf(target), plaintextReason != "")
}

func (s *TokenSource) attaching(target, authority string, allowsPlaintext bool) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithPerRPCCredentials(&callCredentials{
			source: s, authority: authority, allowsPlaintext: allowsPlaintext,
			isNamedSo: isLoopbackName(authorityOf(target)) && isLoopbackName(authority),
		}),
		grpc.WithChainUnaryInterceptor(s.retryOnce),
		grpc.WithChainStreamInterceptor(s.streaming),
		grpc.WithStatsHandler(answers{}),
	}
}

// callCredentials attach the tokens of a source to the calls of one authority.
type callCredentials struct {
	source          *TokenSource
	authority       string
	allowsPlaintext bool
	isNamedSo       bool // target and authority are this machine by their own names
}

// GetRequestMetadata implements [credentials.PerRPCCredentials]. It fails if no token may be attached to the call.
func (c *callCredentials) GetRequestMetadata(ctx context.Context, uris ...string) (map[string]string, error) {
	authority := ""
	if len(uris) > 0 {
		if parsed, err := url.Parse(uris[0]); err == nil {
			authority = parsed.Host
		}
	}
	info, _ := credentials.RequestInfoFromContext(ctx)
	isSecure, isLocal := false, false
	if plain, ok := info.AuthInfo.(plaintextInfo); ok {
		isLocal = plain.peer.isLocal(c.isNamedSo)
	} else {
		isSecure = doesEncrypt(info.AuthInfo)
	}
	if err := mayAttach(c.authority, authority, isSecure, isLocal, c.allowsPlaintext); err != nil {
		return nil, err
	}
	token, err := c.source.Token(ctx)
	if err != nil {
		return nil, err
	}
	if call := attemptOf(ctx); call != nil {
		call.token.Store(&token)
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials]. What each call asks is stricter: see [TokenSource.DialOptions].
func (c *callCredentials) RequireTransportSecurity() bool { return false }

// mayAttach says why no token goes with a call to an authority, from a source that is for another one or over a channel that does not
// encrypt.
func mayAttach(named, called string, isSecure, isLocal, allowsPlaintext bool) error {
	// grpc leaves the port of https out of what it tells.
	if trimmed := strings.TrimSuffix(named, ":443"); called == "" || strings.TrimSuffix(called, ":443") != trimmed {
		return fmt.Errorf("signet: the tokens of this channel are for %q, and the call is to %q", named, called)
	}
	if !isSecure && !isLocal && !allowsPlaintext {
		return fmt.Errorf("signet: the channel to %q does not encrypt, and that is not this machine by its name and its address: "+
			"use TLS, or AllowPlaintext", called)
	}
	return nil
}

// authorityOf is the authority that grpc gives the calls of a channel to the target.
func authorityOf(target string) string {
	endpoint := target
	if parsed, err := url.Parse(target); err == nil && parsed.Scheme != "" && resolver.Get(parsed.Scheme) != nil {
		if strings.HasPrefix(parsed.Scheme, "unix") {
			return "localhost"
		}
		endpoint = strings.TrimPrefix(parsed.Path, "/")
		if endpoint == "" {
			endpoint = parsed.Opaque
		}
	}
	if strings.HasPrefix(endpoint, ":") {
		return "localhost" + endpoint
	}
	return endpoint
}
