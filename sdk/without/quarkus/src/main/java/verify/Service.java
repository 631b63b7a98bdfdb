package verify;

import io.quarkus.runtime.Quarkus;
import io.quarkus.runtime.QuarkusApplication;
import io.quarkus.runtime.annotations.QuarkusMain;
import io.quarkus.security.Authenticated;
import jakarta.inject.Inject;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import org.eclipse.microprofile.config.ConfigProvider;
import org.eclipse.microprofile.jwt.JsonWebToken;

/**
 * A service that tells its callers who they are, and shows itself one token: ISSUER, AUDIENCE, TOKEN. By the profile
 * {@code access-tokens} it is set as it should be; without, nothing is set but the issuer.
 */
@QuarkusMain
@Path("/")
public class Service implements QuarkusApplication {
  @Inject
  JsonWebToken token;

  @GET
  @Authenticated
  public String subject() {
    return token.getSubject();
  }

  @Override
  public int run(String... arguments) throws Exception {
    var port = ConfigProvider.getConfig().getValue("quarkus.http.port", int.class);
    var address = URI.create("http://127.0.0.1:" + port);
    var request = HttpRequest.newBuilder(address).header("authorization", "Bearer " + System.getenv("TOKEN")).build();
    var answer = HttpClient.newHttpClient().send(request, BodyHandlers.ofString());
    var refusal = answer.statusCode() + " " + answer.headers().firstValue("www-authenticate").orElse("");
    System.out.println(answer.statusCode() == 200 ? answer.body() : refusal);
    return answer.statusCode() == 200 ? 0 : 1;
  }

  public static void main(String... arguments) {
    Quarkus.run(Service.class, arguments);
  }
}
