package com.example.signet.sdk;

import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * A JWT taken apart (RFC 7515 section 7.1). Nothing that it says is believed here. {@code jwk}, {@code jku}, {@code x5u} and {@code x5c}
 * are never read: a signature does not bring its own key.
 */
record CompactToken(String typ, String alg, String kid, byte[] signingInput, byte[] payload, byte[] signature) {
    /** The longest token that is read, in bytes: Signet's own are shorter than 5 KiB. */
    static final int MAX_BYTES = 8 * 1024;

    /** The longest {@code kid} that is read, in bytes. */
    static final int KID_MAX_BYTES = 255;

    private static final String APPLICATION = "application/";

    /** The parts of {@code token}, which is ASCII; null if it does not have the form of an access token. */
    static CompactToken parse(String token) {
        int first = token.indexOf('.');
        int second = token.indexOf('.', first + 1);
        if (first < 0 || second < 0 || token.indexOf('.', second + 1) >= 0) {
            return null;
        }
        byte[] header = Base64Url.decode(token.substring(0, first));
        byte[] payload = Base64Url.decode(token.substring(first + 1, second));
        byte[] signature = Base64Url.decode(token.substring(second + 1));
        if (header == null || payload == null || signature == null) {
            return null;
        }
        Map<String, Object> members;
        try {
            members = Json.object(header);
        } catch (Json.NotJson notJson) {
            return null;
        }
        if (members.containsKey("crit")
                || !(members.get("typ") instanceof String typ)
                || !(members.get("alg") instanceof String alg)
                || !(members.get("kid") instanceof String kid)
                || !canBeKid(kid)) {
            return null;
        }
        byte[] signed = token.substring(0, second).getBytes(StandardCharsets.US_ASCII);
        return new CompactToken(typ, alg, kid, signed, payload, signature);
    }

    /** Whether the type is {@code wanted}: with or without {@code application/}, in any case (RFC 7515 section 4.1.9). */
    boolean isOfType(String wanted) {
        boolean isLong = typ.regionMatches(true, 0, APPLICATION, 0, APPLICATION.length());
        return (isLong ? typ.substring(APPLICATION.length()) : typ).equalsIgnoreCase(wanted);
    }

    static boolean canBeKid(String kid) {
        return !kid.isEmpty() && kid.getBytes(StandardCharsets.UTF_8).length <= KID_MAX_BYTES;
    }
}
