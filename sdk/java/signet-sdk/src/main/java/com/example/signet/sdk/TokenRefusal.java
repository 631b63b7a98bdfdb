package com.example.signet.sdk;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;

/** Reads what Signet and server halves refuse: which answers are final, and which say that another token would do. */
final class TokenRefusal {
    /** The codes of answers that asking again does not change. */
    private static final Set<Status.Code> FINAL = Set.of(
            Status.Code.INVALID_ARGUMENT, Status.Code.UNAUTHENTICATED, Status.Code.PERMISSION_DENIED, Status.Code.FAILED_PRECONDITION,
            Status.Code.NOT_FOUND);
    private static final Set<String> BY_ANOTHER_TOKEN = Set.of(Reason.TOKEN_EXPIRED.name(), Reason.TOKEN_REVOKED.name());

    /** The longest pause that a RetryInfo may ask for: a longer one would leave a client without tokens, or blind. */
    static final Duration MAX_RETRY_DELAY = Duration.ofSeconds(60);

    private TokenRefusal() {}

    /** What a call fails with that needs a token, if {@code failure} is why there is none: that is its cause. */
    static StatusRuntimeException of(Throwable failure) {
        Throwable cause = failure.getCause() != null && !(failure instanceof StatusRuntimeException) ? failure.getCause() : failure;
        Status status = Status.fromThrowable(cause);
        if (!isFinal(cause)) {
            String why = cause instanceof StatusRuntimeException ? status.getCode().name() : cause.getClass().getSimpleName();
            why = status.getDescription() == null ? why : status.getDescription();
            return Status.UNAVAILABLE.withDescription("no access token could be got: " + why).withCause(cause).asRuntimeException();
        }
        Metadata trailers = Status.trailersFromThrowable(cause);
        com.google.rpc.Status details = trailers == null ? null : details(status, trailers);
        com.google.rpc.Status.Builder told = details == null ? com.google.rpc.Status.newBuilder() : details.toBuilder();
        StatusRuntimeException refused = StatusProto.toStatusRuntimeException(told
                .setCode(Status.Code.UNAUTHENTICATED.value())
                .setMessage(status.getDescription() == null ? "" : status.getDescription())
                .build());
        return refused.getStatus().withCause(cause).asRuntimeException(refused.getTrailers());
    }

    /** Whether asking again will not help: Signet has decided. */
    static boolean isFinal(Throwable failure) {
        boolean isAnswer = failure instanceof StatusRuntimeException || failure instanceof io.grpc.StatusException;
        return isAnswer && FINAL.contains(Status.fromThrowable(failure).getCode());
    }

    /** After how long Signet wants to be asked again, if it says so: {@link #MAX_RETRY_DELAY} at most. */
    static Optional<Duration> retryDelay(Throwable failure) {
        Metadata trailers = Status.trailersFromThrowable(failure);
        com.google.rpc.Status details = trailers == null ? null : details(Status.fromThrowable(failure), trailers);
        return detail(details, RetryInfo.class)
                .map(info -> bounded(info.getRetryDelay().getSeconds(), info.getRetryDelay().getNanos()));
    }

    private static Duration bounded(long seconds, int nanos) {
        boolean isTooLong = seconds >= MAX_RETRY_DELAY.toSeconds();
        return isTooLong ? MAX_RETRY_DELAY : Duration.ofSeconds(Math.max(0, seconds), Math.max(0, nanos));
    }

    /**
     * Whether a call that failed so is refused by the service itself for its token, so that another token may do: not where a service
     * passes on the refusal of the next one.
     */
    static boolean asksForAnotherToken(Status status, Metadata trailers, String audience, String method) {
        if (status.getCode() != Status.Code.UNAUTHENTICATED || trailers == null) {
            return false;
        }
        return detail(details(status, trailers), ErrorInfo.class)
                .filter(info -> info.getDomain().equals(Refusal.DOMAIN) && BY_ANOTHER_TOKEN.contains(info.getReason()))
                .filter(info -> audience.equals(info.getMetadataOrDefault("audience", null)))
                .filter(info -> method.equals(info.getMetadataOrDefault("method", null)))
                .isPresent();
    }

    /** The details of a failed call; null if there are none, or they cannot be read. */
    private static com.google.rpc.Status details(Status status, Metadata trailers) {
        try {
            return StatusProto.fromStatusAndTrailers(status, trailers);
        } catch (RuntimeException malformed) {
            return null;
        }
    }

    private static <M extends com.google.protobuf.Message> Optional<M> detail(com.google.rpc.Status details, Class<M> type) {
        if (details == null) {
            return Optional.empty();
        }
        for (Any detail : details.getDetailsList()) {
            if (detail.is(type)) {
                try {
                    return Optional.of(detail.unpack(type));
                } catch (InvalidProtocolBufferException malformed) {
                    return Optional.empty();
                }
            }
        }
        return Optional.empty();
    }
}
