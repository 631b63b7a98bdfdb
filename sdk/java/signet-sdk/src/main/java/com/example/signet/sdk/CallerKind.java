package com.example.signet.sdk;

/** Whom a token stands for. */
public enum CallerKind {
    /** A user, who has logged in. */
    USER("user"),
    /** A client by itself, with no user. */
    CLIENT("client");

    private final String label;

    CallerKind(String label) {
        this.label = label;
    }

    /**
     * The name in metadata of refusals.
     *
     * @return {@code user} or {@code client}
     */
    public String label() {
        return label;
    }
}
