package com.example.signet.sdk;

import java.util.List;

/** Looks whether a token is genuine and whether its times are good (RFC 9068 section 4, RFC 8725). */
final class TokenCheck {
    private static final String ACCESS_TOKEN = "at+jwt";
    private static final String JWT = "JWT";

    private final VerifierSettings settings;

    TokenCheck(VerifierSettings settings) {
        this.settings = settings;
    }

    /** The parts of {@code token}, which has the form and the type of an access token, and names a key. */
    CompactToken parse(String token) throws InvalidToken {
        CompactToken parts = CompactToken.parse(token);
        if (!parts.isOfType(ACCESS_TOKEN) && !(settings.takesTypJwt() && parts.isOfType(JWT))) {
            throw new InvalidToken(Sentences.ANOTHER_TYP);
        }
        if (parts.isCritical()) {
            throw new InvalidToken(Sentences.CRITICAL);
        }
        if (parts.kid() == null || !CompactToken.canBeKid(parts.kid())) {
            throw new InvalidToken(Sentences.NO_KEY);
        }
        return parts;
    }

    /** What {@code token} says, which {@code key} has signed, and whose claims are those of an access token. */
    Claims genuine(CompactToken token, VerifyingKey key) throws InvalidToken {
        if (key == null) {
            throw new InvalidToken(Sentences.UNKNOWN_KEY);
        }
        if (!token.alg().equals(key.alg())) {
            throw new InvalidToken(Sentences.ANOTHER_ALGORITHM);
        }
        if (!key.verifies(token.signingInput(), token.signature())) {
            throw new InvalidToken(Sentences.FORGED);
        }
        Claims claims = Claims.read(token.payload());
        if (!token.isOfType(ACCESS_TOKEN) && !mayBeOfTypeJwt(claims)) {
            throw new InvalidToken(Sentences.ANOTHER_TYP);
        }
        if (!claims.iss().equals(settings.issuer())) {
            throw new InvalidToken(Sentences.ANOTHER_ISSUER);
        }
        if (!claims.isConsistent()) {
            throw new InvalidToken(Sentences.NO_SESSION);
        }
        return claims;
    }

    /** The reason why {@code claims} do not count now; null if they do. */
    Reason time(Claims claims) {
        long now = settings.time().now().getEpochSecond();
        long leeway = settings.leeway().toSeconds();
        // "on or after which the JWT MUST NOT be accepted" (RFC 7519 section 4.1.4)
        if (now >= Times.plus(claims.exp(), leeway)) {
            return Reason.TOKEN_EXPIRED;
        }
        long validFrom = claims.nbf() == null ? claims.iat() : Math.max(claims.nbf(), claims.iat());
        return now < Times.plus(validFrom, -leeway) ? Reason.TOKEN_INVALID : null;
    }

    /** Only a token that is meant for this service alone, and not one that a client got for itself as OpenID's ID tokens are. */
    private boolean mayBeOfTypeJwt(Claims claims) {
        String own = settings.audience();
        return claims.aud().equals(List.of(own)) && !claims.clientId().equals(own);
    }
}
