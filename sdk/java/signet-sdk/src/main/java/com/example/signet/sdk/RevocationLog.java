package com.example.signet.sdk;

import com.example.signet.identity.events.v1.Changes;
import com.example.signet.identity.events.v1.TakenScopes;
import com.google.protobuf.Timestamp;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/**
 * What was revoked, as docs/EVENTS.md says, kept for as long as tokens live. A token is revoked if its session is among those that ended,
 * or if it was issued at or before the latest time that was told of its user, its client or one of its scopes.
 *
 * <p>Not for several threads at once: {@link Revocations} sees to that.
 */
final class RevocationLog {
    /** How many entries are kept at most. Beyond that all tokens issued so far count as revoked, and the entries are dropped. */
    static final int MAX_ENTRIES = 1_000_000;

    /** How long entries are kept until Signet has said it: longer than any token lives. */
    private static final Duration KEEP_UNTOLD = Duration.ofDays(1);

    private static final Duration CLEAN_EVERY = Duration.ofMinutes(1);

    private final TimeSource clock;
    private final int maxEntries;
    private final Map<Key, Entry> entries = new HashMap<>();
    private Duration keepFor = KEEP_UNTOLD;
    private Instant notBefore = Instant.MIN;
    private long cleaned;

    RevocationLog(TimeSource clock, int maxEntries) {
        this.clock = clock;
        this.maxEntries = maxEntries;
        this.cleaned = clock.nanos();
    }

    /**
     * Up to which time of issue tokens are revoked by it, and until when it is kept: by {@link TimeSource#nanos}, so that a clock that is
     * set forward and back forgets nothing.
     */
    private record Entry(Instant time, long until) {}

    /** What an entry is about. */
    private sealed interface Key {}

    private record Session(UUID id) implements Key {}

    private record User(String subject) implements Key {}

    private record Client(String id) implements Key {}

    /** {@code subject} and {@code client} are empty for whichever. */
    private record Taken(String subject, String client, String audience, String scope) implements Key {}

    void keepFor(Duration duration) {
        keepFor = duration;
    }

    void notBefore(Instant time) {
        notBefore = time.isAfter(notBefore) ? time : notBefore;
    }

    /** Takes in what has changed, told at this moment. */
    void tell(Changes changes) {
        clean();
        changes.getEndedSessionsList().forEach(id -> put(session(id), Instant.MAX));
        changes.getEndedUserSessionsList().forEach(user -> put(new User(lower(user.getSubject())), time(user.hasTime(), user.getTime())));
        changes.getEndedClientsList().forEach(client ->
                put(new Client(lower(client.getClientId())), time(client.hasTime(), client.getTime())));
        for (TakenScopes taken : changes.getTakenScopesList()) {
            for (String scope : taken.getScopesList()) {
                Key key = new Taken(lower(taken.getSubject()), lower(taken.getClientId()), taken.getAudience(), scope);
                put(key, time(taken.hasTime(), taken.getTime()));
            }
        }
    }

    /** Whether {@code token} is revoked at this moment: what is older than any token that lives counts no more. */
    boolean isRevoked(Claims token) {
        Instant issued = Times.ofEpochSecond(token.iat());
        String subject = token.sub().toString();
        String client = lower(token.clientId());
        Question asked = new Question(issued, clock.nanos());
        if (issued.isBefore(notBefore)
                || (token.sid() != null && asked.isCovered(new Session(token.sid())))
                || asked.isCovered(new User(subject))
                || asked.isCovered(new Client(client))) {
            return true;
        }
        for (String audience : token.aud()) {
            for (String scope : token.scopes()) {
                if (isTaken(List.of("", subject), List.of("", client), audience, scope, asked)) {
                    return true;
                }
            }
        }
        return false;
    }

    int size() {
        return entries.size();
    }

    private boolean isTaken(List<String> subjects, List<String> clients, String audience, String scope, Question asked) {
        return subjects.stream().anyMatch(subject ->
                clients.stream().anyMatch(client -> asked.isCovered(new Taken(subject, client, audience, scope))));
    }

    /** What is asked of a token that was issued at a time. */
    private final class Question {
        private final Instant issued;
        private final long now;

        Question(Instant issued, long now) {
            this.issued = issued;
            this.now = now;
        }

        boolean isCovered(Key key) {
            Entry entry = entries.get(key);
            return entry != null && !issued.isAfter(entry.time) && entry.until > now;
        }
    }

    private void put(Key key, Instant time) {
        Instant now = clock.now();
        Duration ahead = time.isAfter(now) && time != Instant.MAX ? Duration.between(now, time) : Duration.ZERO;
        Entry known = entries.get(key);
        // Of several times the latest counts: what is told again changes nothing.
        Instant latest = known != null && known.time.isAfter(time) ? known.time : time;
        entries.put(key, new Entry(latest, Times.plus(clock.nanos(), Times.plus(Times.nanos(ahead), Times.nanos(keepFor)))));
        if (entries.size() > maxEntries) {
            overflow(now);
        }
    }

    /** Too much to keep: what was issued so far is refused, or up to the latest time that was told. */
    private void overflow(Instant now) {
        Instant latest = now;
        for (Entry entry : entries.values()) {
            latest = entry.time != Instant.MAX && entry.time.isAfter(latest) ? entry.time : latest;
        }
        notBefore(plus(latest, Duration.ofSeconds(1)));
        entries.clear();
    }

    /** Drops what is no longer kept, now and then. */
    void clean() {
        long now = clock.nanos();
        if (now - cleaned < CLEAN_EVERY.toNanos()) {
            return;
        }
        cleaned = now;
        for (Iterator<Entry> it = entries.values().iterator(); it.hasNext(); ) {
            if (it.next().until <= now) {
                it.remove();
            }
        }
    }

    /** A time that is not said, which Signet never leaves out, is the latest that there is: too much is refused then, not too little. */
    private static Instant time(boolean isSaid, Timestamp time) {
        return isSaid ? Times.of(time) : Instant.MAX;
    }

    private static Key session(String id) {
        try {
            return new Session(UUID.fromString(id));
        } catch (IllegalArgumentException notUuid) {
            // No token names it.
            return new User("session " + id);
        }
    }

    /** Ids are UUIDs, or `signet`: capitals make no difference. */
    private static String lower(String id) {
        return id.toLowerCase(java.util.Locale.ROOT);
    }

    private static Instant plus(Instant time, Duration duration) {
        try {
            return time.plus(duration);
        } catch (java.time.DateTimeException | ArithmeticException beyond) {
            return Instant.MAX;
        }
    }
}
