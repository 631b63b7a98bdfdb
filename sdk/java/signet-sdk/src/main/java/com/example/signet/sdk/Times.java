package com.example.signet.sdk;

import com.google.protobuf.Timestamp;
import java.time.Duration;
import java.time.Instant;

/** Arithmetic of times that never overflows into the other direction. */
final class Times {
    private Times() {}

    /** {@code duration} in nanoseconds, or the most that there are. */
    static long nanos(Duration duration) {
        try {
            return duration.toNanos();
        } catch (ArithmeticException tooLong) {
            return duration.isNegative() ? Long.MIN_VALUE : Long.MAX_VALUE;
        }
    }

    /** {@code a + b}, or the most or least that there is. */
    static long plus(long a, long b) {
        long sum = a + b;
        boolean overflows = ((a ^ sum) & (b ^ sum)) < 0;
        return overflows ? (a < 0 ? Long.MIN_VALUE : Long.MAX_VALUE) : sum;
    }

    /** The time that {@code stamp} says, or the nearest that there is. */
    static Instant of(Timestamp stamp) {
        try {
            return Instant.ofEpochSecond(stamp.getSeconds(), stamp.getNanos());
        } catch (java.time.DateTimeException | ArithmeticException outside) {
            return stamp.getSeconds() < 0 ? Instant.MIN : Instant.MAX;
        }
    }

    /** The time {@code seconds} after 1970, or the nearest that there is. */
    static Instant ofEpochSecond(long seconds) {
        return Instant.ofEpochSecond(Math.max(Instant.MIN.getEpochSecond(), Math.min(Instant.MAX.getEpochSecond(), seconds)));
    }

    /** {@code part} of {@code whole}. */
    static Duration part(Duration whole, double part) {
        return Duration.ofNanos(Math.round(nanos(whole) * part));
    }
}
