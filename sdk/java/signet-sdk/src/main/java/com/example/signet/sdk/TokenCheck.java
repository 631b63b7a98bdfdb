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

    /** The parts of {@code token}, if it has the form and the type of an access token; else null. */
    CompactToken parse(String token) {
        if (token.length() > CompactToken.MAX_BYTES) {
            return null;
        }
        CompactToken parts = CompactToken.parse(token);
        boolean isOfType = parts != null && (parts.isOfType(ACCESS_TOKEN) || (settings.takesTypJwt() && parts.isOfType(JWT)));
        return isOfType ? parts : null;
    }

    /** What {@code token} says, if {@code key} has signed it and its claims are those of an access token; else null. */
    Claims genuine(CompactToken token, VerifyingKey key) {
        if (!token.alg().equals(key.alg()) || !key.verifies(token.signingInput(), token.signature())) {
            return null;
        }
        Claims claims;
        try {
            claims = Claims.read(token.payload());
        } catch (Claims.Malformed malformed) {
            return null;
        }
        boolean isOurs = claims.iss().equals(settings.issuer());
        return isOurs && (token.isOfType(ACCESS_TOKEN) || mayBeOfTypeJwt(claims)) ? claims : null;
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
