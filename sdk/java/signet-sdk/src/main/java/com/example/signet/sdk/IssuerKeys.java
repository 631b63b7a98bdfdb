package com.example.signet.sdk;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.DoubleSupplier;

/**
 * The keys of an issuer, known in this process: fetched in the background, before they are stale, soon again after a failure, and when a
 * token names a key that is not known, but never in a hurry.
 *
 * <p>Attempts to fetch are counted from 1, and one goes on at a time. A call that names an unknown key waits for an attempt that began
 * after the key was first named, with all others that wait. Nothing here blocks.
 */
final class IssuerKeys implements AutoCloseable {
    /** How many calls wait at most: made-up ids must not fill the memory. */
    static final int MAX_WAITING = 1_000;

    /** How many unknown ids are remembered, each of at most 255 bytes. */
    private static final int MAX_REMEMBERED = 1_024;

    /** What lies at least between the beginnings of two attempts that calls ask for. */
    static final Duration MIN_PAUSE = Duration.ofSeconds(5);

    private static final Duration TIMEOUT = Duration.ofSeconds(5);
    private static final Duration MAX_STALENESS = Duration.ofHours(24);
    private static final Duration DEFAULT_MAX_AGE = Duration.ofMinutes(5);
    private static final Duration MIN_INTERVAL = Duration.ofSeconds(30);
    private static final Duration MAX_INTERVAL = Duration.ofHours(1);
    private static final Backoff RETRY = new Backoff(Duration.ofSeconds(1), Duration.ofMinutes(1));
    private static final System.Logger LOG = System.getLogger(IssuerKeys.class.getName());

    private final KeySource source;
    private final TimeSource time;
    private final DoubleSupplier random;
    private final SafeHooks hooks;
    private final CompletableFuture<Void> ready = new CompletableFuture<>();

    /** The keys, and when the attempt began that confirmed them; null until one has. */
    private volatile Confirmed confirmed;

    // All below is guarded by `this`.
    private long begun;
    private long ended;
    private long succeeded;
    private long latest;
    private long wanted;
    private int failures;
    private boolean isAgain;
    private boolean isClosed;
    private long due;
    private TimeSource.Timer timer = () -> {};
    private TimeSource.Timer timeout = () -> {};
    private CompletableFuture<KeySource.Answer> asked;
    private final List<Waiter> waiters = new ArrayList<>();
    private final Map<String, Long> sightings = new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Long> eldest) {
            return size() > MAX_REMEMBERED;
        }
    };

    IssuerKeys(KeySource source, TimeSource time, DoubleSupplier random, SafeHooks hooks) {
        this.source = source;
        this.time = time;
        this.random = random;
        this.hooks = hooks;
    }

    private record Confirmed(KeySet set, long began) {}

    private record Waiter(String kid, long since, CompletableFuture<VerifyingKey> future) {}

    /** Begins to fetch. */
    void start() {
        begin();
    }

    /** Completes when keys are known for the first time. */
    CompletableFuture<Void> ready() {
        return ready.copy();
    }

    /** Whether {@code key} is in force, as far as is known. */
    boolean isInForce(VerifyingKey key) {
        return inForce().get(key.kid()) == key;
    }

    /**
     * The key {@code kid}, or null if it is not one of the issuer's: at once as a rule, else when the issuer has been asked. Fails with
     * {@link Refusal.Unavailable} if it cannot be told.
     */
    CompletableFuture<VerifyingKey> find(String kid) {
        VerifyingKey known = inForce().get(kid);
        return known != null ? CompletableFuture.completedFuture(known) : await(kid);
    }

    /** Fetches at once: the issuer has said that its keys have changed. */
    void refresh() {
        synchronized (this) {
            if (begun > ended) {
                // The attempt that goes on may have begun before the change.
                isAgain = true;
                return;
            }
        }
        begin();
    }

    @Override
    public void close() {
        List<Runnable> told = new ArrayList<>();
        synchronized (this) {
            isClosed = true;
            timer.cancel();
            timeout.cancel();
            if (asked != null) {
                asked.cancel(true);
            }
            waiters.forEach(waiter -> told.add(() -> waiter.future.completeExceptionally(new Refusal.Unavailable())));
            waiters.clear();
        }
        told.forEach(Runnable::run);
    }

    private KeySet inForce() {
        Confirmed now = confirmed;
        boolean counts = now != null && time.nanos() - now.began <= MAX_STALENESS.toNanos();
        return counts ? now.set : KeySet.EMPTY;
    }

    // ===== who waits =====

    private CompletableFuture<VerifyingKey> await(String kid) {
        Waiter waiter;
        synchronized (this) {
            VerifyingKey known = inForce().get(kid);
            if (known != null) {
                return CompletableFuture.completedFuture(known);
            }
            Long since = decidedAfter(sightings.get(kid));
            if (since == null) {
                return CompletableFuture.completedFuture(null);
            }
            boolean hasJustFailed = failures > 0 && (ended > since || isPausing());
            if (isClosed || hasJustFailed || waiters.size() >= MAX_WAITING) {
                return CompletableFuture.failedFuture(new Refusal.Unavailable());
            }
            // Only with a place: whoever floods must not push out what others wait for.
            sightings.put(kid, since);
            waiter = new Waiter(kid, since, new CompletableFuture<>());
            waiters.add(waiter);
        }
        want(waiter.since + 1);
        return waiter.future;
    }

    /**
     * After how many attempts have begun the next one decides on an unknown key that was first named after {@code first} had begun. Null if
     * that is decided, and is not to be asked again yet.
     */
    private Long decidedAfter(Long first) {
        if (first == null) {
            return begun;
        }
        if (succeeded > first && inForce() != KeySet.EMPTY) {
            // An attempt that began later did not find it.
            return isAsking() ? Long.valueOf(begun - 1) : isPausing() ? null : Long.valueOf(begun);
        }
        return ended <= first ? first : Long.valueOf(begun);
    }

    private boolean isAsking() {
        return begun > ended;
    }

    private boolean isPausing() {
        return !isAsking() && begun > 0 && time.nanos() - latest < MIN_PAUSE.toNanos();
    }

    private synchronized void want(long attempt) {
        wanted = Math.max(wanted, attempt);
        if (!isAsking() && wanted > begun && !isClosed) {
            schedule(Math.min(due, latest + MIN_PAUSE.toNanos()));
        }
    }

    /** Takes out who need not wait any more, and gives what tells them. */
    private List<Runnable> settled() {
        List<Runnable> told = new ArrayList<>();
        for (Iterator<Waiter> it = waiters.iterator(); it.hasNext(); ) {
            Waiter waiter = it.next();
            VerifyingKey key = inForce().get(waiter.kid);
            if (key != null || succeeded > waiter.since) {
                told.add(() -> waiter.future.complete(key));
                it.remove();
            } else if (failures > 0 && (ended > waiter.since || isPausing() || inForce() == KeySet.EMPTY)) {
                told.add(() -> waiter.future.completeExceptionally(new Refusal.Unavailable()));
                it.remove();
            }
        }
        return told;
    }

    // ===== attempts =====

    private void begin() {
        CompletableFuture<KeySource.Answer> attempt;
        synchronized (this) {
            if (isClosed || isAsking()) {
                return;
            }
            timer.cancel();
            begun++;
            latest = time.nanos();
            try {
                attempt = Objects.requireNonNull(source.fetch());
            } catch (RuntimeException defect) {
                attempt = CompletableFuture.failedFuture(defect);
            }
            asked = attempt;
            long number = begun;
            timeout = time.schedule(TIMEOUT, () -> giveUp(asked(number)));
        }
        attempt.whenComplete(this::end);
    }

    private synchronized CompletableFuture<KeySource.Answer> asked(long number) {
        return number == begun ? asked : null;
    }

    private static void giveUp(CompletableFuture<KeySource.Answer> attempt) {
        if (attempt != null) {
            attempt.completeExceptionally(new KeySet.Unusable("there was no answer within " + TIMEOUT.toSeconds() + " s"));
        }
    }

    private void end(KeySource.Answer answer, Throwable failure) {
        String problem = failure == null ? null : problem(failure);
        KeySet keys = null;
        if (problem == null) {
            try {
                Confirmed known = confirmed;
                keys = KeySet.read(answer.document(), known == null ? KeySet.EMPTY : known.set);
            } catch (KeySet.Unusable unusable) {
                problem = "the answer " + unusable.getMessage();
            } catch (RuntimeException defect) {
                // Whatever it is, the attempt has ended: else there were never another one.
                problem = "the answer cannot be read: " + defect.getClass().getSimpleName();
            }
        }
        List<Runnable> told;
        boolean isNow;
        synchronized (this) {
            if (isClosed) {
                return;
            }
            timeout.cancel();
            asked = null;
            ended = begun;
            failures = keys != null ? 0 : failures + 1;
            if (keys != null) {
                succeeded = begun;
                confirmed = new Confirmed(keys, latest);
            }
            told = settled();
            isNow = isAgain;
            isAgain = false;
            plan(keys != null ? freshFor(answer.maxAge()) : RETRY.after(failures, random));
        }
        tell(keys, problem, told);
        if (isNow) {
            begin();
        }
    }

    private void tell(KeySet keys, String problem, List<Runnable> told) {
        hooks.keysFetched(keys != null);
        if (keys != null) {
            ready.complete(null);
        } else {
            LOG.log(System.Logger.Level.WARNING, "the issuer''s keys cannot be fetched: {0}", problem);
        }
        // Not on the thread that fetched: what waits may be a handler that blocks.
        told.forEach(Threads.RESUME::execute);
    }

    private void plan(Duration pause) {
        due = time.nanos() + Times.nanos(pause);
        schedule(wanted > begun ? Math.min(due, latest + MIN_PAUSE.toNanos()) : due);
    }

    private void schedule(long at) {
        timer.cancel();
        timer = time.schedule(Duration.ofNanos(at - time.nanos()), this::begin);
    }

    /** Somewhat less than the issuer allows, so that the replicas of a service do not all ask at one moment. */
    private Duration freshFor(Duration maxAge) {
        Duration allowed = maxAge == null ? DEFAULT_MAX_AGE : maxAge;
        Duration bounded = allowed.compareTo(MAX_INTERVAL) > 0 ? MAX_INTERVAL : allowed;
        Duration part = Times.part(bounded, 0.8 + 0.2 * random.getAsDouble());
        return part.compareTo(MIN_INTERVAL) < 0 ? MIN_INTERVAL : part;
    }

    private static String problem(Throwable failure) {
        Throwable cause = failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
        return cause.getMessage() == null ? cause.getClass().getSimpleName() : cause.getMessage();
    }
}
