package com.example.signet.sdk;

import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * A JWT taken apart (RFC 7515 section 7.1). Nothing that it says is believed here. {@code jwk}, {@code jku}, {@code x5u} and {@code x5c}
 * are never read: a signature does not bring its own key.
 */
record CompactToken(String typ, String alg, String kid, boolean isCritical, byte[] signingInput, byte[] payload, byte[] signature) {
    /** The longest token that is read, in bytes: Signet's own are shorter than 5 KiB. */
    static final int MAX_BYTES = 8 * 1024;

    /** The longest {@code kid} that is read, in bytes. */
    static final int KID_MAX_BYTES = 255;

    private static final String APPLICATION = "application/";

    /** The parts of {@code token}, which is ASCII. {@code typ} and {@code kid} are null where the header lacks them. */
    static CompactToken parse(String token) throws InvalidToken {
        int first = token.indexOf('.');
        int second = token.indexOf('.', first + 1);
        if (first < 0 || second < 0 || token.indexOf('.', second + 1) >= 0) {
            throw new InvalidToken(Sentences.NOT_A_JWT);
        }
        byte[] payload = decoded(token.substring(first + 1, second));
        byte[] signature = decoded(token.substring(second + 1));
        Map<String, Object> members;
        try {
            members = Json.object(decoded(token.substring(0, first)));
        } catch (Json.NotJson notJson) {
            throw new InvalidToken(Sentences.NOT_A_JWT);
        }
        if (!(members.get("alg") instanceof String alg)) {
            throw new InvalidToken(Sentences.NOT_A_JWT);
        }
        byte[] signed = token.substring(0, second).getBytes(StandardCharsets.US_ASCII);
        boolean isCritical = members.containsKey("crit");
        return new CompactToken(text(members, "typ"), alg, text(members, "kid"), isCritical, signed, payload, signature);
    }

    /** Whether the type is {@code wanted}: with or without {@code application/}, in any case (RFC 7515 section 4.1.9). */
    boolean isOfType(String wanted) {
        if (typ == null) {
            return false;
        }
        boolean isLong = typ.regionMatches(true, 0, APPLICATION, 0, APPLICATION.length());
        return (isLong ? typ.substring(APPLICATION.length()) : typ).equalsIgnoreCase(wanted);
    }

    private static byte[] decoded(String part) throws InvalidToken {
        byte[] bytes = Base64Url.decode(part);
        if (bytes == null) {
            throw new InvalidToken(Sentences.NOT_A_JWT);
        }
        return bytes;
    }

    private static String text(Map<String, Object> members, String name) throws InvalidToken {
        Object value = members.get(name);
        if (value != null && !(value instanceof String)) {
            throw new InvalidToken(Sentences.NOT_A_JWT);
        }
        return (String) value;
    }

    static boolean canBeKid(String kid) {
        return !kid.isEmpty() && kid.getBytes(StandardCharsets.UTF_8).length <= KID_MAX_BYTES;
    }
}
