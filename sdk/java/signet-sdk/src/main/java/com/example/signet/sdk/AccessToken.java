package com.example.signet.sdk;

/** An access token that a {@link TokenSource} has got. It is a secret: {@link #toString} does not tell it. */
public final class AccessToken {
    private final String value;
    private final long renewAt;
    private final long expiresAt;

    AccessToken(String value, long renewAt, long expiresAt) {
        this.value = value;
        this.renewAt = renewAt;
        this.expiresAt = expiresAt;
    }

    /**
     * The token, to be sent as {@code authorization: Bearer} followed by it.
     *
     * @return the text; a secret
     */
    public String value() {
        return value;
    }

    @Override
    public String toString() {
        return "an access token";
    }

    /** Whether it has not expired, by {@link TimeSource#nanos}. */
    boolean isLive(long now) {
        return now - expiresAt < 0;
    }

    /** Whether it is time to get another one. */
    boolean isDue(long now) {
        return now - renewAt >= 0;
    }
}
