package com.example.signet.example;

import com.example.signet.sdk.Rule;
import com.example.signet.sdk.TimeSource;
import com.example.signet.sdk.Verifier;
import com.example.signet.sdk.testing.TestIssuer;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.crypto.ECDSAVerifier;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.source.ImmutableJWKSet;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import stock.v1.StockServiceGrpc;
import stock.v1.StockServiceGrpc.StockServiceBlockingStub;
import stock.v1.StockServiceOuterClass.GetItemRequest;

/**
 * Measures what the guard costs. A call whose token was seen before, beside one to a server without the guard: CPU time of the server,
 * which is a process of its own. A new token, beside what Nimbus takes for the same checks and for the signature alone: CPU time of the one
 * thread. All in turns, the order alternating.
 */
public final class Benchmark {
    /** Rounds before those that count, in which the JVM compiles. */
    private static final int WARM_UP = 6;

    private static final int CALLS = 3_000;
    private static final int TOKENS = 500;
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

    private final int rounds;

    private Benchmark(int rounds) {
        this.rounds = rounds;
    }

    /** What is measured. */
    @FunctionalInterface
    private interface Work {
        void run() throws Exception;
    }

    /** Tells a CPU time in nanoseconds. */
    @FunctionalInterface
    private interface Clock {
        long now() throws Exception;
    }

    /** What is done with each new token. */
    @FunctionalInterface
    private interface Check {
        void of(String token) throws Exception;
    }

    /**
     * Prints medians.
     *
     * @param arguments {@code [--rounds N] [--json]}: 9 rounds by default; one object of JSON in place of text
     * @throws Exception if something does not work
     */
    public static void main(String[] arguments) throws Exception {
        List<String> options = List.of(arguments);
        int rounds = options.contains("--rounds") ? Integer.parseInt(options.get(options.indexOf("--rounds") + 1)) : 9;
        Benchmark benchmark = new Benchmark(rounds);
        double[][] calls = benchmark.calls();
        double[][] tokens = benchmark.tokens();
        String json = String.format(Locale.ROOT,
                "{\"language\": \"java\", \"rounds\": %d, \"call_us\": {\"unguarded\": %.1f, \"seen\": %.1f}, \"ratio_seen\": %s, "
                        + "\"token_us\": {\"new\": %.1f, \"library\": %.1f, \"signature\": %.1f}, \"ratio_new\": %s}",
                rounds, median(calls[0]), median(calls[1]), ratio(calls[1], calls[0]),
                median(tokens[2]), median(tokens[1]), median(tokens[0]), ratio(tokens[2], tokens[1]));
        if (options.contains("--json")) {
            System.out.println(json);
            return;
        }
        report("a call, without the guard", median(calls[0]), median(calls[0]));
        report("a call, token seen before", median(calls[1]), median(calls[0]));
        report("a new token, Nimbus, the signature alone", median(tokens[0]), median(tokens[1]));
        report("a new token, Nimbus, the same checks", median(tokens[1]), median(tokens[1]));
        report("a new token, the SDK", median(tokens[2]), median(tokens[1]));
    }

    private double[][] calls() throws Exception {
        try (BenchmarkServer server = BenchmarkServer.start()) {
            ManagedChannel bare = channel(server.bare());
            ManagedChannel guarded = channel(server.guarded());
            // The token is sent to both, so that its header costs the same.
            double[][] measured = inTurns(CALLS, server::cpu, calls(bare, server.token()), calls(guarded, server.token()));
            bare.shutdownNow();
            guarded.shutdownNow();
            return measured;
        }
    }

    private static ManagedChannel channel(int port) {
        return Grpc.newChannelBuilder("127.0.0.1:" + port, InsecureChannelCredentials.create()).build();
    }

    private static Work calls(ManagedChannel channel, String token) {
        StockServiceBlockingStub stub = StockServiceGrpc.newBlockingStub(channel).withCallCredentials(TestIssuer.bearer(token));
        GetItemRequest request = GetItemRequest.newBuilder().setName("bolt").build();
        return () -> {
            for (int call = 0; call < CALLS; call++) {
                stub.getItem(request);
            }
        };
    }

    private double[][] tokens() throws Exception {
        TestIssuer issuer = TestIssuer.builder().time(TimeSource.system()).build();
        JWKSet keys = JWKSet.parse(issuer.jwks());
        DefaultJWTProcessor<SecurityContext> nimbus = new DefaultJWTProcessor<>();
        nimbus.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt")));
        nimbus.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.ES256, new ImmutableJWKSet<>(keys)));
        nimbus.setJWTClaimsSetVerifier(new DefaultJWTClaimsVerifier<>(
                "stock", new JWTClaimsSet.Builder().issuer(issuer.issuer()).build(),
                Set.of("sub", "iat", "exp", "jti", "client_id", "scope")));
        ECDSAVerifier signature = new ECDSAVerifier(keys.getKeys().get(0).toECKey());
        Rule any = Rule.authenticated();
        try (Verifier verifier = issuer.verifier("stock").build()) {
            return inTurns(TOKENS, THREADS::getCurrentThreadCpuTime, once(issuer, token -> SignedJWT.parse(token).verify(signature)),
                    once(issuer, token -> nimbus.process(token, null)), once(issuer, token -> verifier.verify(token, any, "/m").join()));
        }
    }

    /** Tokens that nobody has seen, made before the time is taken. */
    private Work once(TestIssuer issuer, Check check) {
        List<List<String>> unseen = new ArrayList<>();
        for (int round = 0; round < WARM_UP + rounds; round++) {
            List<String> tokens = new ArrayList<>();
            for (int token = 0; token < TOKENS; token++) {
                tokens.add(issuer.user("alice").audiences("stock").scopes("stock:read").sign());
            }
            unseen.add(tokens);
        }
        return () -> {
            for (String token : unseen.remove(unseen.size() - 1)) {
                check.of(token);
            }
        };
    }

    /** Microseconds of CPU for one, of each work in each round. */
    private double[][] inTurns(int times, Clock clock, Work... works) throws Exception {
        double[][] measured = new double[works.length][rounds];
        for (int round = -WARM_UP; round < rounds; round++) {
            for (int turn = 0; turn < works.length; turn++) {
                int work = round % 2 == 0 ? turn : works.length - 1 - turn;
                long before = clock.now();
                works[work].run();
                if (round >= 0) {
                    measured[work][round] = (clock.now() - before) / 1_000.0 / times;
                }
            }
        }
        return measured;
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    /** The ratio of each round: its median, least and greatest. */
    private static String ratio(double[] of, double[] to) {
        double[] ratios = new double[of.length];
        for (int round = 0; round < of.length; round++) {
            ratios[round] = of[round] / to[round];
        }
        double least = Arrays.stream(ratios).min().orElseThrow();
        double greatest = Arrays.stream(ratios).max().orElseThrow();
        return String.format(Locale.ROOT, "{\"median\": %.3f, \"min\": %.3f, \"max\": %.3f}", median(ratios), least, greatest);
    }

    private static void report(String what, double micros, double beside) {
        System.out.printf("%-42s %8.1f us  %.2f x%n", what, micros, micros / beside);
    }
}
