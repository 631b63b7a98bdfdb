package com.example.signet.sdk;

import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.concurrent.Executor;

/** Attaches nothing to calls, and fails those that would go in plaintext to another machine: before any message of theirs is sent. */
final class PlaintextCheck extends CallCredentials {
    @Override
    public void applyRequestMetadata(RequestInfo call, Executor executor, MetadataApplier applier) {
        if (Addresses.isSecure(call) || Addresses.isLoopback(call)) {
            applier.apply(new Metadata());
        } else {
            applier.fail(Status.UNAUTHENTICATED.withDescription("secrets go over plaintext only to loopback addresses"));
        }
    }
}
