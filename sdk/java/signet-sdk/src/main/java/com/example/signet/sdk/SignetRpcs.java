package com.example.signet.sdk;

import com.example.signet.identity.events.v1.WatchRequest;
import com.example.signet.identity.events.v1.WatchResponse;
import com.example.signet.identity.v1.IntrospectTokenRequest;
import com.example.signet.identity.v1.IntrospectTokenResponse;
import com.example.signet.identity.v1.IssueTokenRequest;
import com.example.signet.identity.v1.IssueTokenResponse;
import com.google.protobuf.Message;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.protobuf.ProtoUtils;

/** The RPCs of Signet that the SDK calls. By hand, so that its jar holds no stubs that would collide with those of its users. */
final class SignetRpcs {
    static final MethodDescriptor<IssueTokenRequest, IssueTokenResponse> ISSUE_TOKEN = rpc(
            MethodType.UNARY, "identity.v1.IdentityService/IssueToken",
            IssueTokenRequest.getDefaultInstance(), IssueTokenResponse.getDefaultInstance());

    static final MethodDescriptor<IntrospectTokenRequest, IntrospectTokenResponse> INTROSPECT_TOKEN = rpc(
            MethodType.UNARY, "identity.v1.TokenService/IntrospectToken",
            IntrospectTokenRequest.getDefaultInstance(), IntrospectTokenResponse.getDefaultInstance());

    static final MethodDescriptor<WatchRequest, WatchResponse> WATCH = rpc(
            MethodType.SERVER_STREAMING, "identity.events.v1.EventService/Watch",
            WatchRequest.getDefaultInstance(), WatchResponse.getDefaultInstance());

    private SignetRpcs() {}

    private static <Q extends Message, A extends Message> MethodDescriptor<Q, A> rpc(MethodType type, String name, Q request, A answer) {
        return MethodDescriptor.<Q, A>newBuilder()
                .setType(type)
                .setFullMethodName(name)
                .setRequestMarshaller(ProtoUtils.marshaller(request))
                .setResponseMarshaller(ProtoUtils.marshaller(answer))
                .build();
    }
}
