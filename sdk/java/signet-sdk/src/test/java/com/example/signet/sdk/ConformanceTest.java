package com.example.signet.sdk;

import static com.example.signet.sdk.Conformance.file;
import static com.example.signet.sdk.Conformance.get;
import static com.example.signet.sdk.Conformance.list;
import static com.example.signet.sdk.Conformance.members;
import static com.example.signet.sdk.Conformance.time;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.google.rpc.RetryInfo;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Metadata;
import io.grpc.Status;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Runs the corpus that all SDKs share. */
class ConformanceTest {
    @TestFactory
    Stream<DynamicTest> server() {
        Map<String, Object> file = file("server.json");
        return Conformance.<Object>list(file, "cases").stream().map(Conformance::members)
                .map(one -> dynamicTest("server: " + one.get("name"), () -> new ServerCase(file, one).run()));
    }

    @TestFactory
    Stream<DynamicTest> refusedPolicies() {
        return Conformance.<Object>list(file("server.json"), "refused_policies").stream().map(Conformance::members)
                .map(one -> dynamicTest("policy: " + one.get("name"), () -> {
                    byte[] set = Conformance.policy((String) one.get("policy"));
                    assertThrows(IllegalArgumentException.class, () -> Policy.builder().descriptorSet(set).build());
                }));
    }

    @TestFactory
    Stream<DynamicTest> streams() {
        Map<String, Object> file = file("streams.json");
        return Conformance.<Object>list(file, "cases").stream().map(Conformance::members)
                .map(one -> dynamicTest("stream: " + one.get("name"), () -> new StreamCase(file, one).run()));
    }

    @TestFactory
    Stream<DynamicTest> jwks() {
        return Conformance.<Object>list(file("jwks.json"), "cases").stream().map(Conformance::members)
                .map(one -> dynamicTest("jwks: " + one.get("name"), () -> {
                    byte[] document = ((String) one.get("document")).getBytes(StandardCharsets.UTF_8);
                    if ("refused".equals(one.get("expect"))) {
                        assertThrows(KeySet.Unusable.class, () -> KeySet.read(document, KeySet.EMPTY));
                    } else {
                        assertEquals(one.get("expect"), List.copyOf(KeySet.read(document, KeySet.EMPTY).kids()));
                    }
                }));
    }

    @TestFactory
    Stream<DynamicTest> retries() {
        return Conformance.<Object>list(file("clients.json"), "retry").stream().map(Conformance::members)
                .map(one -> dynamicTest("retry: " + one.get("name"), () -> retry(one)));
    }

    @TestFactory
    Stream<DynamicTest> renewals() {
        return Conformance.<Object>list(file("clients.json"), "renew").stream().map(Conformance::members)
                .map(one -> dynamicTest("renew: " + one.get("lifetime") + " s, " + one.get("random"), () -> {
                    Duration lifetime = Duration.ofMillis(Math.round(number(one, "lifetime") * 1_000));
                    double renewed = TokenSource.renewAfter(lifetime, number(one, "random")).toNanos() / 1e9;
                    assertEquals(number(one, "renew_at"), renewed, 0.001);
                }));
    }

    @TestFactory
    Stream<DynamicTest> attachments() {
        return Conformance.<Object>list(file("clients.json"), "attach").stream().map(Conformance::members)
                .map(one -> dynamicTest("attach: " + one.get("name"), () -> {
                    String target = (String) one.get("target");
                    boolean allows = (Boolean) one.get("allow_plaintext");
                    CallTargets targets = allows ? CallTargets.allowingPlaintext("a test", target) : CallTargets.of(target);
                    String problem = targets.problem(
                            (String) one.get("authority"), (Boolean) one.get("secure"), (Boolean) one.get("peer_is_loopback"));
                    assertEquals(one.get("expect"), problem == null ? "attach" : "refuse");
                }));
    }

    private static double number(Map<String, Object> of, String name) {
        return ((Number) of.get(name)).doubleValue();
    }

    private static void retry(Map<String, Object> one) {
        Map<String, Object> call = members(one.get("call"));
        Map<String, Object> refusal = members(one.get("refusal"));
        Metadata trailers = new Metadata();
        byte[] details = Base64.getDecoder().decode((String) refusal.get("details"));
        if (details.length > 0) {
            trailers.put(Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER), details);
        }
        Status status = Status.fromCode(Status.Code.valueOf((String) refusal.get("code")));
        RetryProbe probe = new RetryProbe((String) call.get("method"), (String) call.get("audience"), "unary".equals(call.get("kind")));
        boolean isRetried = probe.isRetried(((Long) call.get("messages_received")).intValue(), status, trailers, (Long) one.get("attempt"));
        assertEquals(members(one.get("expect")).get("retry"), isRetried);
    }

    /** One case of {@code server.json}. */
    private record ServerCase(Map<String, Object> file, Map<String, Object> one) {
        void run() throws Exception {
            Instant now = time(get(one, "now", file.get("now")));
            List<Object> told = list(one, "told");
            Instant begin = told.isEmpty() ? now : time(members(told.get(0)).get("at"));
            // The keys were fetched so long ago that an unknown one has them fetched at once.
            ManualTime time = new ManualTime((begin.isBefore(now) ? begin : now).minusSeconds(10));
            boolean isFollowed = get(one, "followed", one.containsKey("told"));
            Revocations revocations = isFollowed ? Revocations.told(time) : null;
            Policy.Builder policy = Policy.builder().descriptorSet(Conformance.policy(get(one, "policy", "corpus")));
            Conformance.<String>list(one, "public_services").forEach(policy::publicService);
            try (Verifier verifier = builder(file, one, Conformance.keys(get(one, "jwks", "main")), time, revocations).build()) {
                for (Object each : told) {
                    time.advanceTo(time(members(each).get("at")));
                    revocations.tell(Conformance.message(members(each).get("message")));
                }
                time.advanceTo(now);
                FakeCall call = new FakeCall((String) one.get("method"), MethodType.UNARY);
                call.through(GuardInterceptor.of(verifier, policy.build()), list(one, "authorization"));
                time.advance(Duration.ZERO);
                call.await();
                compare(members(one.get("expect")), call);
            }
        }
    }

    /** One case of {@code streams.json}. */
    private record StreamCase(Map<String, Object> file, Map<String, Object> one) {
        void run() {
            Instant opened = time(one.get("opened"));
            List<Map<String, Object>> events = new ArrayList<>();
            list(one, "events").forEach(event -> events.add(members(event)));
            Instant begin = events.isEmpty() || !time(events.get(0).get("at")).isBefore(opened) ? opened : time(events.get(0).get("at"));
            ManualTime time = new ManualTime(begin);
            boolean isFollowed = get(one, "followed", !events.isEmpty());
            Revocations revocations = isFollowed ? Revocations.told(time) : null;
            Policy policy = Policy.builder().descriptorSet(Conformance.policy("corpus")).build();
            Map<String, Object> expect = members(one.get("expect"));
            Instant ends = expect.containsKey("ends_at") ? time(expect.get("ends_at")) : null;
            FakeCall call = new FakeCall((String) one.get("method"), MethodType.BIDI_STREAMING);
            try (Verifier verifier = builder(file, one, Conformance.keys("main"), time, revocations).build()) {
                for (Instant now = begin; !now.isAfter(time(one.get("until"))); now = now.plusSeconds(1)) {
                    time.advanceTo(now);
                    tell(revocations, events, now);
                    if (now.equals(opened)) {
                        call.through(GuardInterceptor.of(verifier, policy), list(one, "authorization"));
                        assertTrue(call.hasBegun());
                        time.advance(Duration.ZERO);
                    }
                    if (!now.isBefore(opened)) {
                        boolean isOver = ends != null && !now.isBefore(ends);
                        assertEquals(isOver, call.closed != null, "at " + now.getEpochSecond());
                        assertEquals(isOver, call.context.isCancelled());
                    }
                }
                if (ends != null) {
                    assertEquals(expect.get("code"), call.closed.getCode().name());
                    assertEquals(expect.get("reason"), call.info().getReason());
                    String audience = policy.access((String) one.get("method"), null).rule().audience().orElse(verifier.audience());
                    assertEquals(Map.of("audience", audience, "method", one.get("method")), call.info().getMetadataMap());
                    assertEquals(0, verifier.openStreams());
                }
            }
        }

        private static void tell(Revocations revocations, List<Map<String, Object>> events, Instant now) {
            events.stream()
                    .filter(event -> time(event.get("at")).equals(now) && event.containsKey("told"))
                    .forEach(event -> revocations.tell(Conformance.message(event.get("told"))));
        }
    }

    private static Verifier.Builder builder(
            Map<String, Object> file, Map<String, Object> one, KeySource keys, TimeSource time, Revocations revocations) {
        Verifier.Builder builder = Verifier.builder((String) file.get("issuer"), (String) get(one, "audience", file.get("audience")))
                .keySource(keys)
                .time(time)
                .random(() -> 0.5)
                .revocations(revocations)
                .tokenTypJwt(get(one, "token_typ_jwt", false))
                .whenStale("continue".equals(one.get("when_stale")) ? WhenStale.CONTINUE : WhenStale.REFUSE);
        seconds(one, "leeway").ifPresent(builder::leeway);
        seconds(one, "max_age").ifPresent(builder::revocationMaxAge);
        seconds(one, "grace").ifPresent(builder::streamGrace);
        if (one.get("introspection") instanceof Map<?, ?> answer) {
            List<String> roles = list(members(answer), "roles");
            Introspection.Answer answered = new Introspection.Answer((Boolean) answer.get("active"), roles);
            builder.introspection(token -> CompletableFuture.completedFuture(answered));
        }
        return builder;
    }

    private static java.util.Optional<Duration> seconds(Map<String, Object> one, String name) {
        return java.util.Optional.ofNullable((Number) one.get(name)).map(it -> Duration.ofMillis(Math.round(it.doubleValue() * 1_000)));
    }

    private static void compare(Map<String, Object> expect, FakeCall call) {
        if (!"OK".equals(expect.get("code"))) {
            assertNotNull(call.closed, "it passed");
            assertEquals(expect.get("code"), call.closed.getCode().name());
            assertEquals(expect.get("reason"), call.info().getReason());
            assertEquals(Refusal.DOMAIN, call.info().getDomain());
            assertEquals(expect.get("metadata"), call.info().getMetadataMap());
            RetryInfo retry = call.retry();
            assertEquals(expect.get("retry_info"), retry == null ? null : retry.getRetryDelay().getSeconds());
            return;
        }
        assertNull(call.closed, () -> "refused: " + call.info().getReason());
        assertTrue(call.hasBegun());
        if (expect.containsKey("caller")) {
            assertEquals(defaulted(members(expect.get("caller"))), told(call.caller));
        } else {
            assertNull(call.caller);
        }
    }

    private static Map<String, Object> defaulted(Map<String, Object> expected) {
        Map<String, Object> all = new TreeMap<>(expected);
        List.of("scopes", "roles", "groups", "amr", "audiences").forEach(name -> all.putIfAbsent(name, List.of()));
        all.putIfAbsent("attributes", Map.of());
        return all;
    }

    private static Map<String, Object> told(Caller caller) {
        Map<String, Object> all = new TreeMap<>(Map.of(
                "kind", caller.kind().label(), "id", caller.id(), "client_id", caller.clientId(), "audiences", caller.audiences(),
                "scopes", caller.scopes(), "roles", caller.roles(), "groups", caller.groups(), "amr", caller.amr(),
                "attributes", caller.attributes()));
        caller.sessionId().ifPresent(id -> all.put("session_id", id));
        caller.authTime().ifPresent(at -> all.put("auth_time", at.getEpochSecond()));
        caller.acr().ifPresent(acr -> all.put("acr", acr));
        return all;
    }
}
