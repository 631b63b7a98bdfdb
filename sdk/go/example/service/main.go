// The service is protected by Signet: who may call which method stands in its proto.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	stockv1 "example.com/signet/sdk/go/example/stock/v1"
	"example.com/signet/sdk/go/signet"
)

// stopTime is how long open calls may go on when the service is told to stop.
const stopTime = time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	options, err := verifierOptions()
	if err != nil {
		return err
	}
	verifier, err := signet.NewVerifier(setting("SIGNET_ISSUER", "http://127.0.0.1:8080"), "stock", options...)
	if err != nil {
		return err
	}
	defer verifier.Close()
	policy, err := signet.PolicyFromRegistry(signet.PublicService("grpc.health.v1.Health"))
	if err != nil {
		return err
	}
	server := grpc.NewServer(signet.NewGuard(verifier, policy).ServerOptions()...)
	stockv1.RegisterStockServiceServer(server, newStock())
	state := health.NewServer()
	state.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	healthv1.RegisterHealthServer(server, state)
	listener, err := net.Listen("tcp", setting("STOCK_ADDR", "127.0.0.1:50052"))
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	go func() {
		if verifier.Ready(ctx) == nil {
			state.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
		}
	}()
	go func() {
		<-ctx.Done()
		state.Shutdown()
		timer := time.AfterFunc(stopTime, server.Stop)
		defer timer.Stop()
		server.GracefulStop()
	}()
	return server.Serve(listener)
}

// verifierOptions are those of the environment: with a client of its own the service follows what was revoked.
func verifierOptions() ([]signet.VerifierOption, error) {
	var options []signet.VerifierOption
	if id, secret := os.Getenv("SIGNET_CLIENT_ID"), os.Getenv("SIGNET_CLIENT_SECRET"); id != "" && secret != "" {
		server := signet.Server{
			Addresses:            strings.Split(setting("SIGNET_GRPC_ADDR", "127.0.0.1:50051"), ","),
			TransportCredentials: insecure.NewCredentials(),
		}
		options = append(options, signet.WithRevocations(server, signet.ClientSecret(id, secret)))
	}
	for name, option := range map[string]func(time.Duration) signet.VerifierOption{
		"STOCK_REVOCATION_MAX_AGE": signet.WithRevocationMaxAge, "STOCK_STREAM_GRACE": signet.WithStreamGrace,
	} {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%s must be seconds: %w", name, err)
		}
		options = append(options, option(time.Duration(seconds*float64(time.Second))))
	}
	return options, nil
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
