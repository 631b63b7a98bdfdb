package com.example.signet.spring;

import com.example.signet.sdk.Caller;
import com.example.signet.sdk.Reason;
import com.example.signet.sdk.Refusal;
import com.example.signet.sdk.Rule;
import com.example.signet.sdk.Verifier;
import java.time.DateTimeException;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletionException;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtException;

/**
 * Decodes access tokens by a {@link Verifier}: Spring's own decoder refuses {@code typ: at+jwt}, knows nothing of revocations, and takes
 * tokens for other audiences unless it is told not to.
 */
public final class SignetJwtDecoder implements JwtDecoder {
    private final Verifier verifier;

    /**
     * A decoder.
     *
     * @param verifier verifies the tokens
     */
    public SignetJwtDecoder(Verifier verifier) {
        this.verifier = verifier;
    }

    /**
     * What a good token says. Scopes stand in {@code scope}, so that Spring makes authorities {@code SCOPE_...} of them.
     *
     * @param token the token
     * @return its claims
     * @throws BadJwtException if it is refused: answered with 401
     * @throws JwtException if it cannot be told whether it is good: answered with 503
     */
    @Override
    public Jwt decode(String token) throws JwtException {
        Caller caller;
        try {
            caller = verifier.verify(token, Rule.authenticated(), "HTTP").join();
        } catch (CompletionException failed) {
            if (failed.getCause() instanceof Refusal refusal && refusal.reason() != Reason.UNAVAILABLE) {
                throw new BadJwtException(refusal.reason().name());
            }
            throw new JwtException(Reason.UNAVAILABLE.name());
        }
        Map<String, Object> claims = new LinkedHashMap<>(caller.claims());
        claims.put("aud", caller.audiences());
        try {
            for (String time : new String[] {"exp", "iat", "nbf"}) {
                claims.computeIfPresent(time, (name, seconds) -> Instant.ofEpochSecond((Long) seconds));
            }
            return Jwt.withTokenValue(token).header("typ", "at+jwt").claims(all -> all.putAll(claims)).build();
        } catch (DateTimeException | IllegalArgumentException notForSpring) {
            // Such as one that expires when it is issued.
            throw new BadJwtException(Reason.TOKEN_INVALID.name());
        }
    }
}
