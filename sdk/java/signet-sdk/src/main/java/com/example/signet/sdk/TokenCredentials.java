package com.example.signet.sdk;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;

/** Attaches a token of a source to calls, where it may go. */
final class TokenCredentials extends CallCredentials {
    private static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final TokenSource source;
    private final CallTargets targets;

    /** What was attached last: of the one call that these credentials were made for, if they were made for one. */
    private volatile AccessToken attached;

    TokenCredentials(TokenSource source, CallTargets targets) {
        this.source = source;
        this.targets = targets;
    }

    AccessToken attached() {
        return attached;
    }

    @Override
    public void applyRequestMetadata(RequestInfo call, Executor executor, MetadataApplier applier) {
        String problem = targets.problem(call.getAuthority(), Addresses.isSecure(call), Addresses.isPeerLoopback(call));
        if (problem != null) {
            applier.fail(Status.UNAUTHENTICATED.withDescription(problem));
            return;
        }
        source.token().whenComplete((token, failure) -> {
            if (failure != null) {
                applier.fail(status(failure));
                return;
            }
            attached = token;
            Metadata headers = new Metadata();
            headers.put(AUTHORIZATION, "Bearer " + token.value());
            applier.apply(headers);
        });
    }

    /** The cause has the details, since a status by itself has none. */
    private static Status status(Throwable failure) {
        Throwable cause = failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
        Status status = cause instanceof StatusRuntimeException told ? told.getStatus() : Status.UNAVAILABLE;
        return status.withCause(cause);
    }
}
