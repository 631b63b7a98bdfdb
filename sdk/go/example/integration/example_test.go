//go:build integration

package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// This file owns what a user of the example sees.

// stand is Signet, the service and the settings of a client of it.
type stand struct {
	signet          *signet
	service, client []string // environments
	clientID        string
	address         string
	process         *program
}

func newStand(t *testing.T, settings ...string) *stand {
	t.Helper()
	s := &stand{signet: startSignet(t)}
	watcher, watcherSecret := s.signet.client(t, "stock-events", "--scope", "signet.events.watch", "--allow-audience", "stock",
		"--allow-audience", "signet")
	client, secret := s.signet.client(t, "shop", "--scope", "stock:write", "--allow-audience", "stock")
	s.clientID = client
	s.service = append([]string{
		"SIGNET_GRPC_ADDR=" + s.signet.grpcAddr, "SIGNET_ISSUER=" + s.signet.issuer(), "STOCK_ADDR=127.0.0.1:0",
		"SIGNET_CLIENT_ID=" + watcher, "SIGNET_CLIENT_SECRET=" + watcherSecret,
	}, settings...)
	s.process = run(t, "service", s.service)
	s.address = s.process.next(t)
	s.client = []string{
		"SIGNET_GRPC_ADDR=" + s.signet.grpcAddr, "SIGNET_CLIENT_ID=" + client, "SIGNET_CLIENT_SECRET=" + secret, "STOCK_ADDR=" + s.address,
	}
	s.isServing(t)
	return s
}

// isServing waits until the service says that it is ready.
func (s *stand) isServing(t *testing.T) {
	t.Helper()
	channel, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer channel.Close()
	eventually(t, "the service is ready", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		answer, err := healthv1.NewHealthClient(channel).Check(ctx, &healthv1.HealthCheckRequest{})
		return err == nil && answer.GetStatus() == healthv1.HealthCheckResponse_SERVING
	})
}

// call makes one call, and gives what the client says of it.
func (s *stand) call(t *testing.T, arguments ...string) string {
	t.Helper()
	client := run(t, "client", s.client, arguments...)
	return client.next(t)
}

func TestCallsPassAndScopesCount(t *testing.T) {
	s := newStand(t)
	if line := s.call(t); line != `{"code":"OK","count":1000}` {
		t.Error(line)
	}
	if line := s.call(t, "--take"); line != `{"code":"OK","count":999}` {
		t.Error(line)
	}
	id, secret := s.signet.client(t, "reader", "--scope", "stock:read", "--allow-audience", "stock")
	s.client = append(s.client, "SIGNET_CLIENT_ID="+id, "SIGNET_CLIENT_SECRET="+secret)
	if line := s.call(t, "--take"); line != `{"code":"PERMISSION_DENIED","reason":"INSUFFICIENT_SCOPE"}` {
		t.Error(line)
	}
	if line := s.call(t); !strings.Contains(line, "OK") {
		t.Error(line)
	}
}

func TestARevokedClientIsRefusedWithinASecondAndItsStreamEnds(t *testing.T) {
	s := newStand(t)
	watching := run(t, "client", s.client, "--calls", "0", "--watch")
	if line := watching.next(t); line != `{"count":1000}` {
		t.Fatal(line)
	}
	calling := run(t, "client", s.client, "--calls", "10000", "--interval-ms", "20")
	calling.until(t, "OK")
	s.signet.command(t, "clients", "disable", s.clientID)
	told := time.Now()
	for _, line := range calling.until(t, "UNAUTHENTICATED") {
		if !strings.Contains(line, "OK") {
			t.Errorf("a valid call was refused: %s", line)
		}
	}
	if took := time.Since(told); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	watching.until(t, `{"ended":"TOKEN_REVOKED"}`)
	// The client may not get another token.
	watching.until(t, `{"ended":"INVALID_CLIENT"}`)
}

func TestKeysAreRotatedUnderLoad(t *testing.T) {
	s := newStand(t)
	calling := run(t, "client", s.client, "--calls", "150", "--interval-ms", "20")
	calling.until(t, "OK")
	s.signet.command(t, "keys", "rotate", "--now")
	for line := range calling.lines {
		if !strings.Contains(line, "OK") {
			t.Errorf("a valid call was refused: %s", line)
		}
	}
	// A token that is signed with the new key.
	if line := s.call(t); !strings.Contains(line, "OK") {
		t.Error(line)
	}
	s.signet.command(t, "keys", "revoke", "--yes", s.oldKey(t))
	eventually(t, "the service has the keys that are left", func() bool { return strings.Contains(s.call(t), "OK") })
}

// oldKey is the key that signed first.
func (s *stand) oldKey(t *testing.T) string {
	t.Helper()
	answer := s.signet.command(t, "keys", "list")
	kid, _ := answer["kid"].(string)
	if kid == "" {
		t.Fatalf("no key: %v", answer)
	}
	return kid
}

func TestSignetIsRestartedAndNoValidCallIsRefused(t *testing.T) {
	s := newStand(t)
	calling := run(t, "client", s.client, "--calls", "200", "--interval-ms", "20")
	calling.until(t, "OK")
	s.signet.stop()
	s.signet.start(t)
	for line := range calling.lines {
		if !strings.Contains(line, "OK") {
			t.Errorf("a valid call was refused: %s", line)
		}
	}
	// What is revoked after the restart is heard of.
	watching := run(t, "client", s.client, "--calls", "0", "--watch")
	watching.until(t, "count")
	s.signet.command(t, "clients", "disable", s.clientID)
	watching.until(t, `{"ended":"TOKEN_REVOKED"}`)
}

func TestAServiceThatHearsNothingAnswersUnavailable(t *testing.T) {
	s := newStand(t, "STOCK_REVOCATION_MAX_AGE=12")
	watching := run(t, "client", s.client, "--calls", "0", "--watch")
	watching.until(t, "count")
	calling := run(t, "client", s.client, "--calls", "10000", "--interval-ms", "100")
	calling.until(t, "OK")
	s.signet.stop()
	watching.until(t, `{"ended":"UNAVAILABLE"}`)
	calling.until(t, `{"code":"UNAVAILABLE","reason":"UNAVAILABLE"}`)
	s.signet.start(t)
	calling.until(t, "OK")
	watching.until(t, "count")
}

func TestTheServiceStopsGracefully(t *testing.T) {
	s := newStand(t)
	watching := run(t, "client", s.client, "--calls", "0", "--watch")
	watching.until(t, "count")
	began := time.Now()
	s.process.stop()
	select {
	case err := <-s.process.exited:
		if err != nil && !strings.Contains(err.Error(), "context canceled") {
			t.Error(err)
		}
	case <-time.After(deadline):
		t.Fatal("it goes on")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}
