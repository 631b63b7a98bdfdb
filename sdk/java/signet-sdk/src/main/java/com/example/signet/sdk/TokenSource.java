package com.example.signet.sdk;

import com.example.signet.identity.v1.ClientAuthentication;
import com.example.signet.identity.v1.IssueTokenRequest;
import com.example.signet.identity.v1.IssueTokenResponse;
import io.grpc.ClientInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.security.PrivateKey;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.function.DoubleSupplier;
import java.util.function.Supplier;

/**
 * Gets access tokens for one audience, keeps the newest, and renews it before it expires: at 75 to 85 % of its life, in the background of a
 * call. At most one request goes on at a time, and calls go on with the old token while it lives.
 *
 * <pre>{@code
 * TokenSource tokens = TokenSource.builder(SignetServers.of("id.example:50051"), "stock").clientSecret(id, secret).build();
 * Channel channel = ClientInterceptors.intercept(stockChannel, tokens.interceptor("stock.example:443"));
 * }</pre>
 */
public final class TokenSource {
    private static final Backoff RETRY = new Backoff(Duration.ofSeconds(1), Duration.ofSeconds(30));

    /** How long after a final refusal Signet is not asked again. */
    private static final Duration FINAL_PAUSE = Duration.ofSeconds(10);

    /** How long after a refused token was forgotten no other one is (docs/EVENTS.md, "What callers see"). */
    private static final Duration DROP_PAUSE = Duration.ofSeconds(7);

    /** How long {@code store} may take: what takes longer counts as failed. */
    private static final Duration STORE_TIMEOUT = Duration.ofSeconds(10);

    /** How often an exchange is made anew whose access token has expired already. */
    private static final int MAX_EXCHANGES = 2;

    private final SignetServers servers;
    private final String audience;
    private final List<String> scopes;
    private final Grants grants;
    private final TimeSource time;
    private final DoubleSupplier random;
    private final SafeHooks hooks;

    // Guarded by `this`.
    private AccessToken current;
    private CompletableFuture<AccessToken> asking;
    private StatusRuntimeException failure;
    private int failures;
    private long askAgainAt;
    private boolean hasDropped;
    private long droppedAt;

    /** What was answered, while its refresh token is not stored yet: the one before is not exchanged again. */
    private Issued unstored;

    private TokenSource(Builder from) {
        servers = from.servers;
        audience = from.audience;
        scopes = from.scopes;
        grants = from.grants;
        time = from.time;
        random = from.random;
        hooks = new SafeHooks(from.hooks);
    }

    /**
     * What makes a source. It needs one of the grants.
     *
     * @param servers where Signet is; it stays open
     * @param audience the service that the tokens are for
     * @return a builder
     */
    public static Builder builder(SignetServers servers, String audience) {
        return new Builder(servers, audience);
    }

    /**
     * The service that the tokens are for.
     *
     * @return its name
     */
    public String audience() {
        return audience;
    }

    /**
     * A token that is good now: at once if there is one, else when Signet has answered.
     *
     * @return the token; fails with a {@link StatusRuntimeException}: UNAUTHENTICATED with Signet's own reason if it has refused for good,
     *     UNAVAILABLE if it does not answer
     */
    public CompletableFuture<AccessToken> token() {
        CompletableFuture<AccessToken> begun = null;
        CompletableFuture<AccessToken> answer;
        synchronized (this) {
            long now = time.nanos();
            boolean isLive = current != null && current.isLive(now);
            if (isLive && !current.isDue(now)) {
                return CompletableFuture.completedFuture(current);
            }
            boolean mayAsk = failures == 0 || now - askAgainAt >= 0;
            if (asking == null && mayAsk) {
                asking = new CompletableFuture<>();
                begun = asking;
            }
            if (isLive) {
                answer = CompletableFuture.completedFuture(current);
            } else {
                answer = asking != null ? asking.copy() : CompletableFuture.failedFuture(failure);
            }
        }
        if (begun != null) {
            ask(begun);
        }
        return answer;
    }

    /**
     * Attaches tokens to calls to the named targets, and to no others: there the call fails. Calls that the service refuses for a token
     * that has expired or was revoked are made once more, if they are unary.
     *
     * @param targets the targets of the channels, such as {@code stock.example:443}
     * @return the interceptor
     */
    public ClientInterceptor interceptor(String... targets) {
        return new TokenInterceptor(this, CallTargets.of(targets));
    }

    /**
     * The same over plaintext to other than loopback addresses, where something else protects the way.
     *
     * @param reason why that is safe, for whoever reads the code, such as "the sidecar encrypts"
     * @param targets the targets of the channels
     * @return the interceptor
     * @throws IllegalArgumentException if there is no reason
     */
    public ClientInterceptor interceptorAllowingPlaintext(String reason, String... targets) {
        return new TokenInterceptor(this, CallTargets.allowingPlaintext(reason, targets));
    }

    /**
     * Attaches tokens as {@link #interceptor} does, without making calls once more.
     *
     * @param targets the targets of the channels
     * @return the credentials
     */
    public io.grpc.CallCredentials callCredentials(String... targets) {
        return new TokenCredentials(this, CallTargets.of(targets));
    }

    /**
     * Forgets {@code token}, if it is still the newest: it was refused. Says whether there is another one, or will be: not if one was
     * forgotten a moment ago. A service that refuses every token would else have one issued at each call.
     */
    synchronized boolean drop(AccessToken token) {
        if (current != token) {
            return true;
        }
        long now = time.nanos();
        if (hasDropped && now - droppedAt < DROP_PAUSE.toNanos()) {
            return false;
        }
        hasDropped = true;
        droppedAt = now;
        current = null;
        return true;
    }

    TimeSource time() {
        return time;
    }

    SafeHooks hooks() {
        return hooks;
    }

    /** How long after it has come a token is renewed that lives so long. */
    static Duration renewAfter(Duration lifetime, double random) {
        return Times.part(lifetime, 0.75 + 0.1 * random);
    }

    private void ask(CompletableFuture<AccessToken> asked) {
        exchange(MAX_EXCHANGES).whenComplete((token, failed) -> {
            if (failed == null) {
                succeed(token);
                hooks.tokenRenewed(true);
                asked.complete(token);
            } else {
                boolean isWrapped = failed instanceof CompletionException && failed.getCause() != null;
                StatusRuntimeException told = fail(isWrapped ? failed.getCause() : failed);
                hooks.tokenRenewed(false);
                asked.completeExceptionally(told);
            }
        });
    }

    private synchronized void succeed(AccessToken token) {
        current = token;
        asking = null;
        failures = 0;
        failure = null;
    }

    private synchronized StatusRuntimeException fail(Throwable failed) {
        asking = null;
        failures++;
        failure = TokenRefusal.of(failed);
        Duration pause = RETRY.after(failures, random);
        if (TokenRefusal.isFinal(failed)) {
            pause = FINAL_PAUSE;
        } else {
            Duration told = TokenRefusal.retryDelay(failed).orElse(Duration.ZERO);
            pause = told.compareTo(pause) > 0 ? told : pause;
        }
        askAgainAt = Times.plus(time.nanos(), Times.nanos(pause));
        return failure;
    }

    /** An answer of Signet; {@code refreshToken} is null without one. Both are secrets. */
    private record Issued(AccessToken token, String refreshToken) {
        @Override
        public String toString() {
            return "what Signet has issued";
        }
    }

    private CompletionStage<AccessToken> exchange(int left) {
        Issued kept;
        synchronized (this) {
            kept = unstored;
        }
        CompletionStage<Issued> issued = kept == null ? issue() : CompletableFuture.completedFuture(kept);
        return issued.thenCompose(got -> store(got).thenCompose(stored -> {
            if (!got.token().isLive(time.nanos()) && left > 1) {
                // An exchange that was repeated late, or stored late: the next refresh token gives a token that lives.
                return exchange(left - 1);
            }
            return CompletableFuture.completedFuture(got.token());
        }));
    }

    private CompletionStage<Issued> issue() {
        // Measured from before it was asked: the token is not older than that.
        long began = time.nanos();
        Supplier<IssueTokenRequest> request =
                () -> grants.request(time.now()).setScope(String.join(" ", scopes)).addAudiences(audience).build();
        return servers.call(SignetRpcs.ISSUE_TOKEN, request, null)
                .thenApply(answer -> new Issued(token(answer, began), answer.hasRefreshToken() ? answer.getRefreshToken() : null));
    }

    /** Has the next refresh token stored. Until that has succeeded the answer is kept, and the next attempt stores it. */
    private CompletionStage<Void> store(Issued issued) {
        CompletionStage<Void> storing;
        try {
            storing = inTime(grants.store(issued.refreshToken()));
        } catch (RuntimeException failed) {
            storing = CompletableFuture.failedFuture(failed);
        }
        return storing.handle((stored, failed) -> {
            synchronized (this) {
                unstored = failed == null ? null : issued;
            }
            if (failed == null) {
                grants.accept(issued.refreshToken());
            }
            if (failed != null) {
                Throwable why = failed instanceof CompletionException && failed.getCause() != null ? failed.getCause() : failed;
                throw Status.UNAVAILABLE.withDescription("the next refresh token is not stored").withCause(why).asRuntimeException();
            }
            return null;
        });
    }

    /** What {@code storing} comes to; a failure if it takes too long. */
    private CompletionStage<Void> inTime(CompletionStage<Void> storing) {
        CompletableFuture<Void> bounded = new CompletableFuture<>();
        TimeSource.Timer timer = time.schedule(STORE_TIMEOUT, () -> bounded.completeExceptionally(
                new TimeoutException("`store` has not ended within " + STORE_TIMEOUT.toSeconds() + " s")));
        storing.whenComplete((stored, failed) -> {
            timer.cancel();
            if (failed == null) {
                bounded.complete(null);
            } else {
                bounded.completeExceptionally(failed);
            }
        });
        return bounded;
    }

    private AccessToken token(IssueTokenResponse answer, long began) {
        Duration lifetime = Duration.ofSeconds(Math.max(0, answer.getExpiresIn()));
        long renewAt = began + renewAfter(lifetime, random.getAsDouble()).toNanos();
        return new AccessToken(answer.getAccessToken(), renewAt, began + lifetime.toNanos());
    }

    /** Makes a {@link TokenSource}. */
    public static final class Builder {
        /** Of a grant that one source has alone: whether it has one. */
        private boolean isTaken;
        private final SignetServers servers;
        private final String audience;
        private List<String> scopes = List.of();
        private Grants grants;
        private TimeSource time = TimeSource.system();
        private DoubleSupplier random = Math::random;
        private Hooks hooks = new Hooks() {};

        private Builder(SignetServers servers, String audience) {
            this.servers = servers;
            this.audience = audience;
        }

        /**
         * The scopes that tokens are to have; all that the client may have by default.
         *
         * @param names the scopes
         * @return this
         */
        public Builder scopes(String... names) {
            scopes = List.of(names);
            return this;
        }

        /**
         * Tokens of a client in its own name, which proves who it is by a secret.
         *
         * @param clientId its id
         * @param secret the secret
         * @return this
         * @throws NullPointerException if one of them is null, such as a variable of the environment that is not set
         */
        public Builder clientSecret(String clientId, String secret) {
            Objects.requireNonNull(clientId, "the client's id is missing");
            Objects.requireNonNull(secret, "the client's secret is missing");
            grants = Grants.client(client -> client.setClientId(clientId).setClientSecret(secret));
            return this;
        }

        /**
         * Tokens of a client in its own name, which proves who it is by signing ({@code private_key_jwt}).
         *
         * @param clientId its id
         * @param issuer Signet's issuer, letter for letter: what it signs is meant for it alone
         * @param key a private key of P-256 (ES256), Ed25519 (EdDSA) or RSA (RS256)
         * @param kid the id of the key, as it is registered; null if the client has one key
         * @return this
         * @throws IllegalArgumentException if the key is of another kind
         */
        public Builder privateKeyJwt(String clientId, String issuer, PrivateKey key, String kid) {
            grants = Grants.assertion(ClientAssertion.of(clientId, issuer, key, kid));
            return this;
        }

        /**
         * Tokens of a client in its own name, which proves who it is by the certificate of its channels
         * ({@link SignetServers#with}, mutual TLS).
         *
         * @param clientId its id
         * @return this
         */
        public Builder certificate(String clientId) {
            grants = Grants.client(client -> client.setClientId(clientId));
            return this;
        }

        /**
         * Tokens of a user, by the refresh token of a session of the built-in client. Two sources never share one.
         *
         * @param refreshToken the newest refresh token
         * @param store keeps the next one
         * @return this
         */
        public Builder refreshToken(String refreshToken, RefreshTokenStore store) {
            grants = Grants.refresh(refreshToken, store, null);
            isTaken = false;
            return this;
        }

        /**
         * Tokens of a user, by the refresh token of a session that a registered client has opened.
         *
         * @param refreshToken the newest refresh token
         * @param store keeps the next one
         * @param clientId the client's id
         * @param secret its secret; null for a public client
         * @return this
         */
        public Builder refreshToken(String refreshToken, RefreshTokenStore store, String clientId, String secret) {
            Consumer<ClientAuthentication.Builder> proof = client -> {
                client.setClientId(clientId);
                if (secret != null) {
                    client.setClientSecret(secret);
                }
            };
            grants = Grants.refresh(refreshToken, store, proof);
            isTaken = false;
            return this;
        }

        /**
         * The clock; the system's by default.
         *
         * @param clock the clock
         * @return this
         */
        public Builder time(TimeSource clock) {
            time = clock;
            return this;
        }

        /**
         * By what renewals are spread; {@link Math#random} by default.
         *
         * @param source answers from 0 to 1, without 1
         * @return this
         */
        public Builder random(DoubleSupplier source) {
            random = source;
            return this;
        }

        /**
         * What is told for metrics.
         *
         * @param told the hooks
         * @return this
         */
        public Builder hooks(Hooks told) {
            hooks = told;
            return this;
        }

        /**
         * Makes the source. It asks for nothing until a token is needed.
         *
         * @return the source
         * @throws IllegalArgumentException if there is no audience, or no grant
         * @throws IllegalStateException if a source was made of the refresh token already: the second would end the session
         */
        public TokenSource build() {
            if (audience.isEmpty() || grants == null) {
                throw new IllegalArgumentException("a token source needs an audience, and a way to get tokens");
            }
            if (!grants.isShared()) {
                if (isTaken) {
                    throw new IllegalStateException("a refresh token belongs to one token source: share that source");
                }
                isTaken = true;
            }
            return new TokenSource(this);
        }
    }
}
