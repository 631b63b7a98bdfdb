package verify;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.List;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/**
 * A service that tells its callers who they are, and shows itself one token: ISSUER, AUDIENCE, TOKEN. With {@code --default}, it has the
 * decoder that Spring Boot makes by itself.
 */
@SpringBootApplication
@RestController
public class Service {
  @GetMapping("/")
  String subject(@AuthenticationPrincipal Jwt token) {
    return token.getSubject();
  }

  public static void main(String[] arguments) throws Exception {
    var application = new SpringApplication(Service.class);
    if (List.of(arguments).contains("--default")) {
      application.setAdditionalProfiles("default-decoder");
    }
    try (var context = application.run()) {
      var address = URI.create("http://127.0.0.1:" + context.getEnvironment().getProperty("local.server.port"));
      var request = HttpRequest.newBuilder(address).header("authorization", "Bearer " + System.getenv("TOKEN")).build();
      var answer = HttpClient.newHttpClient().send(request, BodyHandlers.ofString());
      System.out.println(answer.statusCode() == 200 ? answer.body() : answer.headers().firstValue("www-authenticate").orElse(answer.body()));
      System.exit(answer.statusCode() == 200 ? 0 : 1);
    }
  }
}
