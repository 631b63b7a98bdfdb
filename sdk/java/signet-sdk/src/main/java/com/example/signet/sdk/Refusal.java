package com.example.signet.sdk;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.Map;
import java.util.TreeMap;

/** A call is refused. It says what Signet itself would: code, reason, metadata; never anything of the token. */
public final class Refusal extends RuntimeException {
    /** The domain of all reasons. */
    public static final String DOMAIN = "identity.v1";

    private static final long serialVersionUID = 1;

    private final Reason reason;
    private final String description;
    private final transient Map<String, String> metadata;

    /**
     * A refusal.
     *
     * @param reason why
     * @param detail what {@link Sentences#of} asks for
     * @param metadata what is known beside it: {@code audience} and {@code method} in every refusal of a call
     */
    Refusal(Reason reason, String detail, Map<String, String> metadata) {
        this(Sentences.of(reason, detail, metadata), reason, metadata);
    }

    private Refusal(String description, Reason reason, Map<String, String> metadata) {
        // Without a stack trace: it is an answer, and a flood of bad tokens must cost little.
        super(reason + ": " + description, null, false, false);
        this.reason = reason;
        this.description = description;
        this.metadata = Map.copyOf(metadata);
    }

    /** It cannot be told, whichever the call is: whoever knows the call makes a {@link Refusal} of it. */
    static final class Unavailable extends RuntimeException {
        private static final long serialVersionUID = 1;

        Unavailable() {
            super("it cannot be told", null, false, false);
        }
    }

    /**
     * Why.
     *
     * @return the reason
     */
    public Reason reason() {
        return reason;
    }

    /**
     * What it means, for people: what Signet itself says of such a call.
     *
     * @return a sentence without its full stop; nothing of the token is quoted
     */
    public String description() {
        return description;
    }

    /**
     * What is known beside the reason: the {@code audience} that the token had to be for, the {@code method}, and what is lacking.
     *
     * @return names and values
     */
    public Map<String, String> metadata() {
        return metadata == null ? Map.of() : metadata;
    }

    /**
     * The refusal as a status with details ({@code google.rpc.Status}).
     *
     * @return the message that stands in the trailer {@code grpc-status-details-bin}
     */
    public com.google.rpc.Status toProto() {
        ErrorInfo info = ErrorInfo.newBuilder()
                .setReason(reason.name())
                .setDomain(DOMAIN)
                .putAllMetadata(new TreeMap<>(metadata()))
                .build();
        com.google.rpc.Status.Builder status = com.google.rpc.Status.newBuilder()
                .setCode(reason.code().value())
                .setMessage(description)
                .addDetails(Any.pack(info));
        if (reason == Reason.UNAVAILABLE) {
            status.addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(Duration.newBuilder().setSeconds(1)).build()));
        }
        return status.build();
    }

    /**
     * The refusal as grpc-java throws it.
     *
     * @return with the details in its trailers
     */
    public StatusRuntimeException toException() {
        return StatusProto.toStatusRuntimeException(toProto());
    }

    /** The status alone. */
    Status status() {
        return reason.code().toStatus().withDescription(description);
    }

    /** The trailers of the refusal. */
    Metadata trailers() {
        Metadata trailers = toException().getTrailers();
        return trailers == null ? new Metadata() : trailers;
    }
}
