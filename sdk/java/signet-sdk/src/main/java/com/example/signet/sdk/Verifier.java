package com.example.signet.sdk;

import java.net.URI;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Consumer;
import java.util.function.DoubleSupplier;

/**
 * Verifies access tokens of one issuer for one audience, in this process: signature, type, times, audience, what was revoked, and the rule
 * of the method. It keeps the issuer's keys fresh in the background, and remembers the tokens that it has verified.
 *
 * <pre>{@code
 * Verifier verifier = Verifier.builder("https://id.example", "stock")
 *     .revocations(Revocations.follow(SignetServers.of("id.example:50051"), clientId, clientSecret))
 *     .build();
 * Server server = builder.intercept(GuardInterceptor.of(verifier, Policy.of(stock))).addService(stock).build();
 * }</pre>
 *
 * <p>For many threads at once. Nothing here blocks: where the issuer has to be asked, the answer comes later.
 */
public final class Verifier implements AutoCloseable {
    private final VerifierSettings settings;
    private final TokenCheck check;
    private final IssuerKeys keys;
    private final TokenCache cache;
    private final OpenStreams streams;

    /** Null if there is none. */
    private final Introspection introspection;
    private final Revocations.Listener listener;
    private volatile boolean isClosed;

    private Verifier(VerifierSettings settings, KeySource source) {
        this.settings = settings;
        check = new TokenCheck(settings);
        keys = new IssuerKeys(source, settings.time(), settings.random(), settings.hooks());
        cache = new TokenCache(settings.cacheSize());
        streams = new OpenStreams(settings);
        introspection = settings.introspection() == null ? null : new SharedIntrospection(settings.introspection());
        listener = new Revocations.Listener() {
            @Override
            public void changed() {
                streams.changed();
            }

            @Override
            public void keysChanged() {
                keys.refresh();
            }
        };
        keys.start();
        if (settings.revocations() != null) {
            settings.revocations().attach(listener, settings.hooks());
        }
    }

    /**
     * What makes a verifier.
     *
     * @param issuer the one issuer that is trusted, letter for letter as {@code iss} in its tokens: an http or https URL. Whoever can
     * answer in its stead can make tokens: use https, or http where the way is protected otherwise
     * @param audience whom tokens must be meant for: the name of this service
     * @return a builder with the defaults
     */
    public static Builder builder(String issuer, String audience) {
        return new Builder(issuer, audience);
    }

    /**
     * Whom tokens must be meant for.
     *
     * @return the name of this service
     */
    public String audience() {
        return settings.audience();
    }

    /**
     * Completes when the issuer's keys are known and, if revocations are followed, the first snapshot is complete. Until then calls are
     * answered with UNAVAILABLE: let the service's probe say that it is not ready.
     *
     * @return what completes then; it never fails
     */
    public CompletableFuture<Void> ready() {
        CompletableFuture<Void> known = keys.ready();
        return settings.revocations() == null ? known : CompletableFuture.allOf(known, settings.revocations().ready());
    }

    /**
     * Verifies the values of the field {@code authorization} of one call, and holds its caller against a rule.
     *
     * @param authorization all values of the field, in their order
     * @param rule who may call
     * @param method what is called, as a refusal tells it: {@code /package.Service/Method}, or a path of HTTP
     * @return the caller; fails with a {@link Refusal}. It is complete at once unless the issuer has to be asked
     */
    public CompletableFuture<Caller> authenticate(List<String> authorization, Rule rule, String method) {
        return admit(authorization, rule, method).thenApply(Admitted::caller);
    }

    /**
     * The same of a token by itself.
     *
     * @param token the access token
     * @param rule who may call
     * @param method what is called, as a refusal tells it
     * @return as {@link #authenticate}
     */
    public CompletableFuture<Caller> verify(String token, Rule rule, String method) {
        return authenticate(List.of("Bearer " + token), rule, method);
    }

    /**
     * Stops fetching keys, ends the streams that are open, and refuses all calls from now on ({@code UNAVAILABLE}). The stream of
     * revocations ends with the last verifier that it serves; channels are closed by whoever made them. Closing it again does nothing.
     */
    @Override
    public void close() {
        isClosed = true;
        if (settings.revocations() != null) {
            settings.revocations().detach(listener);
        }
        streams.close();
        keys.close();
    }

    // ===== for the guards =====

    /** Who is let in, by which token. */
    record Admitted(Caller caller, TokenCache.Verified token) {}

    /** As {@link #authenticate}; with the token, for streams. */
    CompletableFuture<Admitted> admit(List<String> authorization, Rule rule, String method) {
        Call call = new Call(rule, rule.audience().orElse(settings.audience()), method);
        if (isClosed) {
            return call.unavailable(Sentences.ISSUER);
        }
        try {
            String token = Bearer.token(authorization);
            return token == null ? call.refuse(Reason.TOKEN_MISSING, null, Map.of(), false) : admit(call, token);
        } catch (InvalidToken invalid) {
            return call.invalid(invalid);
        }
    }

    private CompletableFuture<Admitted> admit(Call call, String token) throws InvalidToken {
        TokenCache.Fingerprint fingerprint = TokenCache.Fingerprint.of(token);
        TokenCache.Verified seen = cache.get(fingerprint);
        if (seen != null && keys.isInForce(seen.key())) {
            return call.judge(token, seen, true);
        }
        CompactToken parts = check.parse(token);
        CompletableFuture<VerifyingKey> found = keys.find(parts.kid());
        return found.isDone() && !found.isCompletedExceptionally()
                ? verified(call, token, fingerprint, parts, found.join())
                : found.handle((key, failure) -> failure != null
                        ? call.<Admitted>unavailable(Sentences.ISSUER)
                        : verified(call, token, fingerprint, parts, key)).thenCompose(next -> next);
    }

    /** The refusal of a method that nobody may call, of which the policy knows or not. */
    Refusal undeclared(String method, boolean isInPolicy) {
        settings.hooks().verified(Reason.ACCESS_UNDECLARED.name(), false);
        String why = isInPolicy ? Sentences.UNDECLARED : Sentences.NOT_IN_POLICY;
        return new Refusal(Reason.ACCESS_UNDECLARED, why, Map.of("audience", settings.audience(), "method", method));
    }

    /** Ends a stream when its token no longer counts; {@code end} is called at most once, and must not block. */
    OpenStreams.Stream watch(Admitted admitted, Rule rule, String method, Consumer<Refusal> end) {
        Call call = new Call(rule, rule.audience().orElse(settings.audience()), method);
        return streams.watch(admitted.token(), (reason, detail) -> end.accept(call.refusal(reason, detail, Map.of())));
    }

    /** Why an admitted call does not pass any more, though it did when its metadata came; null if it passes. */
    Refusal recheck(Admitted admitted, Rule rule, String method) {
        Call call = new Call(rule, rule.audience().orElse(settings.audience()), method);
        Reason over = call.over(admitted.token());
        return over == null ? null : call.refusal(over, Sentences.over(over), Map.of());
    }

    TimeSource time() {
        return settings.time();
    }

    /** How many streams are open. */
    int openStreams() {
        return streams.count();
    }

    private CompletableFuture<Admitted> verified(
            Call call, String token, TokenCache.Fingerprint fingerprint, CompactToken parts, VerifyingKey key) {
        Claims claims;
        try {
            claims = check.genuine(parts, key);
        } catch (InvalidToken invalid) {
            return call.invalid(invalid);
        }
        List<String> roles = claims.roles() == null ? List.of() : claims.roles();
        TokenCache.Verified verified = new TokenCache.Verified(new Caller(claims, roles), key);
        // What lets nobody in pushes out nothing that does.
        if (check.time(claims) == null) {
            cache.put(fingerprint, verified);
        }
        return call.judge(token, verified, false);
    }

    /** One call that is judged. */
    private final class Call {
        private final Rule rule;
        private final String audience;
        private final String method;

        Call(Rule rule, String audience, String method) {
            this.rule = rule;
            this.audience = audience;
            this.method = method;
        }

        Refusal refusal(Reason reason, String detail, Map<String, String> more) {
            Map<String, String> metadata = new HashMap<>(more);
            metadata.put("audience", audience);
            metadata.put("method", method);
            return new Refusal(reason, detail, metadata);
        }

        <T> CompletableFuture<T> invalid(InvalidToken invalid) {
            return refuse(Reason.TOKEN_INVALID, invalid.getMessage(), Map.of(), false);
        }

        <T> CompletableFuture<T> unavailable(String what) {
            return refuse(Reason.UNAVAILABLE, what, Map.of(), false);
        }

        <T> CompletableFuture<T> refuse(Reason reason, String detail, Map<String, String> more, boolean cached) {
            settings.hooks().verified(reason.name(), cached);
            return CompletableFuture.failedFuture(refusal(reason, detail, more));
        }

        /** Judges a genuine token: audience, time, revocations and the rule, in this order. */
        CompletableFuture<Admitted> judge(String token, TokenCache.Verified verified, boolean cached) {
            Claims claims = verified.caller().said();
            if (!claims.aud().contains(audience)) {
                return refuse(Reason.TOKEN_INVALID, Sentences.ANOTHER_AUDIENCE, Map.of(), cached);
            }
            Reason over = over(verified);
            if (over != null) {
                return refuse(over, Sentences.over(over), Map.of(), cached);
            }
            RuleCheck.Verdict verdict = RuleCheck.judge(rule, audience, claims);
            if (verdict instanceof RuleCheck.AsksForRoles) {
                return introspect(token, verified, cached);
            }
            return conclude(verdict, verified, verified.caller(), cached);
        }

        private CompletableFuture<Admitted> conclude(
                RuleCheck.Verdict verdict, TokenCache.Verified verified, Caller caller, boolean cached) {
            if (verdict instanceof RuleCheck.Lacks lacks) {
                return refuse(lacks.reason(), null, lacks.metadata(), cached);
            }
            settings.hooks().verified("OK", cached);
            return CompletableFuture.completedFuture(new Admitted(caller, verified));
        }

        /** Why a token does not count at this moment: its time, or what was revoked. */
        private Reason over(TokenCache.Verified verified) {
            Reason untimely = check.time(verified.caller().said());
            return untimely == null ? standing(verified) : untimely;
        }

        private Reason standing(TokenCache.Verified verified) {
            Revocations revocations = settings.revocations();
            if (revocations == null) {
                return null;
            }
            boolean isTooOld = settings.whenStale() == WhenStale.REFUSE && revocations.isStale(settings.revocationMaxAge());
            if (!revocations.isComplete() || isTooOld) {
                return Reason.UNAVAILABLE;
            }
            return revocations.isRevoked(verified) ? Reason.TOKEN_REVOKED : null;
        }

        private CompletableFuture<Admitted> introspect(String token, TokenCache.Verified verified, boolean cached) {
            if (introspection == null) {
                return refuse(Reason.UNAVAILABLE, Sentences.ROLES, Map.of(), cached);
            }
            return introspection.introspect(token).handle((answer, failure) -> {
                if (failure != null) {
                    return this.<Admitted>refuse(Reason.UNAVAILABLE, Sentences.INTROSPECTION, Map.of(), cached);
                }
                if (!answer.active()) {
                    return this.<Admitted>refuse(Reason.TOKEN_REVOKED, null, Map.of(), cached);
                }
                Caller caller = new Caller(verified.caller().said(), List.copyOf(answer.roles()));
                return conclude(RuleCheck.judgeRoles(rule, answer.roles()), verified, caller, cached);
            }).thenCompose(next -> next);
        }
    }

    /** The refusal that a failed {@link #authenticate} says; UNAVAILABLE of a defect. */
    static Refusal refusal(Throwable failure) {
        Throwable cause = failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
        return cause instanceof Refusal refusal ? refusal : new Refusal(Reason.UNAVAILABLE, Sentences.ISSUER, Map.of());
    }

    /** Makes a {@link Verifier}. */
    public static final class Builder {
        private final String issuer;
        private final String audience;
        private URI jwksUri;
        private KeySource keySource;
        private Duration leeway = Duration.ofSeconds(5);
        private int cacheSize = 10_000;
        private boolean takesTypJwt;
        private Revocations revocations;
        private Duration revocationMaxAge = Duration.ofSeconds(30);
        private WhenStale whenStale = WhenStale.REFUSE;
        private Duration streamGrace = Duration.ofSeconds(30);
        private Introspection introspection;
        private TimeSource time = TimeSource.system();
        private DoubleSupplier random = Math::random;
        private Hooks hooks = new Hooks() {};

        private Builder(String issuer, String audience) {
            this.issuer = issuer;
            this.audience = audience;
        }

        /**
         * Where the issuer's keys are, if its metadata (RFC 8414) are not to be asked.
         *
         * @param uri an http or https URL
         * @return this
         */
        public Builder jwksUri(String uri) {
            jwksUri = IssuerAddress.webAddress("the JWKS URI", uri);
            return this;
        }

        /**
         * Where the keys come from, if not from the issuer over HTTP.
         *
         * @param source the source
         * @return this
         */
        public Builder keySource(KeySource source) {
            keySource = source;
            return this;
        }

        /**
         * How far the issuer's clock may be from this one; 5 s by default.
         *
         * @param allowed whole seconds
         * @return this
         */
        public Builder leeway(Duration allowed) {
            leeway = allowed;
            return this;
        }

        /**
         * How many verified tokens are remembered; 10,000 by default.
         *
         * @param tokens their number; 0 for none
         * @return this
         */
        public Builder cacheSize(int tokens) {
            cacheSize = tokens;
            return this;
        }

        /**
         * Whether tokens of {@code typ: JWT} are taken, too, if they are meant for this audience alone; not by default.
         *
         * @param takes whether they are
         * @return this
         */
        public Builder tokenTypJwt(boolean takes) {
            takesTypJwt = takes;
            return this;
        }

        /**
         * What was revoked; not asked by default.
         *
         * @param followed the revocations
         * @return this
         */
        public Builder revocations(Revocations followed) {
            revocations = followed;
            return this;
        }

        /**
         * For how long it is enough to know what was revoked until then; 30 s by default. After that calls are UNAVAILABLE.
         *
         * @param age the time since something was heard, a heartbeat at least
         * @return this
         */
        public Builder revocationMaxAge(Duration age) {
            revocationMaxAge = age;
            return this;
        }

        /**
         * What becomes of calls when nothing was heard for longer than that: they are refused by default.
         *
         * @param outcome what becomes of them
         * @return this
         */
        public Builder whenStale(WhenStale outcome) {
            whenStale = outcome;
            return this;
        }

        /**
         * How long after the expiry of its token an open stream ends; 30 s by default.
         *
         * @param grace the time; zero or more
         * @return this
         */
        public Builder streamGrace(Duration grace) {
            streamGrace = grace;
            return this;
        }

        /**
         * Asks for the roles of whoever has so many that the token does not name them; nobody by default, so that such calls are
         * UNAVAILABLE.
         *
         * @param asked what is asked
         * @return this
         */
        public Builder introspection(Introspection asked) {
            introspection = asked;
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
         * By what pauses are spread; {@link Math#random} by default.
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
         * Makes the verifier, which begins to fetch the issuer's keys. It does not wait for them.
         *
         * @return the verifier
         * @throws IllegalArgumentException if a setting breaks its rule
         */
        public Verifier build() {
            IssuerAddress address = IssuerAddress.parse(issuer);
            if (audience.isEmpty()) {
                throw new IllegalArgumentException("the audience must not be empty");
            }
            if (leeway.isNegative() || streamGrace.isNegative() || revocationMaxAge.isNegative() || cacheSize < 0) {
                throw new IllegalArgumentException("leeway, grace, age and cache size must not be negative");
            }
            VerifierSettings settings = new VerifierSettings(
                    issuer, audience, leeway, cacheSize, takesTypJwt, revocations, revocationMaxAge, whenStale, streamGrace,
                    introspection, time, random, new SafeHooks(hooks));
            return new Verifier(settings, keySource != null ? keySource : new HttpKeySource(address, jwksUri));
        }
    }
}
