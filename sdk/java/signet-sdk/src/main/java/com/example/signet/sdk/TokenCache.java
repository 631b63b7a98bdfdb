package com.example.signet.sdk;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The tokens that were verified, by their SHA-256: the tokens themselves are not kept. Bounded; what was not used for longest goes first.
 * In parts with a lock each, so that calls on many threads seldom wait for each other.
 */
final class TokenCache {
    private static final int PARTS = 16;

    private final Part[] parts = new Part[PARTS];

    TokenCache(int size) {
        for (int part = 0; part < PARTS; part++) {
            // The parts together have the size, also if it is not a multiple.
            parts[part] = new Part((size + part) / PARTS);
        }
    }

    /** The SHA-256 of a token. */
    record Fingerprint(long a, long b, long c, long d) {
        static Fingerprint of(String token) {
            try {
                byte[] hash = MessageDigest.getInstance("SHA-256").digest(token.getBytes(StandardCharsets.US_ASCII));
                ByteBuffer words = ByteBuffer.wrap(hash);
                return new Fingerprint(words.getLong(), words.getLong(), words.getLong(), words.getLong());
            } catch (NoSuchAlgorithmException impossible) {
                throw new IllegalStateException("every JDK has SHA-256", impossible);
            }
        }

        @Override
        public int hashCode() {
            return Long.hashCode(a);
        }
    }

    /** A token whose signature has been verified, with a key that was in force. */
    static final class Verified {
        private final Caller caller;
        private final VerifyingKey key;

        /** Up to which state of the revocations it is known not to be revoked. */
        private volatile long standsAt = -1;

        Verified(Caller caller, VerifyingKey key) {
            this.caller = caller;
            this.key = key;
        }

        Caller caller() {
            return caller;
        }

        VerifyingKey key() {
            return key;
        }

        long standsAt() {
            return standsAt;
        }

        void standsAt(long state) {
            standsAt = state;
        }
    }

    Verified get(Fingerprint token) {
        return part(token).get(token);
    }

    void put(Fingerprint token, Verified verified) {
        part(token).put(token, verified);
    }

    int size() {
        int size = 0;
        for (Part part : parts) {
            size += part.size();
        }
        return size;
    }

    private Part part(Fingerprint token) {
        return parts[(int) (token.b & (PARTS - 1))];
    }

    private static final class Part {
        private final Map<Fingerprint, Verified> entries;

        Part(int size) {
            entries = new LinkedHashMap<>(16, 0.75f, true) {
                private static final long serialVersionUID = 1;

                @Override
                protected boolean removeEldestEntry(Map.Entry<Fingerprint, Verified> eldest) {
                    return size() > size;
                }
            };
        }

        synchronized Verified get(Fingerprint token) {
            return entries.get(token);
        }

        synchronized void put(Fingerprint token, Verified verified) {
            entries.put(token, verified);
        }

        synchronized int size() {
            return entries.size();
        }
    }
}
