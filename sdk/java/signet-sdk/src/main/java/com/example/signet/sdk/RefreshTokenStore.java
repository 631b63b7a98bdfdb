package com.example.signet.sdk;

import java.util.concurrent.CompletionStage;

/** Keeps the refresh token of a user's session. Each is good once: two processes never share one. */
@FunctionalInterface
public interface RefreshTokenStore {
    /**
     * Stores the next refresh token in the place of the one before. The access token that came with it is not used until this has
     * succeeded; if it fails, the next attempt stores the same one again, and Signet is not asked. It must not block, and what has not
     * ended within 10 seconds counts as failed: end it, so that it does not write later in the place of a newer one.
     *
     * @param next the token; a secret like a password
     * @return what completes when it is stored for good
     */
    CompletionStage<Void> store(String next);
}
