package com.example.signet.spring;

import java.util.Arrays;
import java.util.List;
import org.springframework.beans.factory.BeanClassLoaderAware;
import org.springframework.boot.autoconfigure.AutoConfigurationImportFilter;
import org.springframework.boot.autoconfigure.AutoConfigurationMetadata;
import org.springframework.context.EnvironmentAware;
import org.springframework.core.env.Environment;
import org.springframework.util.ClassUtils;

/**
 * Leaves out Spring gRPC's configuration of a resource server where it cannot work: it takes the classes of Spring Security, which the
 * starter brings, for those of {@code spring-boot-security-oauth2-resource-server}, and the application would not start. Only where the
 * guard of the starter is about to be made: else the application fails as it did, and is not open.
 */
final class BrokenResourceServerFilter implements AutoConfigurationImportFilter, EnvironmentAware, BeanClassLoaderAware {
    private static final String SPRINGS =
            "org.springframework.boot.grpc.server.autoconfigure.security.OAuth2ResourceServerAutoConfiguration";
    private static final String NEEDED =
            "org.springframework.boot.security.oauth2.server.resource.autoconfigure.servlet.JwkSetUriJwtDecoderBuilderCustomizer";
    private static final List<String> GUARD =
            List.of(SignetAutoConfiguration.class.getName(), SignetGrpcAutoConfiguration.class.getName());

    private Environment environment;
    private ClassLoader classes;

    @Override
    public void setEnvironment(Environment given) {
        environment = given;
    }

    @Override
    public void setBeanClassLoader(ClassLoader given) {
        classes = given;
    }

    @Override
    public boolean[] match(String[] candidates, AutoConfigurationMetadata metadata) {
        // What is excluded is no candidate.
        boolean isLeftOut = Arrays.asList(candidates).containsAll(GUARD)
                && isSet("signet.issuer")
                && isSet("signet.audience")
                && !ClassUtils.isPresent(NEEDED, classes);
        boolean[] match = new boolean[candidates.length];
        for (int candidate = 0; candidate < candidates.length; candidate++) {
            match[candidate] = !isLeftOut || !SPRINGS.equals(candidates[candidate]);
        }
        return match;
    }

    /** As {@code ConditionalOnProperty} has it, by which the guard is made. */
    private boolean isSet(String property) {
        String value = environment.getProperty(property);
        return value != null && !value.equalsIgnoreCase("false");
    }
}
