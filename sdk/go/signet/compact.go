package signet

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// This file owns taking a bearer token out of `authorization` and apart (RFC 6750, RFC 7515 section 7.1). Nothing that it says is believed
// here.

const (
	// tokenMaxBytes is the longest token that is looked at: Signet's own stay below 5 KiB.
	tokenMaxBytes = 8192
	// kidMaxBytes is the longest id of a key that is looked for.
	kidMaxBytes = 255
)

// compactJWS is a token that was taken apart, with a header that an access token may have. Its signature has yet to be verified.
type compactJWS struct {
	alg, kid     string
	isJWT        bool // typ is JWT and not at+jwt
	signingInput string
	payload      []byte
	signature    []byte
}

// joseHeader is what is read of a header. jwk, jku, x5u and x5c are not: a token does not bring its own key (RFC 8725 section 3.5).
// That is also why the header is read here and not by go-jose, which parses them.
type joseHeader struct {
	Alg  *string         `json:"alg"`
	Typ  *string         `json:"typ"`
	Kid  *string         `json:"kid"`
	Crit json.RawMessage `json:"crit"`
}

// bearerToken is the token in the values of `authorization` of one call. The scheme is compared without case (RFC 9110 section 11.1).
func bearerToken(values []string) (string, *Refusal) {
	if len(values) == 0 {
		return "", errTokenMissing
	}
	if len(values) > 1 {
		// Which of two a proxy in front looked at cannot be known.
		return "", tokenInvalid("there is more than one `authorization`")
	}
	scheme, token, found := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	if !found || !strings.EqualFold(scheme, "bearer") || token == "" || !isASCII(values[0]) {
		return "", tokenInvalid("`authorization` must be `Bearer <access_token>`")
	}
	return token, nil
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// parseCompact takes a token apart whose `typ` is at+jwt, or also JWT if takesJWT.
func parseCompact(token string, takesJWT bool) (*compactJWS, *Refusal) {
	if len(token) > tokenMaxBytes {
		return nil, tokenInvalid("it is too long")
	}
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(signature, ".") {
		return nil, tokenInvalid("it is not a JWT")
	}
	headerBytes, okHeader := decodeBase64(header)
	payloadBytes, okPayload := decodeBase64(payload)
	signatureBytes, okSignature := decodeBase64(signature)
	if !okHeader || !okPayload || !okSignature {
		return nil, tokenInvalid("it is not a JWT")
	}
	var read joseHeader
	if !readObject(headerBytes, &read) || read.Alg == nil {
		return nil, tokenInvalid("it is not a JWT")
	}
	jws := &compactJWS{
		alg: *read.Alg, signingInput: token[:len(header)+1+len(payload)], payload: payloadBytes, signature: signatureBytes,
	}
	switch {
	case isMediaType(read.Typ, "at+jwt"):
	case takesJWT && isMediaType(read.Typ, "jwt"):
		jws.isJWT = true
	default:
		return nil, tokenInvalid("its `typ` is not `at+jwt`") // RFC 9068 section 4
	}
	if read.Crit != nil {
		return nil, tokenInvalid("it has critical header extensions") // RFC 7515 section 4.1.11: none is understood
	}
	if read.Kid == nil || *read.Kid == "" || len(*read.Kid) > kidMaxBytes {
		return nil, tokenInvalid("it names no key")
	}
	jws.kid = *read.Kid
	return jws, nil
}

var strictBase64 = base64.RawURLEncoding.Strict()

// decodeBase64 reads base64url without padding in the one form that its bytes have: encoding/base64 by itself passes over line ends.
func decodeBase64(text string) ([]byte, bool) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	decoded, err := strictBase64.DecodeString(text)
	return decoded, err == nil
}

// readObject reads a JSON object into what `into` points at. Names are compared with case, none may come twice, and the text is UTF-8:
// go-jose's reader is for what signatures are made of, and encoding/json takes `ALG` for `alg`.
func readObject(document []byte, into any) bool {
	if !utf8.Valid(document) || !isObject(document) {
		return false
	}
	return json.Unmarshal(document, into) == nil
}

func isObject(document []byte) bool {
	for _, c := range document {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == '{'
		}
	}
	return false
}

// isMediaType compares a `typ` as a media type, whose `application/` may be left out (RFC 7515 section 4.1.9).
func isMediaType(said *string, typ string) bool {
	if said == nil {
		return false
	}
	const application = "application/"
	name := *said
	if len(name) > len(application) && strings.EqualFold(name[:len(application)], application) {
		name = name[len(application):]
	}
	return isASCII(name) && strings.EqualFold(name, typ)
}
