package com.example.signet.example;

import com.example.signet.sdk.GuardInterceptor;
import com.example.signet.sdk.Policy;
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
import io.grpc.InsecureServerCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import stock.v1.StockServiceGrpc;
import stock.v1.StockServiceGrpc.StockServiceBlockingStub;
import stock.v1.StockServiceOuterClass;
import stock.v1.StockServiceOuterClass.GetItemRequest;

/**
 * Measures what the guard costs: of a call whose token was seen before, beside a server without the guard, and of a new token, beside what
 * Nimbus takes for the same checks and for the signature alone. In turns, CPU time of the whole process.
 */
public final class Benchmark {
    private static final int ROUNDS = 7;

    /** Rounds before those that count, in which the JVM compiles. */
    private static final int WARM_UP = 5;

    private static final int CALLS = 4_000;
    private static final int TOKENS = 500;

    private Benchmark() {}

    /** What is measured. */
    @FunctionalInterface
    private interface Work {
        void run() throws Exception;
    }

    /**
     * Prints the medians.
     *
     * @param arguments none
     * @throws Exception if something does not work
     */
    public static void main(String[] arguments) throws Exception {
        TestIssuer issuer = TestIssuer.builder().time(TimeSource.system()).build();
        try (Verifier verifier = issuer.verifier("stock").build()) {
            calls(issuer, verifier);
            tokens(issuer, verifier);
        }
    }

    private static void calls(TestIssuer issuer, Verifier verifier) throws Exception {
        Policy policy = Policy.builder().file(StockServiceOuterClass.getDescriptor()).build();
        Server bare = start(Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create()));
        Server guarded = start(Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                .intercept(GuardInterceptor.of(verifier, policy)));
        String token = issuer.user("alice").audiences("stock").sign();
        ManagedChannel bareChannel = Grpc.newChannelBuilder("127.0.0.1:" + bare.getPort(), InsecureChannelCredentials.create()).build();
        ManagedChannel guardedChannel = Grpc.newChannelBuilder("127.0.0.1:" + guarded.getPort(), InsecureChannelCredentials.create()).build();
        // The token is sent to both, so that its header costs the same.
        double[] measured = inTurns(CALLS, calls(bareChannel, token), calls(guardedChannel, token));
        report("a call, without the guard", measured[0], measured[0]);
        report("a call, token seen before", measured[1], measured[0]);
        bareChannel.shutdownNow();
        guardedChannel.shutdownNow();
        bare.shutdownNow();
        guarded.shutdownNow();
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

    private static void tokens(TestIssuer issuer, Verifier verifier) throws Exception {
        JWKSet keys = JWKSet.parse(issuer.jwks());
        DefaultJWTProcessor<SecurityContext> nimbus = new DefaultJWTProcessor<>();
        nimbus.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt")));
        nimbus.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.ES256, new ImmutableJWKSet<>(keys)));
        nimbus.setJWTClaimsSetVerifier(new DefaultJWTClaimsVerifier<>(
                "stock", new JWTClaimsSet.Builder().issuer(issuer.issuer()).build(), Set.of("sub", "iat", "exp", "jti", "client_id", "scope")));
        ECDSAVerifier signature = new ECDSAVerifier(keys.getKeys().get(0).toECKey());
        Rule any = Rule.authenticated();
        double[] measured = inTurns(TOKENS, once(issuer, token -> SignedJWT.parse(token).verify(signature)),
                once(issuer, token -> nimbus.process(token, null)), once(issuer, token -> verifier.verify(token, any, "/m").join()));
        report("a new token, Nimbus, the signature alone", measured[0], measured[1]);
        report("a new token, Nimbus, the same checks", measured[1], measured[1]);
        report("a new token, the SDK", measured[2], measured[1]);
    }

    /** What is done with each new token. */
    @FunctionalInterface
    private interface Check {
        void of(String token) throws Exception;
    }

    /** Tokens that nobody has seen, made before the time is taken. */
    private static Work once(TestIssuer issuer, Check check) {
        List<List<String>> unseen = new ArrayList<>();
        for (int round = 0; round < WARM_UP + ROUNDS; round++) {
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

    /** The median of each in microseconds of CPU. */
    private static double[] inTurns(int times, Work... works) throws Exception {
        double[][] rounds = new double[works.length][ROUNDS];
        for (int round = -WARM_UP; round < ROUNDS; round++) {
            for (int turn = 0; turn < works.length; turn++) {
                int work = round % 2 == 0 ? turn : works.length - 1 - turn;
                long before = cpu();
                works[work].run();
                if (round >= 0) {
                    rounds[work][round] = (cpu() - before) / 1_000.0 / times;
                }
            }
        }
        double[] medians = new double[works.length];
        for (int work = 0; work < works.length; work++) {
            java.util.Arrays.sort(rounds[work]);
            medians[work] = rounds[work][ROUNDS / 2];
        }
        return medians;
    }

    private static long cpu() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    private static void report(String what, double micros, double beside) {
        System.out.printf("%-42s %8.1f us  %.2f x%n", what, micros, micros / beside);
    }

    private static Server start(ServerBuilder<?> builder) throws Exception {
        return builder.addService(new StockService(new Stock())).build().start();
    }
}
