package com.example.signet.spring;

import com.example.signet.sdk.Reason;
import com.example.signet.sdk.Verifier;
import java.util.Collections;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnWebApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpHeaders;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.annotation.web.configuration.EnableWebSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.server.resource.BearerTokenErrors;
import org.springframework.security.oauth2.server.resource.web.BearerTokenResolver;
import org.springframework.security.oauth2.server.resource.web.DefaultBearerTokenResolver;
import org.springframework.security.oauth2.server.resource.web.authentication.BearerTokenAuthenticationFilter;
import org.springframework.security.web.SecurityFilterChain;

/**
 * Protects HTTP: Spring Security verifies bearer tokens by the verifier of the SDK, and every request needs one. A {@link JwtDecoder} or a
 * {@link SecurityFilterChain} of the application's own takes the place of this one.
 */
@AutoConfiguration(
        after = SignetAutoConfiguration.class,
        beforeName = {
            "org.springframework.boot.autoconfigure.security.servlet.SecurityAutoConfiguration",
            "org.springframework.boot.autoconfigure.security.servlet.UserDetailsServiceAutoConfiguration",
            "org.springframework.boot.autoconfigure.security.oauth2.resource.servlet.OAuth2ResourceServerAutoConfiguration",
            "org.springframework.boot.security.autoconfigure.SecurityAutoConfiguration",
            "org.springframework.boot.security.autoconfigure.UserDetailsServiceAutoConfiguration",
            "org.springframework.boot.security.autoconfigure.web.servlet.ServletWebSecurityAutoConfiguration",
            "org.springframework.boot.security.oauth2.server.resource.autoconfigure.servlet.OAuth2ResourceServerAutoConfiguration"
        })
@ConditionalOnWebApplication(type = ConditionalOnWebApplication.Type.SERVLET)
@ConditionalOnClass({JwtDecoder.class, SecurityFilterChain.class, HttpSecurity.class})
@ConditionalOnBean(Verifier.class)
public class SignetWebAutoConfiguration {
    /** What Spring makes. */
    public SignetWebAutoConfiguration() {}

    /**
     * Decodes tokens by the verifier.
     *
     * @param verifier the verifier
     * @return the decoder
     */
    @Bean
    @ConditionalOnMissingBean
    public JwtDecoder signetJwtDecoder(Verifier verifier) {
        return new SignetJwtDecoder(verifier);
    }

    /**
     * Reads the token of a request as Spring does, and refuses two headers: which of them a proxy in front has looked at cannot be known.
     *
     * @return the resolver
     */
    @Bean
    @ConditionalOnMissingBean
    public BearerTokenResolver signetBearerTokenResolver() {
        BearerTokenResolver springs = new DefaultBearerTokenResolver();
        return request -> {
            if (Collections.list(request.getHeaders(HttpHeaders.AUTHORIZATION)).size() > 1) {
                throw new OAuth2AuthenticationException(BearerTokenErrors.invalidToken(Reason.TOKEN_INVALID.name()));
            }
            return springs.resolve(request);
        };
    }

    /** The rule for requests, where the application has none. */
    @Configuration(proxyBeanMethods = false)
    @EnableWebSecurity
    @ConditionalOnMissingBean(SecurityFilterChain.class)
    static class Chain {
        @Bean
        SecurityFilterChain signetSecurityFilterChain(HttpSecurity http) throws Exception {
            http.authorizeHttpRequests(requests -> requests.anyRequest().authenticated());
            http.oauth2ResourceServer(server -> server.jwt(Customizer.withDefaults()));
            // No cookie stands for a caller, so no page of another site can use one.
            http.sessionManagement(session -> session.sessionCreationPolicy(SessionCreationPolicy.STATELESS));
            http.csrf(csrf -> csrf.disable());
            http.addFilterBefore(new UnavailableFilter(), BearerTokenAuthenticationFilter.class);
            return http.build();
        }
    }
}
