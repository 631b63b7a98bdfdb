package com.example.signet.sdk;

import com.example.signet.identity.events.v1.Changes;
import com.example.signet.identity.events.v1.Snapshot;
import com.example.signet.identity.events.v1.WatchResponse;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * What was revoked, as {@code identity.events.v1.EventService.Watch} tells it: kept in memory for as long as tokens live, and asked of each
 * token that is verified.
 *
 * <p>{@link #follow} follows the stream of a running Signet: that is the one line that a service needs. {@link #told} is told by
 * {@link #tell}, as in tests. One of these can serve several verifiers. What it knows is lost with it: a service that restarts is not ready
 * until the next snapshot has come.
 */
public final class Revocations implements AutoCloseable {
    private final TimeSource time;
    private final RevocationLog log;
    private final List<Listener> listeners = new CopyOnWriteArrayList<>();
    private final CompletableFuture<Void> complete = new CompletableFuture<>();
    private volatile boolean isComplete;

    /** How many messages have told of changes: written under the lock of the log. */
    private volatile long changes;
    private volatile long heard;
    private volatile boolean hasHeard;
    private volatile SafeHooks hooks = new SafeHooks(new Hooks() {});
    private volatile AutoCloseable follower = () -> {};
    private volatile Runnable start = () -> {};

    Revocations(TimeSource time, int maxEntries) {
        this.time = time;
        this.log = new RevocationLog(time, maxEntries);
    }

    /** Is told what a verifier has to do. */
    interface Listener {
        /** Something was told that may have revoked tokens of open streams. */
        void changed();

        /** The issuer's keys have changed, or may have. */
        void keysChanged();
    }

    /**
     * Follows a running Signet. The client is a confidential one with the scope {@code signet.events.watch}, whose audiences are those of
     * the service and Signet's own
     * ({@code signet clients create stock-events --scope signet.events.watch --allow-audience stock --allow-audience signet}).
     *
     * @param servers where Signet is; when one stops answering, the next is asked
     * @param clientId the client's id
     * @param clientSecret its secret
     * @return what follows as soon as a verifier is made with it
     */
    public static Revocations follow(SignetServers servers, String clientId, String clientSecret) {
        return follow(servers, TokenSource.builder(servers, "signet").scopes(WatchFollower.SCOPE).clientSecret(clientId, clientSecret).build());
    }

    /**
     * Follows a running Signet, with a token of another kind than a secret's, or where Signet's own audience has another name than
     * {@code signet}.
     *
     * @param servers where Signet is
     * @param tokens gets tokens with the scope {@code signet.events.watch} for Signet's own audience; closed with this
     * @return what follows as soon as a verifier is made with it
     */
    public static Revocations follow(SignetServers servers, TokenSource tokens) {
        Revocations revocations = new Revocations(tokens.time(), RevocationLog.MAX_ENTRIES);
        WatchFollower follower = new WatchFollower(servers, tokens, revocations, Math::random);
        revocations.follower = follower;
        revocations.start = follower::start;
        return revocations;
    }

    /**
     * Revocations that are told by {@link #tell} alone: for tests, and for whoever reads the stream by other means.
     *
     * @param time the clock
     * @return revocations that are not complete until a snapshot was told
     */
    public static Revocations told(TimeSource time) {
        return new Revocations(time, RevocationLog.MAX_ENTRIES);
    }

    /**
     * Takes in a message of the stream, in the order in which it came. Open streams whose tokens it revokes end before this returns.
     *
     * @param message the message
     */
    public void tell(WatchResponse message) {
        boolean isLast = false;
        synchronized (log) {
            switch (message.getPartCase()) {
                case SNAPSHOT -> isLast = snapshot(message.getSnapshot());
                case CHANGES -> log.tell(message.getChanges());
                default -> log.clean();
            }
            if (message.hasSnapshot() || message.hasChanges()) {
                changes++;
            }
            heard = time.nanos();
            hasHeard = true;
            isComplete |= isLast;
        }
        if (isLast) {
            complete.complete(null);
            hooks.revocations(Hooks.RevocationsState.COMPLETE);
        }
        Changes told = message.hasSnapshot() ? message.getSnapshot().getChanges() : message.getChanges();
        for (Listener listener : listeners) {
            if (message.hasSnapshot() || message.hasChanges()) {
                listener.changed();
            }
            if (told.getKeysChanged() || message.hasResync()) {
                listener.keysChanged();
            }
        }
    }

    /**
     * Whether all that was revoked is known: a snapshot has come since the start.
     *
     * @return whether it is
     */
    public boolean isComplete() {
        return isComplete;
    }

    /** Stops following, as the closing of the last verifier does: for good. What is left serves no other verifier. */
    @Override
    public void close() {
        try {
            follower.close();
        } catch (Exception failure) {
            throw new IllegalStateException("the stream cannot be closed", failure);
        }
    }

    /** Begins to follow, for a verifier; the first one's hooks are told of the stream. */
    void attach(Listener listener, SafeHooks toTell) {
        listeners.add(listener);
        Runnable begin;
        synchronized (log) {
            begin = start;
            start = () -> {};
            if (listeners.size() == 1) {
                hooks = toTell;
            }
        }
        begin.run();
    }

    /** Ends what {@link #attach} has begun; the stream ends with the last verifier. */
    void detach(Listener listener) {
        if (listeners.remove(listener) && listeners.isEmpty()) {
            close();
        }
    }

    /** Completes when the first snapshot is complete. */
    CompletableFuture<Void> ready() {
        return complete.copy();
    }

    /** Whether nothing was heard for longer than {@code maxAge}. */
    boolean isStale(Duration maxAge) {
        return !hasHeard || time.nanos() - heard > Times.nanos(maxAge);
    }

    /** When it was last heard of, by {@link TimeSource#nanos}. */
    long heard() {
        return heard;
    }

    /** Whether {@code token} is revoked: looked up anew only if something was told since it was last known not to be. */
    boolean isRevoked(TokenCache.Verified token) {
        if (token.standsAt() == changes) {
            return false;
        }
        synchronized (log) {
            boolean isRevoked = log.isRevoked(token.caller().said());
            if (!isRevoked) {
                token.standsAt(changes);
            }
            return isRevoked;
        }
    }

    /** Has the verifiers fetch the issuer's keys. */
    void keysChanged() {
        listeners.forEach(Listener::keysChanged);
    }

    void state(Hooks.RevocationsState state) {
        hooks.revocations(state);
    }

    /** Whether it was the last part. */
    private boolean snapshot(Snapshot part) {
        if (part.hasKeepFor()) {
            log.keepFor(Duration.ofSeconds(part.getKeepFor().getSeconds(), part.getKeepFor().getNanos()));
        }
        if (part.hasTokensNotBefore()) {
            log.notBefore(Times.of(part.getTokensNotBefore()));
        }
        log.tell(part.getChanges());
        return part.getIsLast();
    }
}
