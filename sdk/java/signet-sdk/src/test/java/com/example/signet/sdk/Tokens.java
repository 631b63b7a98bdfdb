package com.example.signet.sdk;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSObject;
import com.nimbusds.jose.Payload;
import com.nimbusds.jose.crypto.ECDSASigner;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;

/** An issuer for tests of the SDK itself: its keys are answered when the test says so. */
final class Tokens implements KeySource {
    static final String ISSUER = "https://id.example";
    static final String SESSION = UUID.randomUUID().toString();
    static final String USER = UUID.randomUUID().toString();

    final AtomicInteger fetches = new AtomicInteger();
    final List<CompletableFuture<Answer>> held = new ArrayList<>();

    private final TimeSource time;
    private final List<ECKey> published = new ArrayList<>();
    private ECKey signing;
    private boolean holds;
    private boolean isAway;

    Tokens(TimeSource time) {
        this.time = time;
        signing = key();
        published.add(signing);
    }

    /** From now on it signs by another key, which is published or not. */
    synchronized void rotate(boolean publishes) {
        signing = key();
        if (publishes) {
            published.add(signing);
        }
    }

    synchronized void publish() {
        published.add(signing);
    }

    synchronized void away(boolean away) {
        isAway = away;
    }

    /** From now on a fetch is answered by {@link #release}. */
    synchronized void hold() {
        holds = true;
    }

    synchronized void release() {
        holds = false;
        held.forEach(this::answer);
        held.clear();
    }

    @Override
    public synchronized CompletableFuture<Answer> fetch() {
        fetches.incrementAndGet();
        CompletableFuture<Answer> answer = new CompletableFuture<>();
        if (holds) {
            held.add(answer);
        } else {
            answer(answer);
        }
        return answer;
    }

    String user(String... scopes) {
        return sign(claims(scopes));
    }

    Map<String, Object> claims(String... scopes) {
        long now = time.now().getEpochSecond();
        Map<String, Object> claims = new LinkedHashMap<>();
        claims.put("iss", ISSUER);
        claims.put("sub", USER);
        claims.put("aud", "stock");
        claims.put("iat", now);
        claims.put("exp", now + 900);
        claims.put("jti", UUID.randomUUID().toString());
        claims.put("client_id", "signet");
        claims.put("scope", String.join(" ", scopes));
        claims.put("sid", SESSION);
        return claims;
    }

    synchronized String sign(Map<String, Object> claims) {
        return sign(claims, signing.getKeyID());
    }

    synchronized String sign(Map<String, Object> claims, String kid) {
        try {
            JWSHeader header = new JWSHeader.Builder(JWSAlgorithm.ES256).type(new JOSEObjectType("at+jwt")).keyID(kid).build();
            JWSObject token = new JWSObject(header, new Payload(claims));
            token.sign(new ECDSASigner(signing));
            return token.serialize();
        } catch (JOSEException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    Verifier.Builder verifier() {
        return Verifier.builder(ISSUER, "stock").keySource(this).time(time).random(() -> 0.5);
    }

    private void answer(CompletableFuture<Answer> answer) {
        if (isAway) {
            answer.completeExceptionally(new IllegalStateException("connection refused"));
        } else {
            byte[] document = new JWKSet(List.copyOf(published)).toString().getBytes(StandardCharsets.UTF_8);
            answer.complete(new Answer(document, Duration.ofMinutes(5)));
        }
    }

    private static ECKey key() {
        try {
            return new ECKeyGenerator(Curve.P_256).keyID(UUID.randomUUID().toString()).generate();
        } catch (JOSEException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
