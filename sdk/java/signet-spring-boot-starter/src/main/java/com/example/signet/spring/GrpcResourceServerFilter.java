package com.example.signet.spring;

import org.springframework.boot.autoconfigure.AutoConfigurationImportFilter;
import org.springframework.boot.autoconfigure.AutoConfigurationMetadata;
import org.springframework.context.EnvironmentAware;
import org.springframework.core.env.Environment;

/**
 * Leaves out the resource server of Spring gRPC where the guard of the SDK is: it would ask for a token at every method, also at those that
 * their proto declares public.
 */
public final class GrpcResourceServerFilter implements AutoConfigurationImportFilter, EnvironmentAware {
    private static final String PACKAGE = "org.springframework.boot.grpc.server.autoconfigure.security.";
    private static final String NAME = "OAuth2ResourceServer";

    private Environment environment;

    /** What Spring makes. */
    public GrpcResourceServerFilter() {}

    @Override
    public void setEnvironment(Environment given) {
        environment = given;
    }

    @Override
    public boolean[] match(String[] names, AutoConfigurationMetadata metadata) {
        boolean isGuarded = environment.containsProperty("signet.issuer") && environment.containsProperty("signet.audience");
        boolean[] stays = new boolean[names.length];
        for (int at = 0; at < names.length; at++) {
            String name = names[at];
            stays[at] = !(isGuarded && name != null && name.startsWith(PACKAGE) && name.contains(NAME));
        }
        return stays;
    }
}
