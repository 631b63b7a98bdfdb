import io.smallrye.jwt.algorithm.SignatureAlgorithm;
import io.smallrye.jwt.auth.principal.DefaultJWTParser;
import io.smallrye.jwt.auth.principal.JWTAuthContextInfo;
import io.smallrye.jwt.auth.principal.ParseException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Set;
import java.util.regex.Pattern;

/** Verifies one access token of Signet by smallrye-jwt: ISSUER, AUDIENCE, TOKEN. {@code --default}: nothing is set but what must be. */
public final class Verify {
  private static final Pattern TYP = Pattern.compile("\"typ\"\\s*:\\s*\"(application/)?at\\+jwt\"", Pattern.CASE_INSENSITIVE);

  private static JWTAuthContextInfo settings(String issuer, String audience, boolean byDefault) {
    var settings = new JWTAuthContextInfo(issuer + "/.well-known/jwks.json", issuer);
    if (!byDefault) {
      settings.setSignatureAlgorithm(Set.of(SignatureAlgorithm.ES256, SignatureAlgorithm.RS256, SignatureAlgorithm.EDDSA));
      settings.setExpectedAudience(Set.of(audience));
      settings.setClockSkew(5);
      settings.setRequiredClaims(Set.of("exp", "iat", "sub", "jti", "client_id", "scope"));
    }
    return settings;
  }

  /** smallrye-jwt does not look at {@code typ}: an ID token for the same audience would pass. */
  private static void mustBeAccessToken(String token) throws ParseException {
    var header = new String(Base64.getUrlDecoder().decode(token.substring(0, token.indexOf('.'))), StandardCharsets.UTF_8);
    if (!TYP.matcher(header).find()) {
      throw new ParseException("its typ is not at+jwt");
    }
  }

  public static void main(String[] arguments) {
    var byDefault = Set.of(arguments).contains("--default");
    var token = System.getenv("TOKEN");
    try {
      var claims = new DefaultJWTParser(settings(System.getenv("ISSUER"), System.getenv("AUDIENCE"), byDefault)).parse(token);
      if (!byDefault) {
        mustBeAccessToken(token);
      }
      System.out.println(claims.getSubject());
    } catch (Exception refusal) {
      for (Throwable cause = refusal; cause != null; cause = cause.getCause()) {
        System.err.println(cause.getClass().getSimpleName() + ": " + cause.getMessage());
      }
      System.exit(1);
    }
  }
}
