package signettest

import (
	"slices"
	"sync"
	"time"
)

// This file owns the clock that is turned by hand.

// Clock stands still until it is turned. It is a signet.Clock.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*timer
}

type timer struct {
	at   time.Time
	call func()
}

// NewClock makes a clock that says now.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now implements signet.Clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc implements signet.Clock. f is called by whoever turns the clock.
func (c *Clock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set := &timer{at: c.now.Add(d), call: f}
	c.timers = append(c.timers, set)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.remove(set)
	}
}

func (c *Clock) remove(set *timer) bool {
	at := slices.Index(c.timers, set)
	if at < 0 {
		return false
	}
	c.timers = slices.Delete(c.timers, at, at+1)
	return true
}

// Advance turns the clock, and calls what is due in its order. Goroutines that this wakes run when the scheduler lets them.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	target := c.now.Add(d)
	c.mu.Unlock()
	for {
		c.mu.Lock()
		var due *timer
		for _, set := range c.timers {
			if !set.at.After(target) && (due == nil || set.at.Before(due.at)) {
				due = set
			}
		}
		if due == nil {
			c.now = target
			c.mu.Unlock()
			return
		}
		c.remove(due)
		if due.at.After(c.now) {
			c.now = due.at
		}
		c.mu.Unlock()
		due.call()
	}
}
