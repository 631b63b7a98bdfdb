package com.example.signet.sdk;

import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** Asks one question for all calls that wait with the same token. Bounds the questions that are open, so that no user floods Signet. */
final class SharedIntrospection implements Introspection {
    /** How many calls wait at most; those beyond fail at once. */
    private static final int MAX_WAITING = 1_000;

    private final Introspection asked;
    private final Map<TokenCache.Fingerprint, CompletableFuture<Answer>> open = new ConcurrentHashMap<>();
    private final AtomicInteger waiting = new AtomicInteger();

    SharedIntrospection(Introspection asked) {
        this.asked = asked;
    }

    @Override
    public CompletableFuture<Answer> introspect(String token) {
        if (waiting.incrementAndGet() > MAX_WAITING) {
            waiting.decrementAndGet();
            return CompletableFuture.failedFuture(new IllegalStateException("too many calls wait for introspection"));
        }
        return answer(token).whenComplete((answer, failure) -> waiting.decrementAndGet());
    }

    private CompletableFuture<Answer> answer(String token) {
        TokenCache.Fingerprint fingerprint = TokenCache.Fingerprint.of(token);
        CompletableFuture<Answer> own = new CompletableFuture<>();
        CompletableFuture<Answer> other = open.putIfAbsent(fingerprint, own);
        if (other != null) {
            return other;
        }
        CompletableFuture<Answer> told;
        try {
            told = Objects.requireNonNull(asked.introspect(token));
        } catch (RuntimeException defect) {
            told = CompletableFuture.failedFuture(defect);
        }
        told.whenComplete((answer, failure) -> {
            open.remove(fingerprint, own);
            if (failure == null) {
                own.complete(answer);
            } else {
                own.completeExceptionally(failure);
            }
        });
        return own;
    }
}
