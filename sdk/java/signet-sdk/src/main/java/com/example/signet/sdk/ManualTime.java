package com.example.signet.sdk;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * A clock that is turned by hand, for tests: nothing passes by itself, and what is due is called by {@link #advance} on the thread that
 * turns it.
 */
public final class ManualTime implements TimeSource {
    private final List<Due> timers = new ArrayList<>();
    private Instant now;
    private long nanos;
    private long order;

    /**
     * A clock that stands still.
     *
     * @param now what it shows
     */
    public ManualTime(Instant now) {
        this.now = now;
    }

    @Override
    public synchronized Instant now() {
        return now;
    }

    @Override
    public synchronized long nanos() {
        return nanos;
    }

    @Override
    public synchronized Timer schedule(Duration delay, Runnable task) {
        Due due = new Due(Times.plus(nanos, Math.max(0, Times.nanos(delay))), order++, task);
        timers.add(due);
        return () -> cancel(due);
    }

    /**
     * Turns the clock, and makes each call that becomes due, at its time and in order.
     *
     * @param by how far; not negative
     */
    public void advance(Duration by) {
        long until = Times.plus(nanos(), Times.nanos(by));
        for (Due due = next(until); due != null; due = next(until)) {
            due.task.run();
        }
        turn(until);
    }

    /**
     * Turns the clock to a moment, as {@link #advance} does.
     *
     * @param then the moment; not before {@link #now}
     */
    public void advanceTo(Instant then) {
        advance(Duration.between(now(), then));
    }

    /**
     * Sets the time of day alone, as somebody does who corrects a clock: nothing becomes due.
     *
     * @param then what the clock shows from now on
     */
    public synchronized void set(Instant then) {
        now = then;
    }

    /**
     * How many calls are to be made later.
     *
     * @return their number
     */
    public synchronized int pending() {
        return timers.size();
    }

    private synchronized void cancel(Due due) {
        timers.remove(due);
    }

    private synchronized Due next(long until) {
        Due first = timers.stream().min(Comparator.comparingLong((Due it) -> it.at).thenComparingLong(it -> it.order)).orElse(null);
        if (first == null || first.at > until) {
            return null;
        }
        timers.remove(first);
        turn(Math.max(nanos, first.at));
        return first;
    }

    private synchronized void turn(long until) {
        now = now.plusNanos(until - nanos);
        nanos = until;
    }

    private record Due(long at, long order, Runnable task) {}
}
