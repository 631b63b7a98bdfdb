// The client calls the service with tokens of its own, which the SDK gets and renews.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	stockv1 "example.com/signet/sdk/go/example/stock/v1"
	"example.com/signet/sdk/go/signet"
)

// callTimeout is how long a call may take.
const callTimeout = 10 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	calls := flag.Int("calls", 1, "how many unary calls are made")
	interval := flag.Int("interval-ms", 0, "milliseconds between the starts of two calls")
	take := flag.Bool("take", false, "take one of the item with each call")
	watch := flag.Bool("watch", false, "watch the item until SIGTERM")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	server := signet.Server{
		Addresses:            strings.Split(setting("SIGNET_GRPC_ADDR", "127.0.0.1:50051"), ","),
		TransportCredentials: insecure.NewCredentials(),
	}
	client := signet.ClientSecret(os.Getenv("SIGNET_CLIENT_ID"), os.Getenv("SIGNET_CLIENT_SECRET"))
	source, err := signet.NewTokenSource(server, signet.ClientCredentials(client), "stock")
	if err != nil {
		return err
	}
	target := setting("STOCK_ADDR", "127.0.0.1:50052")
	channel, err := grpc.NewClient(target, source.DialOptions(target, insecure.NewCredentials())...)
	if err != nil {
		return err
	}
	defer channel.Close()
	stock := stockv1.NewStockServiceClient(channel)
	var working sync.WaitGroup
	if *watch {
		working.Go(func() { watchItem(ctx, stock) })
	}
	callItem(ctx, stock, *calls, time.Duration(*interval)*time.Millisecond, *take)
	working.Wait()
	return nil
}

// callItem makes the unary calls, one after the other.
func callItem(ctx context.Context, stock stockv1.StockServiceClient, calls int, interval time.Duration, take bool) {
	next := time.Now()
	for range calls {
		if pause(ctx, time.Until(next)) != nil {
			return
		}
		next = next.Add(interval)
		callContext, cancel := context.WithTimeout(ctx, callTimeout)
		var count uint32
		var err error
		if take {
			var taken *stockv1.TakeItemResponse
			taken, err = stock.TakeItem(callContext, &stockv1.TakeItemRequest{Name: "bolt"})
			count = taken.GetCount()
		} else {
			var found *stockv1.GetItemResponse
			found, err = stock.GetItem(callContext, &stockv1.GetItemRequest{Name: "bolt"})
			count = found.GetCount()
		}
		cancel()
		if err != nil {
			say(map[string]any{"code": codeName(err), "reason": reason(err)})
		} else {
			say(map[string]any{"code": "OK", "count": count})
		}
	}
}

// watchItem keeps a stream open until the context ends.
func watchItem(ctx context.Context, stock stockv1.StockServiceClient) {
	for ctx.Err() == nil {
		err := watchOnce(ctx, stock)
		if ctx.Err() != nil {
			return
		}
		say(map[string]any{"ended": reason(err)})
		if pause(ctx, 100*time.Millisecond+rand.N(900*time.Millisecond)) != nil {
			return
		}
	}
}

func watchOnce(ctx context.Context, stock stockv1.StockServiceClient) error {
	stream, err := stock.WatchItem(ctx, &stockv1.WatchItemRequest{Name: "bolt"})
	if err != nil {
		return err
	}
	for {
		item, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		say(map[string]any{"count": item.GetCount()})
	}
}

// reason is Signet's, or else the name of the code.
func reason(err error) string {
	if refusal, ok := signet.RefusalFrom(err); ok {
		return refusal.Reason
	}
	return codeName(err)
}

// codeName is the name of a code as gRPC's specification has it.
func codeName(err error) string {
	code := status.Code(err)
	if code == codes.Canceled {
		return "CANCELLED"
	}
	var name strings.Builder
	for i, letter := range code.String() {
		if i > 0 && 'A' <= letter && letter <= 'Z' && code != codes.OK {
			name.WriteByte('_')
		}
		name.WriteRune(letter)
	}
	return strings.ToUpper(name.String())
}

// output is written by the calls and by the stream.
var output sync.Mutex

func say(line map[string]any) {
	output.Lock()
	defer output.Unlock()
	encoded, err := json.Marshal(line)
	if err == nil {
		fmt.Println(string(encoded))
	}
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
