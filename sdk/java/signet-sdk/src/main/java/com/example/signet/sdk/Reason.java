package com.example.signet.sdk;

import io.grpc.Status;

/** Why a server half refuses a call: the {@code reason} of the {@code ErrorInfo} in the details of the status. */
public enum Reason {
    /** There is no token. */
    TOKEN_MISSING(Status.Code.UNAUTHENTICATED, "an access token is needed"),
    /** The token is not genuine, not meant for this service, or not valid yet. */
    TOKEN_INVALID(Status.Code.UNAUTHENTICATED, "the access token is not valid"),
    /** The token has expired: get another one. */
    TOKEN_EXPIRED(Status.Code.UNAUTHENTICATED, "the access token has expired"),
    /** What the token stands for has ended: get another one. */
    TOKEN_REVOKED(Status.Code.UNAUTHENTICATED, "the access token has been revoked"),
    /** No rule lets anybody call the method: a defect of the service. */
    ACCESS_UNDECLARED(Status.Code.PERMISSION_DENIED, "nobody may call this method: its access rule is missing or not understood"),
    /** The token stands for a user where only a client may call, or for a client where only a user may. */
    CALLER_NOT_ALLOWED(Status.Code.PERMISSION_DENIED, "this kind of caller may not call the method"),
    /** The token lacks a scope. */
    INSUFFICIENT_SCOPE(Status.Code.PERMISSION_DENIED, "the access token lacks a scope"),
    /** Whom the token stands for lacks a role. */
    INSUFFICIENT_ROLE(Status.Code.PERMISSION_DENIED, "the caller lacks a role"),
    /** The method asks for a role, and the token names none: its client has to be registered for the claim {@code roles}. */
    ROLES_NOT_IN_TOKEN(Status.Code.PERMISSION_DENIED, "the method asks for a role, and the access token does not name roles"),
    /** It cannot be told at this moment whether the token is good: call again. */
    UNAVAILABLE(Status.Code.UNAVAILABLE, "it cannot be told at this moment whether the access token is good");

    private final Status.Code code;
    private final String message;

    Reason(Status.Code code, String message) {
        this.code = code;
        this.message = message;
    }

    /**
     * The gRPC code that goes with it.
     *
     * @return the code
     */
    public Status.Code code() {
        return code;
    }

    /**
     * What it means, for people.
     *
     * @return a sentence without its full stop
     */
    public String message() {
        return message;
    }
}
