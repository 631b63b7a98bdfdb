package com.example.signet.spring;

import com.example.signet.sdk.GuardInterceptor;
import com.example.signet.sdk.Policy;
import com.example.signet.sdk.Verifier;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;
import org.springframework.grpc.server.GlobalServerInterceptor;

/**
 * Guards all gRPC services of Spring gRPC by the rules in their protos, where Spring gRPC is on the class path. The guard takes the place
 * of Spring gRPC's own resource server.
 */
@AutoConfiguration(after = SignetAutoConfiguration.class)
@ConditionalOnClass({GlobalServerInterceptor.class, ServerInterceptor.class})
@ConditionalOnBean(Verifier.class)
@EnableConfigurationProperties(SignetProperties.class)
public class SignetGrpcAutoConfiguration {
    /** The name of the guard's bean. */
    static final String GUARD = "signetGrpcGuard";

    /** What Spring makes. */
    public SignetGrpcAutoConfiguration() {}

    /**
     * The rules, read from the descriptors of what is served.
     *
     * @param properties which services are public
     * @return the policy
     */
    @Bean
    @ConditionalOnMissingBean
    public Policy signetPolicy(SignetProperties properties) {
        return Policy.ofServedWithPublic(properties.publicServices().toArray(String[]::new));
    }

    /**
     * Runs the guard before all other interceptors: a {@link GuardInterceptor} of the application's own, or one by {@code policy}. Of
     * several the application does not start.
     *
     * @param own guards that the application has defined
     * @param verifier verifies the tokens
     * @param policy says who may call which method
     * @return the interceptor
     */
    @Bean(GUARD)
    @Order(Ordered.HIGHEST_PRECEDENCE)
    @GlobalServerInterceptor
    ServerInterceptor signetGrpcGuard(ObjectProvider<GuardInterceptor> own, Verifier verifier, Policy policy) {
        GuardInterceptor guard = own.getIfAvailable(() -> GuardInterceptor.of(verifier, policy));
        // A type of its own, so that it stands beside a bean of the application, and not in its place.
        return new ServerInterceptor() {
            @Override
            public <Q, A> ServerCall.Listener<Q> interceptCall(ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
                return guard.interceptCall(call, headers, next);
            }
        };
    }

    /**
     * Leaves out Spring gRPC's own resource server, where the guard is.
     *
     * @return what takes it away
     */
    @Bean
    static ResourceServerRemoval signetResourceServerRemoval() {
        return new ResourceServerRemoval();
    }
}
