package com.example.signet.sdk;

import java.time.Duration;
import java.util.function.DoubleSupplier;

/** What a verifier is made with, once and for all. */
record VerifierSettings(
        String issuer, String audience, Duration leeway, int cacheSize, boolean takesTypJwt, Revocations revocations,
        Duration revocationMaxAge, WhenStale whenStale, Duration streamGrace, Introspection introspection, TimeSource time,
        DoubleSupplier random, SafeHooks hooks) {}
