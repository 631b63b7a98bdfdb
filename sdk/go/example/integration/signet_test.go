//go:build integration

// Package integration runs the example against the real Signet, whose binary SIGNET_TEST_SIGNET names:
//
//	SIGNET_TEST_SIGNET=/path/to/signet go test -tags integration ./integration
package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// This file owns the programs that the tests start.

// deadline ends a test that hangs.
const deadline = 30 * time.Second

// programs are built once.
var programs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv("SIGNET_TEST_SIGNET") == "" {
			fmt.Fprintln(os.Stderr, "SIGNET_TEST_SIGNET must name the binary of Signet")
			return 1
		}
		var err error
		if programs, err = os.MkdirTemp("", "signet-sdk-go"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(programs)
		build := exec.Command("go", "build", "-o", programs+"/", "../service", "../client")
		if output, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %s\n", err, output)
			return 1
		}
		return m.Run()
	}())
}

// signet is a running Signet.
type signet struct {
	data, grpcAddr, httpAddr string
	process                  *exec.Cmd
	exited                   chan struct{}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func startSignet(t *testing.T) *signet {
	t.Helper()
	s := &signet{data: t.TempDir(), grpcAddr: freeAddress(t), httpAddr: freeAddress(t)}
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

func (s *signet) start(t *testing.T) {
	t.Helper()
	s.process = exec.Command(os.Getenv("SIGNET_TEST_SIGNET"), "serve", "--data-dir", s.data, "--grpc-addr", s.grpcAddr,
		"--http-addr", s.httpAddr, "--operations-addr", "off", "--admin-addr", "off", "--issuer", s.issuer())
	log, err := os.OpenFile(filepath.Join(s.data, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	_ = log.Close()
	s.exited = make(chan struct{})
	go func(process *exec.Cmd, exited chan struct{}) {
		_ = process.Wait()
		close(exited)
	}(s.process, s.exited)
	eventually(t, "Signet answers", func() bool {
		response, err := http.Get(s.issuer() + "/.well-known/jwks.json")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode == http.StatusOK
	})
}

func (s *signet) stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	<-s.exited
}

func (s *signet) issuer() string { return "http://" + s.httpAddr }

// command runs a command of the operator, and gives its JSON.
func (s *signet) command(t *testing.T, arguments ...string) map[string]any {
	t.Helper()
	arguments = append(arguments, "--data-dir", s.data, "--json")
	command := exec.Command(os.Getenv("SIGNET_TEST_SIGNET"), arguments...)
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %v %s", arguments, err, output)
	}
	var answer map[string]any
	first, _, _ := strings.Cut(string(output), "\n") // One object a line, where there are many; some commands say nothing.
	_ = json.Unmarshal([]byte(first), &answer)
	return answer
}

// client registers a client, and gives its id and secret.
func (s *signet) client(t *testing.T, name string, options ...string) (id, secret string) {
	t.Helper()
	answer := s.command(t, append([]string{"clients", "create", name}, options...)...)
	id, _ = answer["id"].(string)
	secret, _ = answer["secret"].(string)
	if id == "" || secret == "" {
		t.Fatalf("no client was made: %v", answer)
	}
	return id, secret
}

// program is a running program of the example, and the lines that it says.
type program struct {
	lines  chan string
	exited chan error
	stop   func()
}

func run(t *testing.T, name string, environment []string, arguments ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, filepath.Join(programs, name), arguments...)
	command.Env = append(os.Environ(), environment...)
	command.Stderr = os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 5 * time.Second
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{lines: make(chan string, 10_000), exited: make(chan error, 1)}
	go func() {
		scanner := bufio.NewScanner(output)
		for scanner.Scan() {
			p.lines <- scanner.Text()
		}
		close(p.lines)
		p.exited <- command.Wait()
	}()
	p.stop = cancel
	t.Cleanup(cancel)
	return p
}

// next is the next line that the program says.
func (p *program) next(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			t.Fatal("the program has ended")
		}
		return line
	case <-time.After(deadline):
		t.Fatal("the program says nothing")
		return ""
	}
}

// until reads on until a line has the text, and gives the lines before.
func (p *program) until(t *testing.T, text string) (before []string) {
	t.Helper()
	for {
		line := p.next(t)
		if strings.Contains(line, text) {
			return before
		}
		before = append(before, line)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}
