package com.example.signet.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.example.signet.identity.v1.GetJwksRequest;
import com.example.signet.identity.v1.GetJwksResponse;
import com.example.signet.identity.v1.IntrospectTokenRequest;
import com.example.signet.identity.v1.IntrospectTokenResponse;
import com.example.signet.identity.v1.TokenServiceOuterClass;
import com.example.signet.sdk.Caller;
import com.example.signet.sdk.GuardInterceptor;
import com.example.signet.sdk.Policy;
import com.example.signet.sdk.Verifier;
import com.example.signet.sdk.testing.TestIssuer;
import com.google.protobuf.Descriptors;
import com.google.protobuf.Message;
import io.grpc.BindableService;
import io.grpc.CallOptions;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.ProtoFileDescriptorSupplier;
import io.grpc.protobuf.ProtoMethodDescriptorSupplier;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ServerCalls;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.grpc.server.lifecycle.GrpcServerLifecycle;
import org.springframework.stereotype.Service;

/** A service of Spring gRPC that is protected by two properties and its proto. */
class GrpcTest {
    private static final MethodDescriptor<IntrospectTokenRequest, IntrospectTokenResponse> GUARDED =
            method("IntrospectToken", IntrospectTokenRequest.getDefaultInstance(), IntrospectTokenResponse.getDefaultInstance());
    private static final MethodDescriptor<GetJwksRequest, GetJwksResponse> PUBLIC =
            method("GetJwks", GetJwksRequest.getDefaultInstance(), GetJwksResponse.getDefaultInstance());

    @Test
    void twoPropertiesProtectAServiceOfSpringGrpc() throws Exception {
        try (WebIssuer web = new WebIssuer();
                ConfigurableApplicationContext application =
                        Application.start("signet.issuer=" + web.issuer.issuer(), "signet.audience=stock")) {
            int port = application.getBean(GrpcServerLifecycle.class).getPort();
            ManagedChannel channel = Grpc.newChannelBuilder("127.0.0.1:" + port, InsecureChannelCredentials.create()).build();
            try {
                ClientCalls.blockingUnaryCall(channel, PUBLIC, CallOptions.DEFAULT, GetJwksRequest.getDefaultInstance());
                String good = web.issuer.client("robot").audiences("stock").scopes("introspect").sign();
                assertEquals(TestIssuer.id("robot"), call(channel, good).getSub());
                String lacks = web.issuer.client("robot").audiences("stock").sign();
                StatusRuntimeException refused = assertThrows(StatusRuntimeException.class, () -> call(channel, lacks));
                assertEquals(Status.Code.PERMISSION_DENIED, refused.getStatus().getCode());
                String other = web.issuer.client("robot").audiences("orders").scopes("introspect").sign();
                refused = assertThrows(StatusRuntimeException.class, () -> call(channel, other));
                assertEquals(Status.Code.UNAUTHENTICATED, refused.getStatus().getCode());
            } finally {
                channel.shutdownNow();
            }
        }
    }

    @Test
    void aGuardOfTheApplicationsOwnIsInForce() throws Exception {
        try (WebIssuer web = new WebIssuer();
                ConfigurableApplicationContext application = Application.startWith(
                        OwnGuard.class, "signet.issuer=" + web.issuer.issuer(), "signet.audience=stock")) {
            // By its policy, which declares nothing.
            assertEquals(Status.Code.PERMISSION_DENIED,
                    codeWithoutToken(application, GUARDED, IntrospectTokenRequest.getDefaultInstance()));
            assertEquals(Status.Code.PERMISSION_DENIED, codeWithoutToken(application, PUBLIC, GetJwksRequest.getDefaultInstance()));
        }
    }

    @Test
    void springsOwnResourceServerStaysWhereTheGuardIsNot() throws Exception {
        String exclude = "spring.autoconfigure.exclude=";
        for (List<String> absent : List.of(
                List.of("signet.audience=stock", exclude + SignetGrpcAutoConfiguration.class.getName()),
                List.of("signet.audience=stock", exclude + SignetAutoConfiguration.class.getName()),
                List.of("signet.audience=false"))) {
            try (WebIssuer web = new WebIssuer()) {
                List<String> properties = new ArrayList<>(absent);
                properties.add("signet.issuer=" + web.issuer.issuer());
                properties.add("spring.security.oauth2.resourceserver.jwt.issuer-uri=" + web.issuer.issuer());
                try (ConfigurableApplicationContext application = Application.start(properties.toArray(String[]::new))) {
                    assertEquals(Status.Code.UNAUTHENTICATED,
                            codeWithoutToken(application, GUARDED, IntrospectTokenRequest.getDefaultInstance()), absent.toString());
                }
            }
        }
    }

    private static <Q> Status.Code codeWithoutToken(ConfigurableApplicationContext application, MethodDescriptor<Q, ?> method, Q request) {
        int port = application.getBean(GrpcServerLifecycle.class).getPort();
        ManagedChannel channel = Grpc.newChannelBuilder("127.0.0.1:" + port, InsecureChannelCredentials.create()).build();
        try {
            ClientCalls.blockingUnaryCall(channel, method, CallOptions.DEFAULT, request);
            return Status.Code.OK;
        } catch (StatusRuntimeException refused) {
            return refused.getStatus().getCode();
        } finally {
            channel.shutdownNow();
        }
    }

    /** What an application adds that has a policy of its own: without a word of where the guard runs. */
    static class OwnGuard {
        @Bean
        GuardInterceptor ownGuard(Verifier verifier) {
            return GuardInterceptor.of(verifier, Policy.builder().build());
        }
    }

    private static IntrospectTokenResponse call(ManagedChannel channel, String token) {
        CallOptions options = CallOptions.DEFAULT.withCallCredentials(TestIssuer.bearer(token));
        return ClientCalls.blockingUnaryCall(channel, GUARDED, options, IntrospectTokenRequest.getDefaultInstance());
    }

    /** A service as generated code makes it. */
    @Service
    static class Tokens implements BindableService {
        @Override
        public ServerServiceDefinition bindService() {
            ServiceDescriptor service = ServiceDescriptor.newBuilder("identity.v1.TokenService")
                    .setSchemaDescriptor(new Schema(null))
                    .addMethod(GUARDED)
                    .addMethod(PUBLIC)
                    .build();
            return ServerServiceDefinition.builder(service)
                    .addMethod(GUARDED, ServerCalls.asyncUnaryCall((request, answer) -> {
                        answer.onNext(IntrospectTokenResponse.newBuilder().setSub(Caller.current().orElseThrow().id()).build());
                        answer.onCompleted();
                    }))
                    .addMethod(PUBLIC, ServerCalls.asyncUnaryCall((request, answer) -> {
                        answer.onNext(GetJwksResponse.getDefaultInstance());
                        answer.onCompleted();
                    }))
                    .build();
        }
    }

    private static <Q extends Message, A extends Message> MethodDescriptor<Q, A> method(String name, Q request, A answer) {
        return MethodDescriptor.<Q, A>newBuilder()
                .setType(MethodDescriptor.MethodType.UNARY)
                .setFullMethodName("identity.v1.TokenService/" + name)
                .setRequestMarshaller(ProtoUtils.marshaller(request))
                .setResponseMarshaller(ProtoUtils.marshaller(answer))
                .setSchemaDescriptor(new Schema(name))
                .build();
    }

    private record Schema(String method) implements ProtoFileDescriptorSupplier, ProtoMethodDescriptorSupplier {
        @Override
        public Descriptors.FileDescriptor getFileDescriptor() {
            return TokenServiceOuterClass.getDescriptor();
        }

        @Override
        public Descriptors.ServiceDescriptor getServiceDescriptor() {
            return getFileDescriptor().findServiceByName("TokenService");
        }

        @Override
        public Descriptors.MethodDescriptor getMethodDescriptor() {
            return getServiceDescriptor().findMethodByName(method);
        }
    }
}
