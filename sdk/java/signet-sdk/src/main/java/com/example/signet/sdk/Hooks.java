package com.example.signet.sdk;

/**
 * Is told what happens, for metrics. What a method throws is logged and changes nothing; none may block, since calls wait for it.
 */
public interface Hooks {
    /**
     * A token was judged.
     *
     * @param reason {@code OK}, or the reason of the refusal
     * @param cached whether the token had been verified before
     */
    default void verified(String reason, boolean cached) {}

    /**
     * The issuer's keys were asked for.
     *
     * @param ok whether that succeeded
     */
    default void keysFetched(boolean ok) {}

    /**
     * The stream of revocations has come into another state.
     *
     * @param state the state
     */
    default void revocations(RevocationsState state) {}

    /**
     * An open stream was ended.
     *
     * @param reason why
     */
    default void streamEnded(String reason) {}

    /**
     * The client half has asked for a token.
     *
     * @param ok whether it got one
     */
    default void tokenRenewed(boolean ok) {}

    /** The client half has sent a call once more. */
    default void callRetried() {}

    /** In which state the stream of revocations is. */
    enum RevocationsState {
        /** It is being opened. */
        CONNECTING,
        /** All that was revoked is known. */
        COMPLETE,
        /** There is none. What was told before still counts. */
        DOWN
    }
}
