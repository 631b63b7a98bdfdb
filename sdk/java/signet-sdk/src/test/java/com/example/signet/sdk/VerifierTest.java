package com.example.signet.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.Test;

/** The verifier's keys and memory: when the issuer is asked, who waits, and what a flood costs. */
class VerifierTest {
    private static final Rule ANY = Rule.authenticated();

    private final ManualTime time = new ManualTime(Instant.ofEpochSecond(1_800_000_000));
    private final Tokens tokens = new Tokens(time);

    @Test
    void aNewKeyIsFoundByAllWhoWaitWithOneFetch() throws Exception {
        try (Verifier verifier = tokens.verifier().build()) {
            verifier.ready().get(1, TimeUnit.SECONDS);
            time.advance(Duration.ofSeconds(5));
            tokens.rotate(true);
            tokens.hold();
            List<CompletableFuture<Caller>> calls = new ArrayList<>();
            for (int call = 0; call < 100; call++) {
                calls.add(verifier.verify(tokens.user(), ANY, "/m"));
            }
            time.advance(Duration.ZERO);
            assertTrue(calls.stream().noneMatch(CompletableFuture::isDone));
            tokens.release();
            for (CompletableFuture<Caller> call : calls) {
                assertEquals(Tokens.USER, call.get(10, TimeUnit.SECONDS).id());
            }
            assertEquals(2, tokens.fetches.get());
        }
    }

    @Test
    void anAnswerThatIsNoneFailsAndTheNextOneCounts() throws Exception {
        Queue<CompletableFuture<KeySource.Answer>> answers = new ConcurrentLinkedQueue<>();
        answers.add(CompletableFuture.completedFuture(null));
        answers.add(CompletableFuture.completedFuture(new KeySource.Answer(null, null)));
        KeySource source = () -> answers.isEmpty() ? null : answers.remove();
        try (Verifier verifier = tokens.verifier().keySource(source).build()) {
            for (int second = 0; second < 10; second++) {
                time.advance(Duration.ofSeconds(1));
            }
            assertEquals(Reason.UNAVAILABLE, reason(verifier.verify(tokens.user(), ANY, "/m")));
            answers.add(tokens.fetch());
            time.advance(Duration.ofSeconds(60));
            assertEquals(Tokens.USER, verifier.verify(tokens.user(), ANY, "/m").get(1, TimeUnit.SECONDS).id());
        }
    }

    @Test
    void noHandlerCanChangeWhatAnotherCallSees() throws Exception {
        try (Verifier verifier = tokens.verifier().build()) {
            Map<String, Object> claims = tokens.claims("a");
            claims.put("roles", new ArrayList<>(List.of("r")));
            claims.put("groups", List.of("g"));
            claims.put("amr", List.of("pwd"));
            claims.put("attributes", Map.of("sites", List.of("north"), "deep", Map.of("list", List.of(List.of(1)))));
            Caller caller = verifier.verify(tokens.sign(claims), ANY, "/m").get(1, TimeUnit.SECONDS);
            List<Object> reached = new ArrayList<>(List.of(caller.claims(), caller.attributes(), caller.roles(), caller.groups(),
                    caller.amr(), caller.scopes(), caller.audiences()));
            for (int next = 0; next < reached.size(); next++) {
                if (reached.get(next) instanceof Map<?, ?> map) {
                    assertThrows(UnsupportedOperationException.class, map::clear);
                    reached.addAll(map.values());
                } else if (reached.get(next) instanceof List<?> list) {
                    assertThrows(UnsupportedOperationException.class, list::clear);
                    reached.addAll(list);
                }
            }
            assertTrue(reached.contains(List.of("north")) && reached.contains(1L), reached.toString());
        }
    }

    @Test
    void aMethodThatIsDeclaredInTwoWaysIsDenied() throws Exception {
        byte[] set = Conformance.policy("corpus");
        String path = "/corpus.v1.Calls/Any";
        FileDescriptorSet.Builder other = FileDescriptorSet.parseFrom(set).toBuilder();
        other.getFileBuilderList().forEach(file -> file.getServiceBuilderList().stream()
                .filter(service -> service.getName().equals("Calls"))
                .forEach(service -> {
                    var open = service.getMethodList().stream().filter(it -> it.getName().equals("Public")).findFirst().orElseThrow();
                    service.getMethodBuilderList().stream().filter(it -> it.getName().equals("Any"))
                            .forEach(it -> it.setOptions(open.getOptions()));
                }));
        assertEquals(Access.Kind.RULE, Policy.builder().descriptorSet(set).descriptorSet(set).build().access(path, null).kind());
        assertEquals(Access.Kind.PUBLIC, Policy.builder().descriptorSet(other.build().toByteArray()).build().access(path, null).kind());
        for (byte[] last : List.of(set, other.build().toByteArray())) {
            Policy both = Policy.builder().descriptorSet(set).descriptorSet(other.build().toByteArray()).descriptorSet(last).build();
            assertEquals(Access.Kind.DENIED, both.access(path, null).kind());
        }
    }

    @Test
    void theClockKeepsNoThreadWhereNothingIsDue() throws Exception {
        SystemTime clock = new SystemTime(Duration.ofMillis(10));
        CompletableFuture<Thread> runs = new CompletableFuture<>();
        clock.schedule(Duration.ZERO, () -> runs.complete(Thread.currentThread()));
        TimeSource.Timer later = clock.schedule(Duration.ofHours(1), () -> {});
        Thread thread = runs.get(20, TimeUnit.SECONDS);
        later.cancel();
        thread.join(20_000);
        assertFalse(thread.isAlive());
    }

    @Test
    void aFloodOfMadeUpKeysCostsTheIssuerOneFetchInFiveSeconds() throws Exception {
        try (Verifier verifier = tokens.verifier().build()) {
            time.advance(Duration.ofSeconds(5));
            for (int second = 0; second < 20; second++) {
                List<CompletableFuture<Caller>> calls = new ArrayList<>();
                for (int call = 0; call < 50; call++) {
                    calls.add(verifier.verify(tokens.sign(tokens.claims(), UUID.randomUUID().toString()), ANY, "/m"));
                }
                time.advance(Duration.ofSeconds(1));
            }
            assertTrue(tokens.fetches.get() <= 1 + 5, "fetches: " + tokens.fetches.get());
        }
    }

    @Test
    void aKeyThatWasNotFoundIsRefusedAtOnceUntilTheNextFetchMayBegin() throws Exception {
        try (Verifier verifier = tokens.verifier().build()) {
            time.advance(Duration.ofSeconds(5));
            tokens.rotate(false);
            CompletableFuture<Caller> first = verifier.verify(tokens.user(), ANY, "/m");
            time.advance(Duration.ZERO);
            assertEquals(Reason.TOKEN_INVALID, reason(first));
            CompletableFuture<Caller> second = verifier.verify(tokens.user(), ANY, "/m");
            assertTrue(second.isDone());
            assertEquals(Reason.TOKEN_INVALID, reason(second));
            assertEquals(2, tokens.fetches.get());
            tokens.publish();
            time.advance(Duration.ofSeconds(5));
            CompletableFuture<Caller> third = verifier.verify(tokens.user(), ANY, "/m");
            time.advance(Duration.ZERO);
            assertEquals(Tokens.USER, third.get(10, TimeUnit.SECONDS).id());
        }
    }

    @Test
    void atMostAThousandCallsWait() throws Exception {
        tokens.hold();
        try (Verifier verifier = tokens.verifier().build()) {
            List<CompletableFuture<Caller>> calls = new ArrayList<>();
            for (int call = 0; call < IssuerKeys.MAX_WAITING; call++) {
                calls.add(verifier.verify(tokens.user(), ANY, "/m"));
            }
            CompletableFuture<Caller> oneTooMany = verifier.verify(tokens.user(), ANY, "/m");
            assertTrue(oneTooMany.isDone());
            assertEquals(Reason.UNAVAILABLE, reason(oneTooMany));
            tokens.release();
            for (CompletableFuture<Caller> call : calls) {
                call.get(20, TimeUnit.SECONDS);
            }
        }
    }

    @Test
    void callsWaitFiveSecondsForTheFirstKeys() throws Exception {
        tokens.hold();
        try (Verifier verifier = tokens.verifier().build()) {
            CompletableFuture<Caller> call = verifier.verify(tokens.user(), ANY, "/m");
            time.advance(Duration.ofMillis(4_999));
            assertThrows(TimeoutException.class, () -> call.get(50, TimeUnit.MILLISECONDS));
            time.advance(Duration.ofMillis(1));
            assertEquals(Reason.UNAVAILABLE, reason(call));
            assertFalse(verifier.ready().isDone());
        }
    }

    @Test
    void theLastGoodKeysCountForADayWhileTheIssuerIsAway() throws Exception {
        try (Verifier verifier = tokens.verifier().build()) {
            tokens.away(true);
            time.advance(Duration.ofHours(24));
            assertEquals(Tokens.USER, verifier.verify(tokens.user(), ANY, "/m").get(1, TimeUnit.SECONDS).id());
            time.advance(Duration.ofSeconds(1));
            CompletableFuture<Caller> late = verifier.verify(tokens.user(), ANY, "/m");
            time.advance(Duration.ofSeconds(5));
            assertEquals(Reason.UNAVAILABLE, reason(late));
            tokens.away(false);
            time.advance(Duration.ofMinutes(1));
            assertEquals(Tokens.USER, verifier.verify(tokens.user(), ANY, "/m").get(10, TimeUnit.SECONDS).id());
        }
    }

    @Test
    void keysAreFetchedAgainBeforeTheyAreStaleAndSoonAfterFailures() {
        try (Verifier verifier = tokens.verifier().build()) {
            time.advance(Duration.ofHours(1));
            assertEquals(1 + 13, tokens.fetches.get(), "each 270 s");
            tokens.away(true);
            time.advance(Duration.ofMinutes(5));
            int before = tokens.fetches.get();
            time.advance(Duration.ofHours(1));
            assertEquals(80, tokens.fetches.get() - before, "each 45 s");
            assertFalse(verifier.audience().isEmpty());
        }
    }

    @Test
    void aTokenIsRememberedUntilItsKeyIsGone() throws Exception {
        List<String> told = new CopyOnWriteArrayList<>();
        Hooks hooks = new Hooks() {
            @Override
            public void verified(String reason, boolean cached) {
                told.add(reason + " " + cached);
            }
        };
        Revocations revocations = Revocations.told(time);
        revocations.tell(Messages.snapshot());
        try (Verifier verifier = tokens.verifier().hooks(hooks).revocations(revocations).build()) {
            String token = tokens.user();
            verifier.verify(token, ANY, "/m").join();
            verifier.verify(token, ANY, "/m").join();
            assertEquals(List.of("OK false", "OK true"), told);
            tokens.rotate(true);
            revocations.tell(Messages.keysChanged());
            assertEquals(2, tokens.fetches.get(), "at once");
            verifier.verify(token, ANY, "/m").join();
            revocations.tell(Messages.ended(Tokens.SESSION));
            assertEquals(Reason.TOKEN_REVOKED, reason(verifier.verify(token, ANY, "/m")));
            assertEquals("TOKEN_REVOKED true", told.get(3));
        }
    }

    @Test
    void hooksThatFailChangeNothing() {
        Hooks hooks = new Hooks() {
            @Override
            public void verified(String reason, boolean cached) {
                throw new IllegalStateException("a defect of the metrics");
            }

            @Override
            public void keysFetched(boolean ok) {
                throw new IllegalStateException("a defect of the metrics");
            }
        };
        try (Verifier verifier = tokens.verifier().hooks(hooks).build()) {
            assertEquals(Tokens.USER, verifier.verify(tokens.user(), ANY, "/m").join().id());
        }
    }

    @Test
    void introspectionThatFailsIsUnavailable() {
        var claims = tokens.claims();
        claims.put("roles_omitted", true);
        String token = tokens.sign(claims);
        Rule rule = Rule.builder().anyRoles("boss").build();
        for (Introspection asked : List.<Introspection>of(
                it -> CompletableFuture.failedFuture(new IllegalStateException("away")),
                it -> {
                    throw new IllegalStateException("a defect");
                })) {
            try (Verifier verifier = tokens.verifier().introspection(asked).build()) {
                assertEquals(Reason.UNAVAILABLE, reason(verifier.verify(token, rule, "/m")));
            }
        }
    }

    @Test
    void whatACallerSaysCannotBeChanged() {
        var said = tokens.claims();
        said.put("attributes", Map.of("regions", List.of("north"), "desk", Map.of("floor", 3)));
        try (Verifier verifier = tokens.verifier().build()) {
            Caller caller = verifier.verify(tokens.sign(said), ANY, "/m").join();
            assertThrows(UnsupportedOperationException.class, () -> ((List<?>) caller.attributes().get("regions")).clear());
            assertThrows(UnsupportedOperationException.class, () -> ((Map<?, ?>) caller.attributes().get("desk")).clear());
        }
    }

    @Test
    void introspectionIsAskedOnceForATokenAndHasAThousandCallsWait() throws Exception {
        Queue<CompletableFuture<Introspection.Answer>> asked = new ConcurrentLinkedQueue<>();
        Introspection holds = token -> {
            CompletableFuture<Introspection.Answer> answer = new CompletableFuture<>();
            asked.add(answer);
            return answer;
        };
        Rule rule = Rule.builder().anyRoles("boss").build();
        var claims = tokens.claims();
        claims.put("roles_omitted", true);
        String token = tokens.sign(claims);
        try (Verifier verifier = tokens.verifier().introspection(holds).build()) {
            List<CompletableFuture<Caller>> calls = new ArrayList<>();
            for (int call = 0; call < 1_000; call++) {
                calls.add(verifier.verify(token, rule, "/m"));
            }
            assertEquals(1, asked.size());
            assertEquals(Reason.UNAVAILABLE, reason(verifier.verify(token, rule, "/m")));
            asked.remove().complete(new Introspection.Answer(true, List.of("boss")));
            for (CompletableFuture<Caller> call : calls) {
                assertEquals(List.of("boss"), call.get(10, TimeUnit.SECONDS).roles());
            }
            CompletableFuture<Caller> later = verifier.verify(token, rule, "/m");
            assertFalse(later.isDone(), "an answer is not kept");
            asked.remove().complete(new Introspection.Answer(false, List.of()));
            assertEquals(Reason.TOKEN_REVOKED, reason(later));
        }
    }

    @Test
    void theCacheIsBoundedAndKeepsWhatIsUsed() {
        TokenCache cache = new TokenCache(160);
        var used = TokenCache.Fingerprint.of("used");
        cache.put(used, new TokenCache.Verified(null, null));
        for (int token = 0; token < 10_000; token++) {
            cache.put(TokenCache.Fingerprint.of("token " + token), new TokenCache.Verified(null, null));
            assertTrue(cache.get(used) != null);
        }
        assertEquals(160, cache.size());
    }

    @Test
    void settingsThatCannotBeMeantAreRefused() {
        for (String issuer : List.of("", "id.example", "ftp://id.example", "https://id.example?a", "https://id.example#a",
                "https://id.example/../a", "https://id.example//a", "https://user@id.example", "https://id.example/%61")) {
            assertThrows(IllegalArgumentException.class, () -> Verifier.builder(issuer, "stock").keySource(tokens).build(), issuer);
        }
        assertThrows(IllegalArgumentException.class, () -> Verifier.builder(Tokens.ISSUER, "").build());
        assertThrows(IllegalArgumentException.class, () -> tokens.verifier().leeway(Duration.ofSeconds(-1)).build());
        assertThrows(IllegalArgumentException.class, () -> Verifier.builder(Tokens.ISSUER, "stock").jwksUri("/keys"));
    }

    @Test
    void aClosedVerifierLetsNobodyWait() {
        tokens.hold();
        Verifier verifier = tokens.verifier().build();
        CompletableFuture<Caller> call = verifier.verify(tokens.user(), ANY, "/m");
        verifier.close();
        assertEquals(Reason.UNAVAILABLE, reason(call));
        assertEquals(Reason.UNAVAILABLE, reason(verifier.verify(tokens.user(), ANY, "/m")));
        assertEquals(Reason.UNAVAILABLE, reason(verifier.authenticate(List.of(), ANY, "/m")));
        assertEquals(0, time.pending());
    }

    private static Reason reason(CompletableFuture<Caller> call) {
        Throwable failure = assertThrows(ExecutionException.class, () -> call.get(10, TimeUnit.SECONDS)).getCause();
        return ((Refusal) (failure instanceof CompletionException ? failure.getCause() : failure)).reason();
    }
}
