package com.example.signet.sdk;

import java.time.Duration;
import java.time.Instant;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BiConsumer;

/**
 * The open streams of a verifier: each ends when its token has expired and the grace has passed, when its token is revoked, and when it is
 * no longer known what was revoked.
 */
final class OpenStreams {
    private static final System.Logger LOG = System.getLogger(OpenStreams.class.getName());

    private final VerifierSettings settings;
    private final Set<Stream> open = ConcurrentHashMap.newKeySet();
    private final AtomicBoolean isWatchingAge = new AtomicBoolean();
    private volatile TimeSource.Timer age = () -> {};
    private volatile boolean isClosed;

    OpenStreams(VerifierSettings settings) {
        this.settings = settings;
    }

    /** A stream that is open. */
    final class Stream {
        private final TokenCache.Verified token;
        private final BiConsumer<Reason, String> end;
        private final AtomicBoolean isOver = new AtomicBoolean();
        private volatile TimeSource.Timer expiry = () -> {};

        private Stream(TokenCache.Verified token, BiConsumer<Reason, String> end) {
            this.token = token;
            this.end = end;
        }

        /** It has ended by itself. */
        void close() {
            isOver.set(true);
            expiry.cancel();
            open.remove(this);
        }

        private void end(Reason reason, String detail) {
            if (isOver.compareAndSet(false, true)) {
                expiry.cancel();
                open.remove(this);
                settings.hooks().streamEnded(reason.name());
                try {
                    end.accept(reason, detail);
                } catch (RuntimeException failure) {
                    // Such as of a call that grpc-java has closed by itself. The others must end, too.
                    LOG.log(System.Logger.Level.DEBUG, "a stream has ended before the guard could end it", failure);
                }
            }
        }
    }

    /**
     * Watches over a stream of {@code token}; {@code end} is called at most once, with the reason and what {@link Sentences#of} asks for.
     * It must not block.
     */
    Stream watch(TokenCache.Verified token, BiConsumer<Reason, String> end) {
        Stream stream = new Stream(token, end);
        open.add(stream);
        Instant until = Times.ofEpochSecond(token.caller().said().exp());
        Duration left = Duration.between(settings.time().now(), until);
        stream.expiry = settings.time().schedule(left.plus(settings.streamGrace()), () -> expire(stream));
        if (stream.isOver.get()) {
            stream.expiry.cancel();
        }
        // Only now, so that nothing is missed that was told since the token was looked at.
        look(stream);
        if (isClosed) {
            stream.end(Reason.UNAVAILABLE, Sentences.ISSUER);
        } else {
            watchAge();
        }
        return stream;
    }

    /** Looks at all of them again: something was revoked. */
    void changed() {
        open.forEach(this::look);
    }

    /** Ends all of them: nobody watches over them any more. */
    void close() {
        isClosed = true;
        age.cancel();
        open.forEach(stream -> stream.end(Reason.UNAVAILABLE, Sentences.ISSUER));
    }

    int count() {
        return open.size();
    }

    /** The clock may have been set back meanwhile: then it is not over yet. */
    private void expire(Stream stream) {
        Instant until = Times.ofEpochSecond(stream.token.caller().said().exp());
        Duration left = Duration.between(settings.time().now(), until).plus(settings.streamGrace());
        if (left.isZero() || left.isNegative()) {
            stream.end(Reason.TOKEN_EXPIRED, null);
        } else {
            stream.expiry = settings.time().schedule(left, () -> expire(stream));
        }
    }

    private void look(Stream stream) {
        Revocations revocations = settings.revocations();
        if (revocations != null && revocations.isRevoked(stream.token)) {
            stream.end(Reason.TOKEN_REVOKED, null);
        }
    }

    // ===== the age of what is known =====

    private void watchAge() {
        boolean matters = settings.revocations() != null && settings.whenStale() == WhenStale.REFUSE;
        if (matters && isWatchingAge.compareAndSet(false, true)) {
            scheduleAge();
        }
    }

    private void scheduleAge() {
        long stale = Times.plus(settings.revocations().heard(), Times.plus(Times.nanos(settings.revocationMaxAge()), 1));
        age = settings.time().schedule(Duration.ofNanos(stale - settings.time().nanos()), this::lookAtAge);
        if (isClosed) {
            age.cancel();
        }
    }

    private void lookAtAge() {
        if (settings.revocations().isStale(settings.revocationMaxAge())) {
            isWatchingAge.set(false);
            open.forEach(stream -> stream.end(Reason.UNAVAILABLE, Sentences.REVOCATIONS));
        } else if (open.isEmpty()) {
            isWatchingAge.set(false);
            if (!open.isEmpty()) {
                watchAge();
            }
        } else {
            scheduleAge();
        }
    }
}
