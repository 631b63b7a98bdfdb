package com.example.signet.sdk;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** Where the keys of an issuer come from: over HTTP as a rule, from memory in a test. */
@FunctionalInterface
public interface KeySource {
    /**
     * Asks once, without blocking. One request goes on at a time, and it is given up after five seconds.
     *
     * @return the answer, or why there is none; cancelled when it is given up
     */
    CompletableFuture<Answer> fetch();

    /**
     * An answer.
     *
     * @param document the JWK Set (RFC 7517 section 5), as bytes of JSON
     * @param maxAge for how long it may be kept; null if that is not said
     */
    record Answer(byte[] document, Duration maxAge) {}
}
