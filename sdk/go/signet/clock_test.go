package signet_test

import (
	"testing"
	"time"
	"unsafe"

	"example.com/signet/sdk/go/signet"
)

// This file owns the tests of what is taken for the time that has passed.

// monotonic is the monotonic reading of a time: the second word of package time's own. Nothing that it exports sets it alone.
func monotonic(at *time.Time) *int64 {
	return (*int64)(unsafe.Add(unsafe.Pointer(at), unsafe.Sizeof(uint64(0))))
}

func TestWhatHasPassedIsTheLongerByTheTwoClocks(t *testing.T) {
	now := time.Now()
	awake, asleep, setBack := now.Add(time.Minute), now.Add(time.Minute), now.Add(time.Minute)
	*monotonic(&asleep) -= int64(50 * time.Second) // The monotonic clock stood still while the machine slept.
	*monotonic(&setBack) += int64(50 * time.Second)
	for name, c := range map[string]struct {
		at   time.Time
		want time.Duration
	}{
		"both": {awake, time.Minute}, "the machine slept": {asleep, time.Minute}, "the wall clock was set back": {setBack, 110 * time.Second},
	} {
		if got := signet.ElapsedForTest(now, c.at); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
