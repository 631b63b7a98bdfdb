package com.example.signet.sdk;

import java.util.Base64;

/** Unpadded base64url (RFC 7515 section 2), of which each sequence of bytes has exactly one text. */
final class Base64Url {
    private static final Base64.Encoder ENCODER = Base64.getUrlEncoder().withoutPadding();

    private Base64Url() {}

    /** The bytes of {@code text}; null if it is not the text of any. */
    static byte[] decode(String text) {
        try {
            byte[] bytes = Base64.getUrlDecoder().decode(text);
            // Padding, and bits behind the last byte, are taken by the decoder.
            return ENCODER.encodeToString(bytes).equals(text) ? bytes : null;
        } catch (IllegalArgumentException other) {
            return null;
        }
    }

    static String encode(byte[] bytes) {
        return ENCODER.encodeToString(bytes);
    }
}
