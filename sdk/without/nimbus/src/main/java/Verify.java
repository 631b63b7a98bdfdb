import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import java.net.URI;
import java.util.Set;

/** Verifies one access token of Signet by Nimbus: ISSUER, AUDIENCE, TOKEN. With {@code --default}, nothing is set but what must be. */
public final class Verify {
  private static final Set<String> REQUIRED = Set.of("exp", "iat", "sub", "jti", "client_id", "scope");

  private static DefaultJWTProcessor<SecurityContext> processor(String issuer, String audience, boolean byDefault) throws Exception {
    var keys = JWKSourceBuilder.create(URI.create(issuer + "/.well-known/jwks.json").toURL()).retrying(true).build();
    var processor = new DefaultJWTProcessor<SecurityContext>();
    processor.setJWSKeySelector(new JWSVerificationKeySelector<>(Set.of(JWSAlgorithm.ES256, JWSAlgorithm.RS256), keys));
    if (!byDefault) {
      processor.setJWSTypeVerifier(
          new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt"), new JOSEObjectType("application/at+jwt")));
      var exactly = new JWTClaimsSet.Builder().issuer(issuer).build();
      var claims = new DefaultJWTClaimsVerifier<>(audience, exactly, REQUIRED);
      claims.setMaxClockSkew(5);
      processor.setJWTClaimsSetVerifier(claims);
    }
    return processor;
  }

  public static void main(String[] arguments) throws Exception {
    var byDefault = Set.of(arguments).contains("--default");
    try {
      var processor = processor(System.getenv("ISSUER"), System.getenv("AUDIENCE"), byDefault);
      System.out.println(processor.process(System.getenv("TOKEN"), null).getSubject());
    } catch (Exception refusal) {
      System.err.println(refusal.getClass().getSimpleName() + ": " + refusal.getMessage());
      System.exit(1);
    }
  }
}
