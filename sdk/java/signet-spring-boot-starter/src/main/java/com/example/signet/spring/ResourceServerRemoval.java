package com.example.signet.spring;

import org.springframework.beans.factory.annotation.AnnotatedBeanDefinition;
import org.springframework.beans.factory.config.BeanDefinition;
import org.springframework.beans.factory.support.BeanDefinitionRegistry;
import org.springframework.beans.factory.support.BeanDefinitionRegistryPostProcessor;
import org.springframework.core.type.MethodMetadata;

/**
 * Takes away the interceptor of Spring gRPC's own resource server, which would ask for a token at every method, also at those that their
 * proto declares public. It does so only if the guard of the starter is a bean of this very application; else Spring's own one stays.
 */
final class ResourceServerRemoval implements BeanDefinitionRegistryPostProcessor {
    private static final String SPRINGS =
            "org.springframework.boot.grpc.server.autoconfigure.security.OAuth2ResourceServerAutoConfiguration$";
    private static final String INTERCEPTOR = "org.springframework.grpc.server.security.AuthenticationProcessInterceptor";

    @Override
    public void postProcessBeanDefinitionRegistry(BeanDefinitionRegistry registry) {
        boolean isGuarded = registry.containsBeanDefinition(SignetGrpcAutoConfiguration.GUARD)
                && isMade(registry.getBeanDefinition(SignetGrpcAutoConfiguration.GUARD), SignetGrpcAutoConfiguration.class.getName(), null);
        if (!isGuarded) {
            return;
        }
        for (String name : registry.getBeanDefinitionNames()) {
            if (isMade(registry.getBeanDefinition(name), SPRINGS, INTERCEPTOR)) {
                registry.removeBeanDefinition(name);
            }
        }
    }

    /** Whether the bean is what a method makes of a class whose name begins so, and of this type, if one is given. */
    private static boolean isMade(BeanDefinition bean, String by, String type) {
        MethodMetadata method = bean instanceof AnnotatedBeanDefinition annotated ? annotated.getFactoryMethodMetadata() : null;
        return method != null
                && method.getDeclaringClassName().startsWith(by)
                && (type == null || method.getReturnTypeName().equals(type));
    }
}
