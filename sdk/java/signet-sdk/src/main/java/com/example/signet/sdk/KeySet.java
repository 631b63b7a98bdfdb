package com.example.signet.sdk;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The keys of an issuer that verify access tokens, as its JWK Set says (RFC 7517 section 5). */
final class KeySet {
    /** No keys. */
    static final KeySet EMPTY = new KeySet(Map.of());

    /** How many keys are read at most: an issuer has a handful. */
    private static final int MAX_KEYS = 100;

    private final Map<String, VerifyingKey> keys;

    private KeySet(Map<String, VerifyingKey> keys) {
        this.keys = keys;
    }

    /** The document is not a set of keys that can be used. The message is the rest of a sentence that begins with the document. */
    static final class Unusable extends Exception {
        private static final long serialVersionUID = 1;

        Unusable(String message) {
            super(message, null, false, false);
        }
    }

    /**
     * The keys of {@code document}. Secret keys are left out, as are those that are not understood. A key that is the same in {@code known}
     * stays the same object.
     */
    static KeySet read(byte[] document, KeySet known) throws Unusable {
        List<?> listed = listed(document);
        if (listed.size() > MAX_KEYS) {
            throw new Unusable("holds more than " + MAX_KEYS + " keys");
        }
        Map<String, VerifyingKey> keys = new LinkedHashMap<>();
        for (Object one : listed) {
            VerifyingKey key = one instanceof Map<?, ?> jwk ? VerifyingKey.of(members(jwk)) : null;
            if (key != null && keys.put(key.kid(), known.sameOr(key)) != null) {
                throw new Unusable("holds two keys with one `kid`");
            }
        }
        if (keys.isEmpty()) {
            throw new Unusable("holds no public key for ES256, EdDSA or RS256 with a `kid`");
        }
        return new KeySet(keys);
    }

    /** The key {@code kid}; null if there is none. */
    VerifyingKey get(String kid) {
        return keys.get(kid);
    }

    /** The ids of the keys, in their order. */
    Collection<String> kids() {
        return keys.keySet();
    }

    private VerifyingKey sameOr(VerifyingKey key) {
        VerifyingKey known = keys.get(key.kid());
        return known != null && known.isSame(key) ? known : key;
    }

    private static List<?> listed(byte[] document) throws Unusable {
        try {
            if (Json.object(document).get("keys") instanceof List<?> listed) {
                return listed;
            }
        } catch (Json.NotJson notJson) {
            throw new Unusable(notJson.getMessage());
        }
        throw new Unusable("is not a JWK Set");
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> members(Map<?, ?> jwk) {
        return (Map<String, Object>) jwk;
    }
}
