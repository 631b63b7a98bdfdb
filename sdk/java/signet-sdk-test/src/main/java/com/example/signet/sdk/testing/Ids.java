package com.example.signet.sdk.testing;

import java.nio.charset.StandardCharsets;
import java.util.UUID;

/** Ids of users, clients and sessions in tests: UUIDs, or names that stand for them. */
final class Ids {
    private Ids() {}

    /** {@code name} if it is a UUID, else the one that always stands for it. */
    static String of(String name) {
        try {
            return UUID.fromString(name).toString();
        } catch (IllegalArgumentException notUuid) {
            return UUID.nameUUIDFromBytes(name.getBytes(StandardCharsets.UTF_8)).toString();
        }
    }
}
