package com.example.signet.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.example.signet.identity.events.v1.Changes;
import com.example.signet.identity.events.v1.EndedClient;
import com.example.signet.sdk.Hooks.RevocationsState;
import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Following the stream of what was revoked: over a real connection, with a clock that is turned by hand. */
class RevocationsTest {
    private final ManualTime time = new ManualTime(Instant.ofEpochSecond(1_800_000_000));
    private final FakeSignet signet = new FakeSignet();
    private final FakeSignet other = new FakeSignet();
    private final SignetServers servers = SignetServers.of(signet.address(), other.address());
    private final BlockingQueue<RevocationsState> states = new LinkedBlockingQueue<>();
    private final Tokens tokens = new Tokens(time);
    private Revocations revocations;
    private Verifier verifier;

    @AfterEach
    void stop() {
        if (verifier != null) {
            verifier.close();
            revocations.close();
        }
        servers.close();
        signet.close();
        other.close();
    }

    @Test
    void itBeginsWithATokenForSignetAndIsReadyWithTheSnapshot() throws Exception {
        follow();
        FakeSignet.Watch watch = signet.nextWatch();
        assertEquals("Bearer token-1", watch.authorization());
        var asked = signet.asked.take();
        assertEquals("signet.events.watch", asked.getScope());
        assertEquals(java.util.List.of("signet"), asked.getAudiencesList());
        assertTrue(watch.request().getResumeToken().isEmpty());
        assertFalse(verifier.ready().isDone());
        watch.stream().onNext(Messages.snapshot());
        verifier.ready().get(10, TimeUnit.SECONDS);
        assertEquals(RevocationsState.CONNECTING, states.poll(10, TimeUnit.SECONDS));
        assertEquals(RevocationsState.COMPLETE, states.poll(10, TimeUnit.SECONDS));
    }

    @Test
    void itGoesOnWhereItEndedAtTheNextReplica() throws Exception {
        follow();
        FakeSignet.Watch watch = signet.nextWatch();
        watch.stream().onNext(Messages.snapshot());
        watch.stream().onNext(Messages.heartbeat("later"));
        watch.stream().onCompleted();
        await(RevocationsState.DOWN);
        time.advance(Duration.ofSeconds(1));
        FakeSignet.Watch next = other.nextWatch();
        assertEquals("later", next.request().getResumeToken().toStringUtf8());
        next.stream().onNext(Messages.heartbeat("latest"));
        await(RevocationsState.COMPLETE);
        next.stream().onNext(Messages.resync());
        next.stream().onCompleted();
        await(RevocationsState.DOWN);
        time.advance(Duration.ofSeconds(1));
        assertTrue(signet.nextWatch().request().getResumeToken().isEmpty(), "resync forgets it");
        assertTrue(revocations.isComplete(), "what was told before still counts");
    }

    @Test
    void silenceEndsAStream() throws Exception {
        follow();
        FakeSignet.Watch watch = signet.nextWatch();
        watch.stream().onNext(Messages.snapshot());
        await(RevocationsState.COMPLETE);
        time.advance(Duration.ofSeconds(29));
        assertFalse(states.contains(RevocationsState.DOWN));
        time.advance(Duration.ofSeconds(1));
        await(RevocationsState.DOWN);
        time.advance(Duration.ofSeconds(1));
        assertEquals("snapshot", other.nextWatch().request().getResumeToken().toStringUtf8());
    }

    @Test
    void anExpiredTokenIsReplacedAtTheSameReplica() throws Exception {
        follow();
        FakeSignet.Watch watch = signet.nextWatch();
        watch.stream().onNext(Messages.snapshot());
        await(RevocationsState.COMPLETE);
        watch.stream().onError(FakeSignet.refusal(Status.Code.UNAUTHENTICATED, "TOKEN_EXPIRED"));
        await(RevocationsState.DOWN);
        time.advance(Duration.ofSeconds(1));
        assertEquals("Bearer token-2", signet.nextWatch().authorization());
    }

    @Test
    void aRefusalIsLoggedAsAWarningAndNotAskedAgainForHalfAMinute() throws Exception {
        BlockingQueue<LogRecord> logged = new LinkedBlockingQueue<>();
        Logger logger = Logger.getLogger(WatchFollower.class.getName());
        Handler handler = handler(logged);
        logger.addHandler(handler);
        follow();
        signet.nextWatch().stream().onError(FakeSignet.refusal(Status.Code.PERMISSION_DENIED, "INSUFFICIENT_SCOPE"));
        await(RevocationsState.DOWN);
        assertEquals(Level.WARNING, logged.poll(20, TimeUnit.SECONDS).getLevel());
        logger.removeHandler(handler);
        time.advance(Duration.ofSeconds(29));
        assertNull(states.poll(100, TimeUnit.MILLISECONDS));
        time.advance(Duration.ofSeconds(2));
        other.nextWatch();
    }

    @Test
    void aPauseThatSignetAsksForCountsUpToAMinute() throws Exception {
        follow();
        signet.nextWatch().stream().onError(FakeSignet.overloaded(9 * 3_600));
        await(RevocationsState.DOWN);
        time.advance(Duration.ofSeconds(60));
        assertFalse(states.contains(RevocationsState.CONNECTING), "it pauses");
        time.advance(Duration.ofSeconds(1));
        other.nextWatch();
    }

    @Test
    void theStreamEndsWithTheLastVerifier() throws Exception {
        follow();
        Verifier second = tokens.verifier().revocations(revocations).build();
        FakeSignet.Watch watch = signet.nextWatch();
        watch.stream().onNext(Messages.snapshot());
        await(RevocationsState.COMPLETE);
        verifier.close();
        watch.stream().onNext(Messages.endedClient("signet", time.now()));
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            while (!isRevoked(revocations, time.now().getEpochSecond())) {
                Thread.onSpinWait();
            }
        });
        second.close();
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            while (!watch.stream().isCancelled()) {
                Thread.onSpinWait();
            }
        });
        assertEquals(0, time.pending());
    }

    @Test
    void whatIsToldTwiceChangesNothingIfTheLatestTimeCounts() {
        Instant now = time.now();
        Revocations told = Revocations.told(time);
        told.tell(Messages.snapshot());
        told.tell(Messages.endedClient("signet", now.plusSeconds(6)));
        told.tell(Messages.endedClient("signet", now.minusSeconds(60)));
        assertTrue(isRevoked(told, now.getEpochSecond() + 6));
        assertFalse(isRevoked(told, now.getEpochSecond() + 7));
    }

    @Test
    void tooMuchRefusesAllThatWasIssuedSoFar() {
        RevocationLog log = new RevocationLog(time, 10);
        Changes.Builder changes = Changes.newBuilder();
        for (int session = 0; session <= 10; session++) {
            changes.addEndedSessions(UUID.randomUUID().toString());
        }
        log.tell(changes.build());
        assertEquals(0, log.size());
        assertTrue(log.isRevoked(claims(time.now().getEpochSecond())));
        assertFalse(log.isRevoked(claims(time.now().getEpochSecond() + 1)));
    }

    @Test
    void entriesAreDroppedWhenTheyAreNoLongerKept() {
        RevocationLog log = new RevocationLog(time, RevocationLog.MAX_ENTRIES);
        log.keepFor(Duration.ofSeconds(911));
        log.tell(Messages.ended(UUID.randomUUID().toString()).getChanges());
        time.advance(Duration.ofSeconds(910));
        log.clean();
        assertEquals(1, log.size());
        time.advance(Duration.ofSeconds(61));
        log.clean();
        assertEquals(0, log.size());
    }

    @Test
    void aClockThatIsSetForwardAndBackForgetsNothing() {
        Instant now = time.now();
        Revocations told = Revocations.told(time);
        told.tell(Messages.snapshot());
        told.tell(Messages.endedClient("signet", now));
        time.set(now.plus(Duration.ofDays(2)));
        told.tell(Messages.heartbeat(""));
        assertTrue(isRevoked(told, now.getEpochSecond()));
        time.set(now);
        assertTrue(isRevoked(told, now.getEpochSecond()));
    }

    @Test
    void aTimeThatIsNotSaidIsTheLatest() {
        RevocationLog log = new RevocationLog(time, RevocationLog.MAX_ENTRIES);
        log.tell(Changes.newBuilder().addEndedClients(EndedClient.newBuilder().setClientId("signet")).build());
        assertTrue(log.isRevoked(claims(time.now().getEpochSecond() + 60)));
    }

    @Test
    void keysAreFetchedWhenTheFirstMessageComes() throws Exception {
        follow();
        FakeSignet.Watch watch = signet.nextWatch();
        assertEquals(1, tokens.fetches.get());
        watch.stream().onNext(Messages.snapshot());
        await(RevocationsState.COMPLETE);
        assertEquals(2, tokens.fetches.get());
        watch.stream().onNext(Messages.heartbeat("later"));
        watch.stream().onCompleted();
        await(RevocationsState.DOWN);
        assertEquals(2, tokens.fetches.get(), "once in a stream");
    }

    private static Handler handler(BlockingQueue<LogRecord> logged) {
        return new Handler() {
            @Override
            public void publish(LogRecord entry) {
                logged.add(entry);
            }

            @Override
            public void flush() {}

            @Override
            public void close() {}
        };
    }

    private boolean isRevoked(Revocations told, long iat) {
        return told.isRevoked(new TokenCache.Verified(new Caller(claims(iat), java.util.List.of()), null));
    }

    private Claims claims(long iat) {
        var claims = tokens.claims();
        claims.put("iat", iat);
        try {
            return Claims.read(new com.google.gson.Gson().toJson(claims).getBytes(java.nio.charset.StandardCharsets.UTF_8));
        } catch (InvalidToken impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private void follow() {
        TokenSource source = TokenSource.builder(servers, "signet").scopes(WatchFollower.SCOPE).clientSecret("id", "secret")
                .time(time).random(() -> 0.5).build();
        revocations = Revocations.follow(servers, source);
        verifier = tokens.verifier().revocations(revocations).hooks(new Hooks() {
            @Override
            public void revocations(RevocationsState state) {
                states.add(state);
            }
        }).build();
    }

    /** Waits until the stream has come into a state; those before it are passed over. */
    private void await(RevocationsState wanted) throws InterruptedException {
        for (RevocationsState state = null; state != wanted; ) {
            state = states.poll(20, TimeUnit.SECONDS);
            if (state == null) {
                throw new AssertionError("the stream has not become " + wanted);
            }
        }
    }
}
