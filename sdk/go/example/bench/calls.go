package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	stockv1 "example.com/signet/sdk/go/example/stock/v1"
	"example.com/signet/sdk/go/signet"
)

// This file owns what a unary call costs a server that has seen its token before, beside one without the guard: each a process of its own,
// called over a connection of the loopback network, by the same client with the same metadata.

// callsInTurn is how many calls are made in a turn, by so many callers at once: a server that waits for each single call spends more on
// falling asleep than on calls, and now more, now less.
const callsInTurn, callers = 1_600, 16

// stock answers as little as it can. TakeItem asks for a scope.
type stock struct {
	stockv1.UnimplementedStockServiceServer
}

// TakeItem implements the RPC.
func (stock) TakeItem(context.Context, *stockv1.TakeItemRequest) (*stockv1.TakeItemResponse, error) {
	return &stockv1.TakeItemResponse{Count: 1}, nil
}

// serve is the process of the server. It prints its address and a token, and then its CPU time for each line that it reads, to the end.
func serve(isGuarded bool) error {
	issuer, err := newIssuer()
	if err != nil {
		return err
	}
	token, err := issuer.token()
	if err != nil {
		return err
	}
	var options []grpc.ServerOption
	if isGuarded {
		verifier, err := issuer.verifier()
		if err != nil {
			return err
		}
		policy, err := signet.PolicyFromRegistry()
		if err != nil {
			return err
		}
		options = signet.NewGuard(verifier, policy).ServerOptions()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(options...)
	stockv1.RegisterStockServiceServer(server, stock{})
	go func() { _ = server.Serve(listener) }() // The process ends with its standard input.
	fmt.Println(listener.Addr(), token)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(int64(cpuTime()))
	}
	return nil
}

// server is the process of one, and the connection to it.
type server struct {
	process *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
	channel *grpc.ClientConn
	token   string
}

func startServer(name string) (*server, error) {
	itself, err := os.Executable()
	if err != nil {
		return nil, err
	}
	started := &server{process: exec.Command(itself, "--serve", name)}
	started.process.Stderr = os.Stderr
	output, err := started.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if started.input, err = started.process.StdinPipe(); err != nil {
		return nil, err
	}
	if err := started.process.Start(); err != nil {
		return nil, err
	}
	started.output = bufio.NewReader(output)
	said, err := started.output.ReadString('\n')
	if err != nil {
		return nil, err
	}
	address, token, _ := strings.Cut(strings.TrimSpace(said), " ")
	started.token = token
	started.channel, err = grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	return started, err
}

func (s *server) stop() {
	_ = s.channel.Close()
	_ = s.input.Close()
	_ = s.process.Wait()
}

// cpuTime is what the process has taken so far.
func (s *server) cpuTime() (time.Duration, error) {
	if _, err := io.WriteString(s.input, "\n"); err != nil {
		return 0, err
	}
	said, err := s.output.ReadString('\n')
	if err != nil {
		return 0, err
	}
	nanos, err := strconv.ParseInt(strings.TrimSpace(said), 10, 64)
	return time.Duration(nanos), err
}

// call makes the calls with the token, and gives what one took the server, in microseconds of CPU time.
func (s *server) call(token string) (float64, error) {
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+token)
	client := stockv1.NewStockServiceClient(s.channel)
	began, err := s.cpuTime()
	if err != nil {
		return 0, err
	}
	failed := make(chan error, callers)
	for range callers {
		go func() {
			for range callsInTurn / callers {
				if _, err := client.TakeItem(ctx, &stockv1.TakeItemRequest{Name: "bolt"}); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range callers {
		err = errors.Join(err, <-failed)
	}
	if err != nil {
		return 0, err
	}
	ended, err := s.cpuTime()
	return micros(ended-began) / callsInTurn, err
}

func measureCalls(rounds int) ([][]float64, error) {
	unguarded, err := startServer("unguarded")
	if err != nil {
		return nil, err
	}
	defer unguarded.stop()
	guarded, err := startServer("guarded")
	if err != nil {
		return nil, err
	}
	defer guarded.stop()
	measure := []func() (float64, error){
		func() (float64, error) { return unguarded.call(guarded.token) },
		func() (float64, error) { return guarded.call(guarded.token) },
	}
	if _, err := inTurns(1, measure); err != nil { // Both are warm then.
		return nil, err
	}
	return inTurns(rounds, measure)
}

// cpuTime is what this process has taken so far, as a user and in the kernel.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // It does not fail for the process itself.
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func decode(text string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(text) }
