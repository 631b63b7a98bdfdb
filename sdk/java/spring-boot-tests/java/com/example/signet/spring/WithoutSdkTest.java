package com.example.signet.spring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.example.signet.sdk.testing.TestIssuer;
import java.net.http.HttpResponse;
import org.junit.jupiter.api.Test;
import org.springframework.context.ConfigurableApplicationContext;

/** Spring Security by itself, with no line of code: it takes tokens of audiences that have asked for {@code typ: JWT}. */
class WithoutSdkTest {
    @Test
    void issuerUriAndAudiencesAreEnoughForTokensOfTypeJwt() throws Exception {
        try (WebIssuer web = new WebIssuer();
                ConfigurableApplicationContext application = Application.start(
                        "spring.security.oauth2.resourceserver.jwt.issuer-uri=" + web.issuer.issuer(),
                        "spring.security.oauth2.resourceserver.jwt.audiences=stock")) {
            HttpResponse<String> answer =
                    Application.get(application, web.issuer.user("alice").audiences("stock").scopes("stock:write").typ("JWT").sign());
            assertEquals(200, answer.statusCode());
            assertEquals(TestIssuer.id("alice") + " [SCOPE_stock:write]", answer.body());

            HttpResponse<String> other = Application.get(application, web.issuer.user("alice").audiences("orders").typ("JWT").sign());
            assertEquals(401, other.statusCode());

            HttpResponse<String> typed = Application.get(application, web.issuer.user("alice").audiences("stock").sign());
            assertEquals(401, typed.statusCode());
            String why = typed.headers().firstValue("WWW-Authenticate").orElseThrow();
            boolean isOfOneVersion = why.contains("JOSE header typ (type) at+jwt not allowed")
                    || why.contains("the given typ value needs to be one of [JWT]");
            assertTrue(isOfOneVersion, why);
        }
    }
}
