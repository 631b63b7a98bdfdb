package main

import (
	"context"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	stockv1 "example.com/signet/sdk/go/example/stock/v1"
	"example.com/signet/sdk/go/signet"
)

// This file owns what the service does: it knows nothing of tokens.

// maxCount is how many there may be of an item.
const maxCount = 1_000_000

type stock struct {
	stockv1.UnimplementedStockServiceServer

	mu      sync.Mutex
	counts  map[string]uint32
	changed chan struct{} // closed when a count has changed, and replaced
}

func newStock() *stock {
	return &stock{counts: map[string]uint32{"bolt": 1000, "crane": 3}, changed: make(chan struct{})}
}

func (s *stock) ListItems(context.Context, *stockv1.ListItemsRequest) (*stockv1.ListItemsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &stockv1.ListItemsResponse{Names: slices.Sorted(maps.Keys(s.counts))}, nil
}

func (s *stock) GetItem(ctx context.Context, request *stockv1.GetItemRequest) (*stockv1.GetItemResponse, error) {
	count, _, err := s.count(request.GetName())
	if err != nil {
		return nil, err
	}
	return &stockv1.GetItemResponse{Count: count, CallerId: callerID(ctx)}, nil
}

func (s *stock) TakeItem(ctx context.Context, request *stockv1.TakeItemRequest) (*stockv1.TakeItemResponse, error) {
	count, err := s.change(request.GetName(), func(count uint32) (uint32, error) {
		if count == 0 {
			return 0, status.Error(codes.FailedPrecondition, "there is none left")
		}
		return count - 1, nil
	})
	if err != nil {
		return nil, err
	}
	return &stockv1.TakeItemResponse{Count: count, CallerId: callerID(ctx)}, nil
}

func (s *stock) RestockItem(_ context.Context, request *stockv1.RestockItemRequest) (*stockv1.RestockItemResponse, error) {
	count, err := s.change(request.GetName(), func(count uint32) (uint32, error) {
		if request.GetCount() > maxCount-count {
			return 0, status.Errorf(codes.OutOfRange, "there may be %d at most", maxCount)
		}
		return count + request.GetCount(), nil
	})
	if err != nil {
		return nil, err
	}
	return &stockv1.RestockItemResponse{Count: count}, nil
}

func (s *stock) WatchItem(request *stockv1.WatchItemRequest, stream grpc.ServerStreamingServer[stockv1.WatchItemResponse]) error {
	for last, isFirst := uint32(0), true; ; {
		count, changed, err := s.count(request.GetName())
		if err != nil {
			return err
		}
		if isFirst || count != last {
			if err := stream.Send(&stockv1.WatchItemResponse{Count: count}); err != nil {
				return err
			}
		}
		last, isFirst = count, false
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// count is how many there are of an item, and what is closed when that may have changed.
func (s *stock) count(name string) (uint32, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	count, found := s.counts[name]
	if !found {
		return 0, nil, status.Errorf(codes.NotFound, "there is no %q", name)
	}
	return count, s.changed, nil
}

func (s *stock) change(name string, change func(uint32) (uint32, error)) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	count, found := s.counts[name]
	if !found {
		return 0, status.Errorf(codes.NotFound, "there is no %q", name)
	}
	next, err := change(count)
	if err != nil {
		return 0, err
	}
	s.counts[name] = next
	close(s.changed)
	s.changed = make(chan struct{})
	return next, nil
}

func callerID(ctx context.Context) string {
	if caller, ok := signet.CallerFrom(ctx); ok {
		return caller.ID()
	}
	return ""
}
