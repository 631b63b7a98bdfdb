package com.example.signet.sdk;

import java.util.List;

/** Reads the field {@code authorization} of a call (RFC 6750 section 2.1). */
final class Bearer {
    private static final String SCHEME = "bearer";

    private Bearer() {}

    /** The token in the values of one call; null if there is no value. */
    static String token(List<String> values) throws InvalidToken {
        if (values.isEmpty()) {
            return null;
        }
        if (values.size() > 1) {
            // Which of two a proxy in front has looked at cannot be known.
            throw new InvalidToken(Sentences.SEVERAL);
        }
        String value = values.get(0);
        int space = value.indexOf(' ');
        // The scheme is compared without case (RFC 9110 section 11.1); behind it are one space or more (section 11.4).
        if (space < 0 || !value.substring(0, space).equalsIgnoreCase(SCHEME)) {
            throw new InvalidToken(Sentences.NOT_BEARER);
        }
        int begin = space;
        while (begin < value.length() && value.charAt(begin) == ' ') {
            begin++;
        }
        String token = value.substring(begin);
        if (token.length() > CompactToken.MAX_BYTES) {
            throw new InvalidToken(Sentences.TOO_LONG);
        }
        if (token.isEmpty() || token.chars().anyMatch(c -> c > 127)) {
            throw new InvalidToken(Sentences.NOT_BEARER);
        }
        return token;
    }
}
