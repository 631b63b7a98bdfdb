package com.example.signet.sdk;

import java.time.Duration;
import java.time.Instant;

/** Tells the time and calls back later: a parameter of all that depends on time, so that tests turn it by hand ({@link ManualTime}). */
public interface TimeSource {
    /**
     * The time of day, against which {@code exp} and {@code iat} of tokens are held.
     *
     * @return the time
     */
    Instant now();

    /**
     * A time that never goes back, for measuring how long ago something was.
     *
     * @return nanoseconds since an arbitrary moment
     */
    long nanos();

    /**
     * Calls {@code task} once, after {@code delay}. The task must not block.
     *
     * @param delay how long from now; zero or less means as soon as possible
     * @param task what is called
     * @return what cancels the call, if it was not made yet
     */
    Timer schedule(Duration delay, Runnable task);

    /** A call that is to be made later. */
    @FunctionalInterface
    interface Timer {
        /** Has the call not made, if it was not made yet. */
        void cancel();
    }

    /**
     * The system's clock, and one daemon thread that calls back.
     *
     * @return the one of this process
     */
    static TimeSource system() {
        return SystemTime.INSTANCE;
    }
}
