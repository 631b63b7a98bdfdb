package com.example.signet.sdk;

/** Says why a token is invalid: one of {@link Sentences}. Without a stack trace: a flood of bad tokens must cost little. */
final class InvalidToken extends Exception {
    private static final long serialVersionUID = 1;

    InvalidToken(String why) {
        super(why, null, false, false);
    }
}
