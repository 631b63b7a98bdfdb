package com.example.signet.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.example.signet.identity.v1.IssueTokenRequest;
import com.nimbusds.jose.crypto.ECDSAVerifier;
import com.nimbusds.jwt.SignedJWT;
import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.SecurityLevel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.ServerSocket;
import java.net.SocketAddress;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Getting and renewing tokens, of a Signet on a real connection, with a clock that is turned by hand. */
class TokenSourceTest {
    private final ManualTime time = new ManualTime(Instant.ofEpochSecond(1_800_000_000));
    private final FakeSignet signet = new FakeSignet();
    private final SignetServers servers = signet.servers();

    @AfterEach
    void stop() {
        servers.close();
        signet.close();
    }

    @Test
    void allWhoNeedATokenShareOneRequest() throws Exception {
        CountDownLatch hold = new CountDownLatch(1);
        signet.answers = request -> {
            await(hold);
            return signet.token(900);
        };
        TokenSource source = source().build();
        List<CompletableFuture<AccessToken>> calls = new ArrayList<>();
        for (int call = 0; call < 100; call++) {
            calls.add(source.token());
        }
        hold.countDown();
        Set<AccessToken> got = new HashSet<>();
        for (CompletableFuture<AccessToken> call : calls) {
            got.add(get(call));
        }
        assertEquals(1, got.size());
        assertEquals(1, signet.issued.get());
        assertFalse(got.iterator().next().toString().contains("token-1"));
    }

    @Test
    void itIsRenewedInTheBackgroundAndCallsGoOnMeanwhile() throws Exception {
        TokenSource source = source().build();
        AccessToken first = get(source.token());
        time.advance(Duration.ofSeconds(719));
        assertEquals(first, get(source.token()));
        assertEquals(1, signet.issued.get());
        CountDownLatch hold = new CountDownLatch(1);
        signet.answers = request -> {
            await(hold);
            return signet.token(900);
        };
        time.advance(Duration.ofSeconds(1));
        CompletableFuture<AccessToken> during = source.token();
        assertTrue(during.isDone(), "it does not wait");
        assertEquals(first, get(during));
        hold.countDown();
        time.advance(Duration.ofSeconds(180));
        assertEquals("token-2", get(source.token()).value());
    }

    @Test
    void whileSignetIsAwayTheOldTokenIsGoodUntilItExpires() throws Exception {
        TokenSource source = source().build();
        AccessToken first = get(source.token());
        signet.answers = request -> {
            throw Status.UNAVAILABLE.asRuntimeException();
        };
        time.advance(Duration.ofSeconds(899));
        for (int call = 0; call < 10; call++) {
            assertEquals(first, get(source.token()));
        }
        time.advance(Duration.ofSeconds(1));
        assertEquals(Status.Code.UNAVAILABLE, failure(source.token()).getStatus().getCode());
        signet.answers = request -> signet.token(900);
        time.advance(Duration.ofSeconds(30));
        assertEquals("token-2", get(source.token()).value());
    }

    @Test
    void failuresAreFollowedByPausesThatDouble() throws Exception {
        signet.answers = request -> {
            throw Status.UNAVAILABLE.asRuntimeException();
        };
        TokenSource source = source().build();
        int asked = 0;
        for (long pause : new long[] {0, 750, 1_500, 3_000, 6_000, 12_000, 22_500, 22_500}) {
            if (pause > 0) {
                time.advance(Duration.ofMillis(pause - 1));
                failure(source.token());
                assertEquals(asked, signet.asked.size(), "it pauses");
                time.advance(Duration.ofMillis(1));
            }
            failure(source.token());
            assertEquals(++asked, signet.asked.size());
        }
    }

    @Test
    void aPauseThatSignetAsksForCountsUpToAMinute() throws Exception {
        for (long told : new long[] {20, 9 * 3_600, Long.MAX_VALUE}) {
            signet.answers = request -> {
                throw FakeSignet.overloaded(told);
            };
            TokenSource source = source().build();
            failure(source.token());
            signet.asked.clear();
            time.advance(Duration.ofSeconds(Math.min(told, 60)).minusMillis(1));
            failure(source.token());
            assertEquals(0, signet.asked.size(), "it pauses");
            time.advance(Duration.ofMillis(1));
            failure(source.token());
            assertEquals(1, signet.asked.size());
        }
    }

    @Test
    void aFinalRefusalIsHandedUpAsItIsAndNotAskedAgainForTenSeconds() throws Exception {
        signet.answers = request -> {
            throw FakeSignet.refusal(Status.Code.UNAUTHENTICATED, "INVALID_CLIENT");
        };
        TokenSource source = source().build();
        for (int call = 0; call < 5; call++) {
            StatusRuntimeException failure = failure(source.token());
            assertEquals(Status.Code.UNAUTHENTICATED, failure.getStatus().getCode());
            assertEquals("refused", failure.getStatus().getDescription(), "the words of Signet");
            assertTrue(StatusProto.fromThrowable(failure).toString().contains("INVALID_CLIENT"));
        }
        assertEquals(1, signet.asked.size());
        signet.answers = request -> {
            throw FakeSignet.refusal(Status.Code.INVALID_ARGUMENT, "INVALID_SCOPE");
        };
        time.advance(Duration.ofSeconds(10));
        StatusRuntimeException failure = failure(source.token());
        assertEquals(Status.Code.UNAUTHENTICATED, failure.getStatus().getCode());
        assertTrue(StatusProto.fromThrowable(failure).toString().contains("INVALID_SCOPE"));
    }

    @Test
    void whichRefusalsAreFinal() throws Exception {
        Set<Status.Code> finals = Set.of(Status.Code.INVALID_ARGUMENT, Status.Code.UNAUTHENTICATED, Status.Code.PERMISSION_DENIED,
                Status.Code.FAILED_PRECONDITION, Status.Code.NOT_FOUND);
        for (Status.Code code : Status.Code.values()) {
            assertEquals(finals.contains(code), TokenRefusal.isFinal(code.toStatus().asRuntimeException()), code.name());
        }
    }

    @Test
    void theNextReplicaIsAskedIfOneIsAway() throws Exception {
        FakeSignet gone = new FakeSignet();
        String address = gone.address();
        gone.close();
        try (SignetServers both = SignetServers.of(address, signet.address())) {
            TokenSource source = TokenSource.builder(both, "stock").clientSecret("id", "secret").build();
            assertEquals("token-1", get(source.token()).value());
        }
    }

    @Test
    void whatIsAskedForIsSaid() throws Exception {
        get(source().scopes("a", "b").build().token());
        IssueTokenRequest asked = signet.asked.take();
        assertEquals("a b", asked.getScope());
        assertEquals(List.of("stock"), asked.getAudiencesList());
        assertEquals("secret", asked.getClient().getClientSecret());
        get(TokenSource.builder(servers, "stock").certificate("id").build().token());
        assertEquals("id", signet.asked.take().getClient().getClientId());
        assertThrows(IllegalArgumentException.class, () -> TokenSource.builder(servers, "stock").build());
        assertThrows(NullPointerException.class, () -> TokenSource.builder(servers, "stock").clientSecret(null, "secret"));
        assertThrows(NullPointerException.class, () -> TokenSource.builder(servers, "stock").clientSecret("id", null));
    }

    @Test
    void aClientSignsEachAssertionAnew() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        KeyPair pair = generator.generateKeyPair();
        TokenSource source = TokenSource.builder(servers, "stock").time(time)
                .privateKeyJwt("client", "https://id.example", pair.getPrivate(), "k1").build();
        Set<String> ids = new HashSet<>();
        for (int call = 0; call < 2; call++) {
            source.drop(get(source.token()));
            SignedJWT assertion = SignedJWT.parse(signet.asked.take().getClient().getClientAssertion());
            assertTrue(assertion.verify(new ECDSAVerifier((ECPublicKey) pair.getPublic())));
            assertEquals("client-authentication+jwt", assertion.getHeader().getType().getType());
            assertEquals("k1", assertion.getHeader().getKeyID());
            assertEquals(List.of("https://id.example"), assertion.getJWTClaimsSet().getAudience());
            assertEquals("client", assertion.getJWTClaimsSet().getIssuer());
            assertEquals("client", assertion.getJWTClaimsSet().getSubject());
            assertEquals(time.now().plusSeconds(60), assertion.getJWTClaimsSet().getExpirationTime().toInstant());
            ids.add(assertion.getJWTClaimsSet().getJWTID());
        }
        assertEquals(2, ids.size());
        KeyPair odd = KeyPairGenerator.getInstance("X25519").generateKeyPair();
        assertThrows(IllegalArgumentException.class,
                () -> TokenSource.builder(servers, "stock").privateKeyJwt("c", "https://id.example", odd.getPrivate(), null));
    }

    @Test
    void theNextRefreshTokenIsStoredBeforeTheAccessTokenIsUsed() throws Exception {
        signet.answers = request -> signet.token(900).toBuilder()
                .setRefreshToken("after " + request.getRefreshToken().getRefreshToken()).build();
        List<String> stored = new ArrayList<>();
        CompletableFuture<Void> storing = new CompletableFuture<>();
        TokenSource source = TokenSource.builder(servers, "stock").time(time).random(() -> 0.5)
                .refreshToken("first", next -> {
                    stored.add(next);
                    return stored.size() == 1 ? storing : CompletableFuture.completedFuture(null);
                }).build();
        CompletableFuture<AccessToken> call = source.token();
        signet.asked.take();
        assertFalse(call.isDone());
        storing.completeExceptionally(new IllegalStateException("the disk is full"));
        assertEquals(Status.Code.UNAVAILABLE, failure(call).getStatus().getCode());
        time.advance(Duration.ofSeconds(1));
        assertEquals("token-1", get(source.token()).value());
        assertEquals(1, signet.issued.get(), "the old one is not exchanged again");
        assertEquals(List.of("after first", "after first"), stored);
        time.advance(Duration.ofSeconds(900));
        get(source.token());
        assertEquals("after first", signet.asked.take().getRefreshToken().getRefreshToken());
    }

    @Test
    void aStoreThatTakesTenSecondsHasFailed() throws Exception {
        signet.answers = request -> signet.token(900).toBuilder().setRefreshToken("next").build();
        List<CompletableFuture<Void>> stores = new CopyOnWriteArrayList<>();
        TokenSource source = TokenSource.builder(servers, "stock").time(time).random(() -> 0.5)
                .refreshToken("first", next -> {
                    stores.add(new CompletableFuture<>());
                    return stores.get(stores.size() - 1);
                }).build();
        CompletableFuture<AccessToken> call = source.token();
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            while (time.pending() == 0) {
                Thread.onSpinWait();
            }
        });
        time.advance(Duration.ofMillis(9_999));
        assertFalse(call.isDone());
        time.advance(Duration.ofMillis(1));
        assertEquals("no access token could be got: the next refresh token is not stored", failure(call).getStatus().getDescription());
        time.advance(Duration.ofSeconds(1));
        CompletableFuture<AccessToken> next = source.token();
        assertEquals(2, stores.size(), "it is stored again");
        stores.get(1).complete(null);
        assertEquals("token-1", get(next).value());
        assertEquals(0, time.pending());
    }

    @Test
    void anAnswerThatIsStoredLateGivesATokenThatLives() throws Exception {
        signet.answers = request -> signet.token(900).toBuilder()
                .setRefreshToken("after " + request.getRefreshToken().getRefreshToken()).build();
        List<String> stored = new ArrayList<>();
        TokenSource source = TokenSource.builder(servers, "stock").time(time).random(() -> 0.5)
                .refreshToken("first", next -> {
                    stored.add(next);
                    return stored.size() < 100
                            ? CompletableFuture.failedFuture(FakeSignet.refusal(Status.Code.INVALID_ARGUMENT, "OF_THE_STORE"))
                            : CompletableFuture.completedFuture(null);
                }).build();
        while (stored.size() < 99) {
            assertEquals(Status.Code.UNAVAILABLE, failure(source.token()).getStatus().getCode());
            time.advance(Duration.ofSeconds(30));
        }
        assertEquals(1, signet.issued.get(), "for 50 minutes");
        assertEquals("token-2", get(source.token()).value(), "the first has expired meanwhile");
        signet.asked.take();
        assertEquals("after first", signet.asked.take().getRefreshToken().getRefreshToken());
    }

    @Test
    void aRefreshTokenBelongsToOneSource() throws Exception {
        RefreshTokenStore stores = next -> CompletableFuture.completedFuture(null);
        TokenSource.Builder builder = TokenSource.builder(servers, "stock").refreshToken("first", stores);
        get(builder.build().token());
        assertThrows(IllegalStateException.class, builder::build);
        get(builder.refreshToken("another", stores).build().token());
        TokenSource.Builder client = source();
        get(client.build().token());
        get(client.build().token());
    }

    @Test
    void whyThereIsNoTokenIsTheCause() {
        TokenSource source = source().build();
        signet.answers = request -> {
            throw FakeSignet.refusal(Status.Code.UNAUTHENTICATED, "INVALID_CLIENT");
        };
        StatusRuntimeException refused = failure(source.token());
        assertTrue(StatusProto.fromThrowable(refused.getCause()).toString().contains("INVALID_CLIENT"));
        IllegalStateException full = new IllegalStateException("the disk is full");
        signet.answers = request -> signet.token(900).toBuilder().setRefreshToken("next").build();
        TokenSource ofUser = TokenSource.builder(servers, "stock")
                .refreshToken("first", next -> CompletableFuture.failedFuture(full)).build();
        StatusRuntimeException unstored = failure(ofUser.token());
        assertEquals(full, unstored.getCause().getCause());
        servers.close();
        StatusRuntimeException closed = failure(source().build().token());
        assertEquals("no access token could be got: the channels to Signet are closed", closed.getStatus().getDescription());
    }

    @Test
    void eachReplicaGetsAnAssertionOfItsOwn() throws Exception {
        KeyPair pair = KeyPairGenerator.getInstance("Ed25519").generateKeyPair();
        try (FakeSignet away = new FakeSignet(); SignetServers both = SignetServers.of(away.address(), signet.address())) {
            away.answers = request -> {
                throw Status.UNAVAILABLE.asRuntimeException();
            };
            get(TokenSource.builder(both, "stock").privateKeyJwt("client", "https://id.example", pair.getPrivate(), null).build().token());
            Set<String> ids = new HashSet<>();
            for (FakeSignet asked : List.of(away, signet)) {
                String assertion = asked.asked.take().getClient().getClientAssertion();
                ids.add(SignedJWT.parse(assertion).getJWTClaimsSet().getJWTID());
            }
            assertEquals(2, ids.size());
        }
    }

    @Test
    void anExchangeThatWasRepeatedLateIsMadeOnceMore() throws Exception {
        signet.answers = request -> signet.token(signet.issued.get() == 0 ? 0 : 900).toBuilder()
                .setRefreshToken("next " + signet.issued.get()).build();
        TokenSource source = TokenSource.builder(servers, "stock").time(time)
                .refreshToken("first", next -> CompletableFuture.completedFuture(null), "client", null).build();
        assertEquals("token-2", get(source.token()).value());
        assertEquals("first", signet.asked.take().getRefreshToken().getRefreshToken());
        assertEquals("next 1", signet.asked.take().getRefreshToken().getRefreshToken());
    }

    @Test
    void secretsGoOverPlaintextOnlyToThisMachine() {
        assertThrows(IllegalArgumentException.class,
                () -> SignetServers.with(io.grpc.InsecureChannelCredentials.create(), "id.example:50051"));
        assertThrows(IllegalArgumentException.class, () -> SignetServers.allowPlaintext(" ", "id.example:50051"));
        SignetServers.allowPlaintext("the sidecar encrypts", "id.example:50051").close();
        for (String here : List.of("127.0.0.1:1", "dns:///127.9.9.9:1", "[::1]:1", "localhost:1", "LOCALHOST:1")) {
            assertTrue(Addresses.isLoopback(here), here);
        }
        for (String there : List.of("10.0.0.1:1", "localhost.example:1", "[::2]:1", "0.0.0.0:1", "127.0.0.1.example:1")) {
            assertFalse(Addresses.isLoopback(there), there);
        }
    }

    @Test
    void aTokenGoesOverPlaintextOnlyToThisMachineByPeerAndByName() throws Exception {
        TokenSource source = source().build();
        get(source.token());
        SocketAddress here = new InetSocketAddress("127.0.0.1", 3128);
        SocketAddress there = new InetSocketAddress("192.0.2.1", 443);
        assertTrue(isAttached(source, "localhost:443", here));
        assertFalse(isAttached(source, "localhost:443", there), "where the name leads elsewhere");
        assertFalse(isAttached(source, "stock.example:443", here), "by a proxy on this machine");
        assertFalse(isAttached(source, "localhost:443", null));
    }

    @Test
    void aProxyIsNotAskedForPlaintext() throws Exception {
        ProxySelector before = ProxySelector.getDefault();
        try (ServerSocket proxy = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            ProxySelector.setDefault(ProxySelector.of(new InetSocketAddress(proxy.getInetAddress(), proxy.getLocalPort())));
            assertEquals("token-1", get(source().build().token()).value());
        } finally {
            ProxySelector.setDefault(before);
        }
    }

    @Test
    void secretsGoOverPlaintextOnlyToThisMachineByPeerAndByName() {
        SocketAddress here = new InetSocketAddress("127.0.0.1", 3128);
        SocketAddress there = new InetSocketAddress("192.0.2.1", 443);
        assertTrue(mayGo(new PlaintextCheck(), "localhost:50051", here));
        assertFalse(mayGo(new PlaintextCheck(), "localhost:50051", there));
        assertFalse(mayGo(new PlaintextCheck(), "id.example:50051", here));
    }

    private static boolean isAttached(TokenSource source, String authority, SocketAddress peer) {
        return mayGo(new TokenCredentials(source, CallTargets.of(authority)), authority, peer);
    }

    private static boolean mayGo(CallCredentials credentials, String authority, SocketAddress peer) {
        CompletableFuture<Boolean> attached = new CompletableFuture<>();
        var asked = RetryProbe.info(null, authority, SecurityLevel.NONE, peer);
        credentials.applyRequestMetadata(asked, Runnable::run, new CallCredentials.MetadataApplier() {
            @Override
            public void apply(Metadata headers) {
                attached.complete(true);
            }

            @Override
            public void fail(Status status) {
                attached.complete(false);
            }
        });
        return attached.join();
    }

    private TokenSource.Builder source() {
        return TokenSource.builder(servers, "stock").clientSecret("id", "secret").time(time).random(() -> 0.5);
    }

    private static AccessToken get(CompletableFuture<AccessToken> call) throws Exception {
        return call.get(20, TimeUnit.SECONDS);
    }

    private static StatusRuntimeException failure(CompletableFuture<AccessToken> call) {
        return (StatusRuntimeException) assertThrows(ExecutionException.class, () -> get(call)).getCause();
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }
}
