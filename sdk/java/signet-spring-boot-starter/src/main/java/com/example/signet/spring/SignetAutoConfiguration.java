package com.example.signet.spring;

import com.example.signet.sdk.Hooks;
import com.example.signet.sdk.Introspection;
import com.example.signet.sdk.Revocations;
import com.example.signet.sdk.SignetServers;
import com.example.signet.sdk.Verifier;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;

/** Makes the verifier, where {@code signet.issuer} and {@code signet.audience} are set. */
@AutoConfiguration
@ConditionalOnProperty(prefix = "signet", name = {"issuer", "audience"})
@EnableConfigurationProperties(SignetProperties.class)
public class SignetAutoConfiguration {
    /** What Spring makes. */
    public SignetAutoConfiguration() {}

    /**
     * The replicas of Signet, where what was revoked is followed.
     *
     * @param properties where they are
     * @return the channels, which are opened when they are needed
     */
    @Bean
    @ConditionalOnMissingBean
    @ConditionalOnProperty(prefix = "signet", name = "client-id")
    public SignetServers signetServers(SignetProperties properties) {
        return SignetServers.of(properties.addresses().toArray(String[]::new));
    }

    /**
     * What was revoked, where {@code signet.client-id} says who follows it.
     *
     * @param properties the client
     * @param servers where Signet is
     * @return revocations that are followed as soon as there is a verifier
     */
    @Bean
    @ConditionalOnMissingBean
    @ConditionalOnProperty(prefix = "signet", name = "client-id")
    public Revocations signetRevocations(SignetProperties properties, SignetServers servers) {
        return Revocations.follow(servers, properties.clientId(), properties.clientSecret());
    }

    /**
     * The verifier of this service.
     *
     * @param properties its settings
     * @param revocations what was revoked, if that is followed
     * @param introspection asks for roles, if there is a bean that does
     * @param hooks metrics, if there is a bean for them
     * @return the verifier
     */
    @Bean
    @ConditionalOnMissingBean
    public Verifier signetVerifier(
            SignetProperties properties, ObjectProvider<Revocations> revocations, ObjectProvider<Introspection> introspection,
            ObjectProvider<Hooks> hooks) {
        Verifier.Builder builder = Verifier.builder(properties.issuer(), properties.audience())
                .leeway(properties.leeway())
                .tokenTypJwt(properties.tokenTypJwt())
                .revocationMaxAge(properties.revocationMaxAge())
                .streamGrace(properties.streamGrace());
        if (properties.jwksUri() != null) {
            builder.jwksUri(properties.jwksUri());
        }
        revocations.ifAvailable(builder::revocations);
        introspection.ifAvailable(builder::introspection);
        hooks.ifAvailable(builder::hooks);
        return builder.build();
    }
}
