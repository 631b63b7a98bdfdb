import com.auth0.jwk.JwkProviderBuilder;
import com.auth0.jwt.JWT;
import com.auth0.jwt.algorithms.Algorithm;
import com.auth0.jwt.exceptions.JWTVerificationException;
import com.auth0.jwt.interfaces.DecodedJWT;
import java.net.URI;
import java.security.PublicKey;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.RSAPublicKey;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/**
 * Verifies one access token of Signet by auth0's java-jwt and jwks-rsa: ISSUER, AUDIENCE, TOKEN. With {@code --default}, the key is taken for
 * one of RSA, as in their examples.
 */
public final class Verify {
  private static final List<String> REQUIRED = List.of("exp", "iat", "sub", "jti", "client_id", "scope");
  private static final Pattern TYP = Pattern.compile("(application/)?at\\+jwt", Pattern.CASE_INSENSITIVE);

  /** The algorithm is the key's own, whatever the token says. */
  private static Algorithm algorithm(PublicKey key) {
    if (key instanceof ECPublicKey point) {
      return Algorithm.ECDSA256(point, null);
    }
    return Algorithm.RSA256((RSAPublicKey) key, null);
  }

  private static DecodedJWT verified(String issuer, String audience, String token, boolean byDefault) throws Exception {
    var provider = new JwkProviderBuilder(URI.create(issuer + "/.well-known/jwks.json").toURL())
        .cached(10, 5, TimeUnit.MINUTES).rateLimited(10, 1, TimeUnit.MINUTES).build();
    var key = provider.get(JWT.decode(token).getKeyId()).getPublicKey();
    if (byDefault) {
      return JWT.require(Algorithm.RSA256((RSAPublicKey) key, null)).withIssuer(issuer).build().verify(token);
    }
    var verification = JWT.require(algorithm(key)).withIssuer(issuer).withAudience(audience).acceptLeeway(5);
    REQUIRED.forEach(verification::withClaimPresence);
    var verified = verification.build().verify(token);
    if (verified.getType() == null || !TYP.matcher(verified.getType()).matches()) {
      throw new JWTVerificationException("its typ is not at+jwt");
    }
    return verified;
  }

  public static void main(String[] arguments) {
    try {
      var byDefault = Set.of(arguments).contains("--default");
      var verified = verified(System.getenv("ISSUER"), System.getenv("AUDIENCE"), System.getenv("TOKEN"), byDefault);
      System.out.println(verified.getSubject());
    } catch (Exception refusal) {
      System.err.println(refusal.getClass().getSimpleName() + ": " + refusal.getMessage());
      System.exit(1);
    }
  }
}
