package signet_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	identityv1 "example.com/signet/sdk/go/identity/v1"
	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns the tests of channels with TLS.

// certificate is one that is signed by itself, of the name.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: parsed}, pool
}

// certified answers IssueToken to who has shown a certificate, and nothing else.
type certified struct {
	identityv1.UnimplementedIdentityServiceServer

	issuer *signettest.Issuer
}

func (c certified) IssueToken(ctx context.Context, request *identityv1.IssueTokenRequest) (*identityv1.IssueTokenResponse, error) {
	from, _ := peer.FromContext(ctx)
	info, ok := from.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) != 1 || request.GetClient().GetCredential() != nil || request.GetClient().GetClientId() != "id" {
		return nil, status.Error(codes.Unauthenticated, "who is it?")
	}
	return &identityv1.IssueTokenResponse{AccessToken: c.issuer.Token(signettest.User{Scopes: []string{"profile"}}), ExpiresIn: 900}, nil
}

func TestACertificateStandsForAClientAndTokensGoOverTLS(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	own, ownPool := certificate(t, "signet")
	client, _ := certificate(t, "client")
	stock, stockPool := certificate(t, "stock.example")
	signetServer := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAnyClientCert,
	})))
	identityv1.RegisterIdentityServiceServer(signetServer, certified{issuer: issuer})
	signetListener := bufconn.Listen(1 << 16)
	go func() { _ = signetServer.Serve(signetListener) }()
	t.Cleanup(signetServer.Stop)
	source := newSource(t, signet.Server{
		Addresses: []string{"passthrough:///signet"}, DialOptions: []grpc.DialOption{dialer(signetListener)},
		TransportCredentials: credentials.NewTLS(&tls.Config{RootCAs: ownPool, Certificates: []tls.Certificate{client}}),
	}, signet.ClientCredentials(signet.Certificate("id")))

	serverTLS := grpc.Creds(credentials.NewServerTLSFromCert(&stock))
	listener := serve(t, guarded{}, append(newGuard(t, issuer).ServerOptions(), serverTLS)...)
	transport := credentials.NewTLS(&tls.Config{RootCAs: stockPool})
	options := append(source.DialOptions("passthrough:///stock.example:443", transport), dialer(listener))
	channel, err := grpc.NewClient("passthrough:///stock.example:443", options...)
	if err != nil {
		t.Fatal(err)
	}
	defer channel.Close()
	if _, err := identityv1.NewIdentityServiceClient(channel).GetMe(t.Context(), &identityv1.GetMeRequest{}); err != nil {
		t.Error(err)
	}
}
