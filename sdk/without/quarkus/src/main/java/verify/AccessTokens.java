package verify;

import io.quarkus.arc.Unremovable;
import io.quarkus.arc.lookup.LookupIfProperty;
import jakarta.enterprise.context.ApplicationScoped;
import java.util.List;
import java.util.regex.Pattern;
import org.jose4j.jwt.consumer.JwtContext;
import org.jose4j.jwt.consumer.Validator;

/** Looks at what Quarkus does not: whether a token says that it is an access token, and has the claims of one (RFC 9068). */
@ApplicationScoped
@Unremovable
@LookupIfProperty(name = "verify.access-tokens", stringValue = "true")
class AccessTokens implements Validator {
  private static final Pattern TYP = Pattern.compile("(application/)?at\\+jwt", Pattern.CASE_INSENSITIVE);
  private static final List<String> REQUIRED = List.of("exp", "iat", "sub", "jti", "client_id", "scope");

  /** What is wrong with a token whose signature has been verified; nothing if it is {@code null}. */
  @Override
  public String validate(JwtContext token) {
    var typ = token.getJoseObjects().get(0).getHeader("typ");
    if (typ == null || !TYP.matcher(typ).matches()) {
      return "its typ is not at+jwt";
    }
    return REQUIRED.stream().allMatch(token.getJwtClaims()::hasClaim) ? null : "it lacks claims of an access token";
  }
}
