package com.example.signet.sdk;

import io.grpc.Attributes;
import io.grpc.CallCredentials;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.SecurityLevel;
import io.grpc.Status;
import java.net.SocketAddress;
import java.util.ArrayList;
import java.util.List;

/** Sends a call through the interceptor over a channel of its own, and lets it fail: whether it is made again. */
final class RetryProbe extends Channel {
    private final List<ClientCall.Listener<byte[]>> attempts = new ArrayList<>();
    private final MethodDescriptor<byte[], byte[]> method;
    private final TokenSource source;

    RetryProbe(String path, String audience, boolean isUnary) {
        method = new FakeCall(path, isUnary ? MethodType.UNARY : MethodType.SERVER_STREAMING).method;
        FakeSignet signet = new FakeSignet();
        source = TokenSource.builder(signet.servers(), audience).clientSecret("client", "secret").build();
        source.token().join();
    }

    boolean isRetried(int messages, Status status, Metadata trailers, long attempt) {
        TokenInterceptor interceptor = new TokenInterceptor(source, CallTargets.of(authority()));
        ClientCall<byte[], byte[]> call = interceptor.interceptCall(method, CallOptions.DEFAULT, this);
        call.start(new ClientCall.Listener<>() {}, new Metadata());
        call.request(2);
        call.sendMessage(new byte[0]);
        call.halfClose();
        for (int done = 1; done < attempt; done++) {
            attempts.get(attempts.size() - 1).onClose(status, trailers);
        }
        int before = attempts.size();
        for (int message = 0; message < messages; message++) {
            attempts.get(before - 1).onMessage(new byte[0]);
        }
        attempts.get(before - 1).onClose(status, trailers);
        return attempts.size() > before;
    }

    @Override
    public String authority() {
        return "stock.example:443";
    }

    @Override
    public <Q, A> ClientCall<Q, A> newCall(MethodDescriptor<Q, A> called, CallOptions options) {
        return new ClientCall<>() {
            @Override
            @SuppressWarnings("unchecked")
            public void start(Listener<A> listener, Metadata headers) {
                attempts.add((Listener<byte[]>) listener);
                Metadata attached = new Metadata();
                options.getCredentials().applyRequestMetadata(info(called), Runnable::run, new CallCredentials.MetadataApplier() {
                    @Override
                    public void apply(Metadata given) {
                        attached.merge(given);
                    }

                    @Override
                    public void fail(Status status) {
                        throw new IllegalStateException(status.toString());
                    }
                });
            }

            @Override
            public void request(int messages) {}

            @Override
            public void cancel(String why, Throwable cause) {}

            @Override
            public void halfClose() {}

            @Override
            public void sendMessage(Q message) {}
        };
    }

    private CallCredentials.RequestInfo info(MethodDescriptor<?, ?> called) {
        return info(called, authority(), SecurityLevel.PRIVACY_AND_INTEGRITY, null);
    }

    /** What credentials are told of a call; {@code peer} is null if it is not known. */
    static CallCredentials.RequestInfo info(MethodDescriptor<?, ?> called, String authority, SecurityLevel level, SocketAddress peer) {
        return new CallCredentials.RequestInfo() {
            @Override
            public MethodDescriptor<?, ?> getMethodDescriptor() {
                return called;
            }

            @Override
            public SecurityLevel getSecurityLevel() {
                return level;
            }

            @Override
            public String getAuthority() {
                return authority;
            }

            @Override
            public Attributes getTransportAttrs() {
                return Attributes.newBuilder().set(Grpc.TRANSPORT_ATTR_REMOTE_ADDR, peer).build();
            }
        };
    }
}
