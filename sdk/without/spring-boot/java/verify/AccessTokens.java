package verify;

import java.time.Duration;
import java.util.List;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Profile;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtIssuerValidator;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.JwtTypeValidator;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;

/** The one bean that a service adds: it takes access tokens (RFC 9068) of the issuer for the audience, and no other token. */
@Configuration
@Profile("!default-decoder")
class AccessTokens {
  @Bean
  JwtDecoder jwtDecoder(
      @Value("${spring.security.oauth2.resourceserver.jwt.issuer-uri}") String issuer,
      @Value("${spring.security.oauth2.resourceserver.jwt.audiences}") String audience) {
    // The algorithms are those of the issuer's keys. The type is checked below, where it may be another than JWT.
    var decoder = NimbusJwtDecoder.withIssuerLocation(issuer).validateType(false).build();
    decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(
        new JwtTypeValidator("at+jwt", "application/at+jwt"),
        new JwtIssuerValidator(issuer),
        new JwtClaimValidator<List<String>>("aud", said -> said != null && said.contains(audience)),
        new JwtClaimValidator<Object>("exp", said -> said != null),
        new JwtClaimValidator<Object>("client_id", said -> said != null),
        new JwtTimestampValidator(Duration.ofSeconds(5))));
    return decoder;
  }
}
