package signet_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns the fuzz targets: whatever the bytes are, nobody is believed who lacks the key, and nothing panics. The seeds run with the
// other tests; `go test -fuzz FuzzToken ./signet` goes on from them.

func FuzzToken(f *testing.F) {
	issuer, stranger := signettest.NewIssuer(f), signettest.NewIssuer(f)
	verifier := issuer.Verifier(f, "stock")
	forged := stranger.Token(signettest.User{})
	encode := base64.RawURLEncoding.EncodeToString
	for _, seed := range []string{
		"", ".", "..", "a.b.c", forged, strings.ToUpper(forged), encode([]byte(`{"alg":"none","typ":"at+jwt","kid":"test-1"}`)) + ".e30.",
		encode([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"test-1","crit":[]}`)) + ".e30.AA",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		header := encode([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"test-1"}`))
		payload := encode([]byte(text))
		for _, token := range []string{text, payload + "." + payload + ".AA", header + "." + payload + "." + strings.Repeat("A", 86)} {
			signet.ReadTokenForTest(token)
			if _, err := verifier.Verify(t.Context(), token, signet.Rule{}); err == nil {
				t.Errorf("%q was taken", token)
			} else if len(token) > 20 && strings.Contains(err.Error(), token) {
				t.Errorf("%v tells the token", err)
			}
		}
	})
}

func FuzzRule(f *testing.F) {
	for _, seed := range []string{
		"", "\x0a\x00", "\x12\x00", "\x12\x04\x0a\x02ab", "\x12\x02\x20\x01", "\x12\x02\x20\x03", "\x78\x01", "\x0a\x02\x78\x01", "\xff",
		"\x12\x00\x0a\x00", "\x12\x04\x0a\x02",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		access, rule := signet.DeclarationForTest(encoded)
		if (access == signet.AccessAuthenticated) != (rule != nil) {
			t.Errorf("%v with the rule %v", access, rule)
		}
		// What a later release adds denies the method, whatever stands before it. (Bytes that break off may take in what comes behind.)
		if access == signet.AccessNotUnderstood {
			return
		}
		if access, _ := signet.DeclarationForTest(append(slices.Clone(encoded), 0x78, 1)); access != signet.AccessNotUnderstood {
			t.Errorf("an unknown field is passed over: %v", access)
		}
	})
}

func FuzzPolicy(f *testing.F) {
	f.Add(readFile(f, "policies", "corpus.binpb"))
	f.Add([]byte{})
	f.Add([]byte("\x0a\x00"))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		policy, err := signet.PolicyFromDescriptorSet(encoded)
		if (policy == nil) != (err != nil) {
			t.Errorf("%v, %v", policy, err)
		}
		if policy != nil {
			if access, _ := policy.Access("/no.Such/Method"); access != signet.AccessUndeclared {
				t.Errorf("a method that nobody has declared: %v", access)
			}
		}
	})
}

func FuzzJWKS(f *testing.F) {
	var file struct{ Cases []struct{ Document string } }
	readJSON(f, "jwks.json", &file)
	for _, c := range file.Cases {
		f.Add([]byte(c.Document), []byte("a signature of nothing"))
	}
	f.Fuzz(func(t *testing.T, document, signature []byte) {
		kids, err := signet.KeyIDsForTest(document)
		if (len(kids) == 0) != (err != nil) {
			t.Errorf("%v, %v", kids, err)
		}
		for _, length := range []int{len(signature), 64, 256} { // As those of ES256, EdDSA and RS256.
			made := append(slices.Clone(signature), make([]byte, length)...)[:length]
			if err == nil && signet.AnyKeyVerifiesForTest(document, "what nobody has signed", made) {
				t.Errorf("a key of %q verifies what nobody has signed", document)
			}
		}
	})
}

func TestWhatWasAskedForLatelyIsRemembered(t *testing.T) {
	put := []int{1, 2, 3, 4, 5, 6, 7, 8}
	remembered := signet.SeenForTest(4, put, func(int) []int { return []int{1} })
	if len(remembered) != 4 || !slices.Contains(remembered, 1) || !slices.Contains(remembered, 8) {
		t.Errorf("remembered %v", remembered)
	}
	if remembered := signet.SeenForTest(0, put, func(int) []int { return nil }); len(remembered) != 0 {
		t.Errorf("remembered %v", remembered)
	}
}
