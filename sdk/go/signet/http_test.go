package signet_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns the tests of the guard in front of net/http.

func TestTheMiddlewareAnswersAsRFC6750Says(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	guard := issuer.Verifier(t, "stock").Middleware(signet.Rule{RequiredScopes: []string{"stock:write"}})
	handler := guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if caller, ok := signet.CallerFrom(r.Context()); !ok || !caller.HasScope("stock:write") {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	good := issuer.Token(signettest.User{Scopes: []string{"stock:write"}})
	for name, c := range map[string]struct {
		authorization []string
		status        int
		challenge     string
		name, reason  string
	}{
		"good":    {[]string{"Bearer " + good}, http.StatusOK, "", "", ""},
		"none":    {nil, http.StatusUnauthorized, "Bearer", "invalid_token", "TOKEN_MISSING"},
		"two":     {[]string{"Bearer " + good, "Bearer " + good}, http.StatusUnauthorized, `error="invalid_token"`, "invalid_token", "TOKEN_INVALID"},
		"garbage": {[]string{"Bearer garbage"}, http.StatusUnauthorized, `error="invalid_token"`, "invalid_token", "TOKEN_INVALID"},
		"no scope": {
			[]string{"Bearer " + issuer.Token(signettest.User{})}, http.StatusForbidden, `error="insufficient_scope", scope="stock:write"`,
			"insufficient_scope", "INSUFFICIENT_SCOPE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			request := httptest.NewRequest(http.MethodGet, "/", nil)
			request.Header["Authorization"] = c.authorization
			response := httptest.NewRecorder()
			handler.ServeHTTP(response, request)
			challenge := response.Header().Get("WWW-Authenticate")
			if response.Code != c.status || !strings.Contains(challenge, c.challenge) || c.challenge == "Bearer" && challenge != "Bearer" {
				t.Errorf("got %d, %q", response.Code, challenge)
			}
			if c.status == http.StatusOK {
				return
			}
			var body map[string]string
			if err := json.Unmarshal(response.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if body["error"] != c.name || body["reason"] != c.reason || body["error_description"] == "" {
				t.Errorf("got %v", body)
			}
		})
	}
	issuer.SetFeedDown(true)
	issuer.Advance(31 * time.Second)
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.Header.Set("Authorization", "Bearer "+good)
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, request)
	if response.Code != http.StatusServiceUnavailable || response.Header().Get("Retry-After") != "1" {
		t.Errorf("got %d %v", response.Code, response.Header())
	}
}

func TestTheMiddlewareHoldsOverHTTP2AndWhateverThePathIs(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	guard := issuer.Verifier(t, "stock").Middleware(signet.Rule{})
	var reached atomic.Int64
	server := httptest.NewUnstartedServer(guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		if _, ok := signet.CallerFrom(r.Context()); !ok || r.ProtoMajor != 2 {
			panic("there is no caller")
		}
	})))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	good := "Bearer " + issuer.Token(signettest.User{})
	for _, path := range []string{"/", "//", "/items/../admin", "/%2e%2e/%00", "/a;b?c#d", "/\u00e4"} {
		for _, c := range []struct {
			authorization []string
			status        int
		}{
			{nil, http.StatusUnauthorized}, {[]string{good}, http.StatusOK}, {[]string{good, good}, http.StatusUnauthorized},
			{[]string{good, "Basic YTpi"}, http.StatusUnauthorized}, {[]string{good + ", " + good}, http.StatusUnauthorized},
			{[]string{""}, http.StatusUnauthorized},
		} {
			request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			host := server.Listener.Addr().String()
			request.RequestURI, request.Host, request.Header["Authorization"] = "", "", c.authorization
			request.URL.Scheme, request.URL.Host, request.URL.Opaque = "https", host, "//"+host+path
			before := reached.Load()
			response, err := server.Client().Do(request)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			_ = response.Body.Close()
			if response.StatusCode != c.status || reached.Load() > before != (c.status == http.StatusOK) {
				t.Errorf("%s with %d values: %s", path, len(c.authorization), response.Status)
			}
		}
	}
}
