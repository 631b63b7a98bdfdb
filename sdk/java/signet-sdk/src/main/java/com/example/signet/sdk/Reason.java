package com.example.signet.sdk;

import io.grpc.Status;

/** Why a server half refuses a call: the {@code reason} of the {@code ErrorInfo} in the details of the status. */
public enum Reason {
    /** There is no token. */
    TOKEN_MISSING(Status.Code.UNAUTHENTICATED),
    /** The token is not genuine, not meant for this service, or not valid yet. */
    TOKEN_INVALID(Status.Code.UNAUTHENTICATED),
    /** The token has expired: get another one. */
    TOKEN_EXPIRED(Status.Code.UNAUTHENTICATED),
    /** What the token stands for has ended: get another one. */
    TOKEN_REVOKED(Status.Code.UNAUTHENTICATED),
    /** No rule lets anybody call the method: a defect of the service. */
    ACCESS_UNDECLARED(Status.Code.PERMISSION_DENIED),
    /** The token stands for a user where only a client may call, or for a client where only a user may. */
    CALLER_NOT_ALLOWED(Status.Code.PERMISSION_DENIED),
    /** The token lacks a scope. */
    INSUFFICIENT_SCOPE(Status.Code.PERMISSION_DENIED),
    /** Whom the token stands for lacks a role. */
    INSUFFICIENT_ROLE(Status.Code.PERMISSION_DENIED),
    /** The method asks for a role, and the token names none: its client has to be registered for the claim {@code roles}. */
    ROLES_NOT_IN_TOKEN(Status.Code.PERMISSION_DENIED),
    /** It cannot be told at this moment whether the token is good: call again. */
    UNAVAILABLE(Status.Code.UNAVAILABLE);

    private final Status.Code code;

    Reason(Status.Code code) {
        this.code = code;
    }

    /**
     * The gRPC code that goes with it.
     *
     * @return the code
     */
    public Status.Code code() {
        return code;
    }
}
