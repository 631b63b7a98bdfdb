package signet

import (
	"context"
	"math/rand/v2"
	"time"
)

// This file owns time and chance, which come into everything else as parameters.

// Clock tells the time and wakes at a time. Programs use the system's, which is the default; tests turn one by hand (signettest).
type Clock interface {
	// Now is the present moment.
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own, or in that of who turns the clock, once d has passed. stop cancels that, and is false
	// if it is too late.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }

// elapsed is what has passed between two times: by the monotonic clock, which stands still while a machine sleeps, or by the other one,
// which may be set, whichever says more. It is for what must not count for too long.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// sleep returns after d, or with the context's error when that ends before.
func sleep(ctx context.Context, clock Clock, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	done, stop := after(clock, d)
	defer stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// after gives a channel that is closed once d has passed.
func after(clock Clock, d time.Duration) (<-chan struct{}, func() bool) {
	done := make(chan struct{})
	return done, clock.AfterFunc(d, func() { close(done) })
}

// withTimeout is a context that ends with cause after d by the clock.
func withTimeout(ctx context.Context, clock Clock, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := clock.AfterFunc(d, func() { cancel(cause) })
	return ctx, func() {
		stop()
		cancel(context.Canceled)
	}
}

// randomPart is a random part of d between the shares from and to of it. random gives numbers in [0, 1).
func randomPart(random func() float64, d time.Duration, from, to float64) time.Duration {
	return time.Duration(float64(d) * (from + (to-from)*random()))
}

// backoff is what is waited after a number of failures in a row: first after the first one, doubled with each further one up to last,
// and 50 to 100 % of that, so that those who failed together do not come again together.
func backoff(random func() float64, failures int, first, last time.Duration) time.Duration {
	pause := first
	for range failures - 1 {
		if pause *= 2; pause >= last {
			pause = last
			break
		}
	}
	return randomPart(random, pause, 0.5, 1)
}

func systemRandom() float64 { return rand.Float64() }
