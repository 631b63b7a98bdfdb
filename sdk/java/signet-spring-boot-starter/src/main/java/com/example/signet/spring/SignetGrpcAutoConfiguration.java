package com.example.signet.spring;

import com.example.signet.sdk.GuardInterceptor;
import com.example.signet.sdk.Policy;
import com.example.signet.sdk.Verifier;
import io.grpc.ServerInterceptor;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.context.annotation.Bean;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;
import org.springframework.grpc.server.GlobalServerInterceptor;

/** Guards all gRPC services of Spring gRPC by the rules in their protos, where Spring gRPC is on the class path. */
@AutoConfiguration(after = SignetAutoConfiguration.class)
@ConditionalOnClass({GlobalServerInterceptor.class, ServerInterceptor.class})
@ConditionalOnBean(Verifier.class)
public class SignetGrpcAutoConfiguration {
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
        return Policy.ofServed(properties.publicServices().toArray(String[]::new));
    }

    /**
     * The guard, which runs before all other interceptors.
     *
     * @param verifier verifies the tokens
     * @param policy says who may call which method
     * @return the interceptor
     */
    @Bean
    @Order(Ordered.HIGHEST_PRECEDENCE)
    @GlobalServerInterceptor
    @ConditionalOnMissingBean
    public GuardInterceptor signetGuard(Verifier verifier, Policy policy) {
        return GuardInterceptor.of(verifier, policy);
    }
}
