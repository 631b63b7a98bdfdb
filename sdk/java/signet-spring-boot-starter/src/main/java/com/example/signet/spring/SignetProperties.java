package com.example.signet.spring;

import java.time.Duration;
import java.util.List;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * The properties of the starter. The first two are enough.
 *
 * @param issuer {@code signet.issuer}: the issuer, letter for letter as in its tokens
 * @param audience {@code signet.audience}: the name of this service, for which tokens must be meant
 * @param jwksUri {@code signet.jwks-uri}: where the issuer's keys are, if its metadata are not to be asked
 * @param leeway {@code signet.leeway}: how far the issuer's clock may be from this one
 * @param tokenTypJwt {@code signet.token-typ-jwt}: whether tokens of {@code typ: JWT} are taken, too
 * @param addresses {@code signet.addresses}: the gRPC addresses of Signet, for following what was revoked
 * @param clientId {@code signet.client-id}: the client that follows it, with the scope {@code signet.events.watch}; absent, nobody does
 * @param clientSecret {@code signet.client-secret}: its secret
 * @param revocationMaxAge {@code signet.revocation-max-age}: for how long what was known of revocations is enough
 * @param streamGrace {@code signet.stream-grace}: how long after the expiry of its token an open stream ends
 * @param publicServices {@code signet.public-services}: gRPC services that everybody may call
 */
@ConfigurationProperties("signet")
public record SignetProperties(
        String issuer,
        String audience,
        String jwksUri,
        @DefaultValue("5s") Duration leeway,
        @DefaultValue("false") boolean tokenTypJwt,
        @DefaultValue("127.0.0.1:50051") List<String> addresses,
        String clientId,
        String clientSecret,
        @DefaultValue("30s") Duration revocationMaxAge,
        @DefaultValue("30s") Duration streamGrace,
        @DefaultValue("grpc.health.v1.Health") List<String> publicServices) {

    @Override
    public String toString() {
        return "signet: issuer " + issuer + ", audience " + audience;
    }
}
