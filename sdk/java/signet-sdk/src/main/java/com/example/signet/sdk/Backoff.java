package com.example.signet.sdk;

import java.time.Duration;
import java.util.function.DoubleSupplier;

/** How long is waited after failures: doubled with each further one, and spread, so that not all try again at one moment. */
record Backoff(Duration first, Duration last) {
    /** The pause after the given number of failures in a row, of at least 1: a half to the whole of the doubled time. */
    Duration after(int failures, DoubleSupplier random) {
        int doublings = Math.min(failures - 1, 30);
        Duration doubled = first.multipliedBy(1L << doublings);
        Duration bounded = doubled.compareTo(last) > 0 ? last : doubled;
        return Times.part(bounded, 0.5 + 0.5 * random.getAsDouble());
    }
}
