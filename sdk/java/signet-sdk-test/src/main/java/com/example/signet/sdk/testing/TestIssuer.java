package com.example.signet.sdk.testing;

import com.example.signet.identity.events.v1.Changes;
import com.example.signet.identity.events.v1.EndedClient;
import com.example.signet.identity.events.v1.Heartbeat;
import com.example.signet.identity.events.v1.Snapshot;
import com.example.signet.identity.events.v1.TakenScopes;
import com.example.signet.identity.events.v1.WatchResponse;
import com.example.signet.sdk.KeySource;
import com.example.signet.sdk.ManualTime;
import com.example.signet.sdk.Revocations;
import com.example.signet.sdk.TimeSource;
import com.example.signet.sdk.Verifier;
import com.google.protobuf.Duration;
import com.google.protobuf.Timestamp;
import com.nimbusds.jose.util.JSONObjectUtils;
import io.grpc.CallCredentials;
import io.grpc.Metadata;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/**
 * An issuer in the process, without a network: it makes keys and tokens, turns the clock, and revokes.
 *
 * <pre>{@code
 * TestIssuer issuer = TestIssuer.create();
 * Verifier verifier = issuer.verifier("stock").build();
 * String token = issuer.user("alice").audiences("stock").scopes("stock:write").sign();
 * issuer.revokeSession("alice");
 * }</pre>
 *
 * <p>Ids are UUIDs. Where one is asked for, a name will do, too: {@link #id} tells the id that always stands for it. Not for production:
 * whoever has the object can sign.
 */
public final class TestIssuer {
    private static final long BEAT_SECONDS = 10;
    private static final long KEEP_FOR_SECONDS = 86_400;

    private final String issuer;
    private final TestAlgorithm algorithm;
    private final TimeSource time;
    private final List<Revocations> told = new ArrayList<>();
    private final List<SigningKey> published = new ArrayList<>();
    private final List<WatchResponse> snapshot = new ArrayList<>();
    private SigningKey signing;

    private TestIssuer(Builder from) {
        issuer = from.issuer;
        algorithm = from.algorithm;
        time = from.time;
        signing = SigningKey.generate(algorithm);
        published.add(signing);
    }

    /**
     * An issuer {@code https://issuer.invalid} that signs by ES256, with a clock that stands still until it is turned.
     *
     * @return the issuer
     */
    public static TestIssuer create() {
        return builder().build();
    }

    /**
     * What makes an issuer of another name, algorithm or clock.
     *
     * @return a builder
     */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * The id that stands for a name.
     *
     * @param name a name, or a UUID, which stands for itself
     * @return a UUID as text
     */
    public static String id(String name) {
        return Ids.of(name);
    }

    /**
     * Its name, {@code iss} of its tokens.
     *
     * @return a URL
     */
    public String issuer() {
        return issuer;
    }

    /**
     * The clock of the issuer and of its verifiers.
     *
     * @return a {@link ManualTime} unless another was given
     */
    public TimeSource time() {
        return time;
    }

    /**
     * Turns the clock; heartbeats come meanwhile, so that it stays known what was revoked.
     *
     * @param by how far
     * @throws IllegalStateException if the clock is not turned by hand
     */
    public void advance(java.time.Duration by) {
        if (!(time instanceof ManualTime manual)) {
            throw new IllegalStateException("the clock of this issuer is not turned by hand");
        }
        manual.advance(by);
    }

    // ===== tokens =====

    /**
     * A token of a user. Its session has the id that stands for the same name, and its client the one that stands for {@code app}.
     *
     * @param user the user's id, or a name that stands for one
     * @return what makes the token; it needs an audience
     */
    public TestToken user(String user) {
        Map<String, Object> claims = new LinkedHashMap<>();
        claims.put("sub", id(user));
        claims.put("sid", id(user));
        claims.put("client_id", id("app"));
        claims.put("amr", List.of("pwd"));
        claims.put("auth_time", time.now().getEpochSecond());
        return new TestToken(this, claims);
    }

    /**
     * A client's own token.
     *
     * @param client the client's id, or a name that stands for one
     * @return what makes the token; it needs an audience
     */
    public TestToken client(String client) {
        Map<String, Object> claims = new LinkedHashMap<>();
        claims.put("sub", id(client));
        claims.put("client_id", id(client));
        return new TestToken(this, claims);
    }

    /**
     * Credentials of calls that show a token, whatever the channel is.
     *
     * @param token the token
     * @return the credentials
     */
    public static CallCredentials bearer(String token) {
        return new CallCredentials() {
            @Override
            public void applyRequestMetadata(RequestInfo call, Executor executor, MetadataApplier applier) {
                Metadata headers = new Metadata();
                headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
                applier.apply(headers);
            }
        };
    }

    // ===== verifiers =====

    /**
     * What makes a verifier that trusts this issuer, has its clock, and is told what it revokes.
     *
     * @param audience whom tokens must be meant for
     * @return a builder, of which other settings can be changed
     */
    public Verifier.Builder verifier(String audience) {
        return Verifier.builder(issuer, audience).keySource(keySource()).time(time).revocations(revocations());
    }

    /**
     * Its keys, as a source of a verifier.
     *
     * @return a source that answers at once
     */
    public KeySource keySource() {
        return () -> CompletableFuture.completedFuture(new KeySource.Answer(jwks().getBytes(StandardCharsets.UTF_8), null));
    }

    /**
     * Its keys as a JWK Set (RFC 7517 section 5), for verifiers that fetch it over HTTP.
     *
     * @return JSON
     */
    public synchronized String jwks() {
        return JSONObjectUtils.toJSONString(Map.of("keys", published.stream().map(SigningKey::jwk).toList()));
    }

    /**
     * Its metadata (RFC 8414), for verifiers that fetch them over HTTP.
     *
     * @return JSON, whose {@code jwks_uri} is the issuer and {@code /jwks.json}
     */
    public String metadata() {
        return JSONObjectUtils.toJSONString(Map.of("issuer", issuer, "jwks_uri", issuer + "/jwks.json"));
    }

    /**
     * What it revokes, told as Signet's stream would tell it.
     *
     * @return revocations that are complete, and stay up to date
     */
    public synchronized Revocations revocations() {
        Revocations revocations = Revocations.told(time);
        snapshot.forEach(revocations::tell);
        revocations.tell(WatchResponse.newBuilder()
                .setSnapshot(Snapshot.newBuilder()
                        .setIsLast(true)
                        .setKeepFor(Duration.newBuilder().setSeconds(KEEP_FOR_SECONDS)))
                .build());
        told.add(revocations);
        if (told.size() == 1) {
            beat();
        }
        return revocations;
    }

    // ===== what changes =====

    /** Signs by another key from now on; tokens of the one before stay good. */
    public synchronized void rotateKey() {
        signing = SigningKey.generate(algorithm);
        published.add(signing);
        tell(Changes.newBuilder().setKeysChanged(true).build());
    }

    /** Signs by another key from now on, and takes the ones before out of force. */
    public synchronized void revokeKeys() {
        published.clear();
        rotateKey();
    }

    /**
     * Ends a session: tokens of it are revoked.
     *
     * @param session its id, or the name of its user
     */
    public void revokeSession(String session) {
        tell(Changes.newBuilder().addEndedSessions(id(session)).build());
    }

    /**
     * Disables a client: its own tokens and those of its users that were issued until now are revoked.
     *
     * @param client its id, or a name that stands for one
     */
    public void revokeClient(String client) {
        tell(Changes.newBuilder().addEndedClients(EndedClient.newBuilder().setClientId(id(client)).setTime(now())).build());
    }

    /**
     * Takes scopes from a user or a client: its tokens for the audience with one of them that were issued until now are revoked.
     *
     * @param subject its id, or a name that stands for one
     * @param audience the audience
     * @param scopes the scopes
     */
    public void takeScopes(String subject, String audience, String... scopes) {
        TakenScopes.Builder taken = TakenScopes.newBuilder()
                .setSubject(id(subject)).setAudience(audience).addAllScopes(List.of(scopes)).setTime(now());
        tell(Changes.newBuilder().addTakenScopes(taken).build());
    }

    /**
     * Tells something else, as Signet's stream would.
     *
     * @param changes what has changed
     */
    public void tell(Changes changes) {
        tellAll(WatchResponse.newBuilder().setChanges(changes).build());
    }

    synchronized SigningKey signingKey() {
        return signing;
    }

    private void tellAll(WatchResponse message) {
        List<Revocations> all;
        synchronized (this) {
            if (message.hasChanges()) {
                snapshot.add(message);
            }
            all = List.copyOf(told);
        }
        all.forEach(revocations -> revocations.tell(message));
    }

    private void beat() {
        time.schedule(java.time.Duration.ofSeconds(BEAT_SECONDS), () -> {
            tellAll(WatchResponse.newBuilder().setHeartbeat(Heartbeat.getDefaultInstance()).build());
            beat();
        });
    }

    private Timestamp now() {
        Instant now = time.now();
        return Timestamp.newBuilder().setSeconds(now.getEpochSecond()).setNanos(now.getNano()).build();
    }

    /** Makes a {@link TestIssuer}. */
    public static final class Builder {
        private String issuer = "https://issuer.invalid";
        private TestAlgorithm algorithm = TestAlgorithm.ES256;
        private TimeSource time = new ManualTime(Instant.now().truncatedTo(ChronoUnit.SECONDS));

        private Builder() {}

        /**
         * Another name, as where the keys are fetched over HTTP.
         *
         * @param url the name
         * @return this
         */
        public Builder issuer(String url) {
            issuer = url;
            return this;
        }

        /**
         * Another algorithm than ES256.
         *
         * @param signedBy the algorithm
         * @return this
         */
        public Builder algorithm(TestAlgorithm signedBy) {
            algorithm = signedBy;
            return this;
        }

        /**
         * Another clock.
         *
         * @param clock the clock, such as {@link TimeSource#system} where others verify that have the system's
         * @return this
         */
        public Builder time(TimeSource clock) {
            time = clock;
            return this;
        }

        /**
         * Makes the issuer, and its first key.
         *
         * @return the issuer
         */
        public TestIssuer build() {
            return new TestIssuer(this);
        }
    }
}
