package signet

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// This file owns the key set that an issuer publishes (RFC 7517 section 5): which of its keys verify access tokens, each by one algorithm.

const (
	// maxKeys is how many keys a set may have: an issuer has a handful, and each takes memory here.
	maxKeys = 100
	// An RSA modulus has at least 2048 bits (RFC 7518 section 3.3), and no more than takes a bounded time to verify.
	minRSABits, maxRSABits = 2048, 8192
)

// verifyingKey is a public key and the one algorithm that it verifies: a token cannot choose another (RFC 8725 section 3.1).
type verifyingKey struct {
	kid, alg string
	public   crypto.PublicKey
}

// keySet is what an issuer published. It is never changed. A key that stays in force from one set to the next stays the same pointer.
type keySet struct {
	keys  []*verifyingKey
	byKID map[string]*verifyingKey
}

// jwkMembers are what is read of a JWK. Certificates (x5c) are not: the set itself is what is trusted.
type jwkMembers struct {
	KTY    string   `json:"kty"`
	Use    *string  `json:"use"`
	KeyOps []string `json:"key_ops"`
	Alg    *string  `json:"alg"`
	KID    *string  `json:"kid"`
	CRV    string   `json:"crv"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
	N      string   `json:"n"`
	E      string   `json:"e"`
}

// secretMembers are the members of a JWK that nobody else may know (RFC 7518 section 6).
var secretMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// readKeySet reads a JWK Set. Keys that verify no access token are left out, as RFC 7517 section 5 asks, and secret ones above all:
// whoever can read the set could sign with them. Keys of `known` stay the same pointers.
//
// It fails if the document is no JWK Set, has more than 100 keys, two usable ones of one `kid`, or no usable one.
func readKeySet(document []byte, known *keySet) (*keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if !readObject(document, &set) || set.Keys == nil {
		return nil, errors.New("it is not a JWK Set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("it has more than %d keys", maxKeys)
	}
	read := &keySet{byKID: make(map[string]*verifyingKey, len(set.Keys))}
	for _, raw := range set.Keys {
		key, err := readKey(raw)
		if err != nil {
			continue
		}
		if read.byKID[key.kid] != nil {
			return nil, fmt.Errorf("it has two keys with the `kid` %q", key.kid)
		}
		if before := known.get(key.kid); before != nil && before.isSame(key) {
			key = before
		}
		read.keys = append(read.keys, key)
		read.byKID[key.kid] = key
	}
	if len(read.keys) == 0 {
		return nil, errors.New("it has no public key for ES256, EdDSA or RS256 with a `kid`")
	}
	return read, nil
}

// get is the key with the id, or nil.
func (s *keySet) get(kid string) *verifyingKey {
	if s == nil {
		return nil
	}
	return s.byKID[kid]
}

func (k *verifyingKey) isSame(other *verifyingKey) bool {
	public, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.alg == other.alg && public.Equal(other.public)
}

// readKey reads one key of a set.
func readKey(raw []byte) (*verifyingKey, error) {
	var all map[string]json.RawMessage
	var members jwkMembers
	if !readObject(raw, &all) || !readObject(raw, &members) {
		return nil, errors.New("it is not a JWK")
	}
	for _, name := range secretMembers {
		if _, found := all[name]; found {
			return nil, errors.New("it is secret")
		}
	}
	if members.Use != nil && *members.Use != "sig" || all["key_ops"] != nil && !slices.Contains(members.KeyOps, "verify") {
		return nil, errors.New("it is not for signatures")
	}
	if members.KID == nil || *members.KID == "" || len(*members.KID) > kidMaxBytes {
		return nil, errors.New("it has no `kid` that a token could name")
	}
	alg, material, err := members.material()
	if err != nil {
		return nil, err
	}
	if members.Alg != nil && *members.Alg != alg {
		return nil, fmt.Errorf("its `alg` is not %s", alg)
	}
	encoded, err := json.Marshal(material)
	if err != nil {
		return nil, err
	}
	// go-jose finds out whether the point is on its curve, and makes the key.
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(encoded); err != nil || !jwk.Valid() || !jwk.IsPublic() {
		return nil, errors.New("it is not a valid public key")
	}
	if rsaKey, ok := jwk.Key.(*rsa.PublicKey); ok {
		if bits := rsaKey.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, fmt.Errorf("it is not of %d to %d bits", minRSABits, maxRSABits)
		}
	}
	return &verifyingKey{kid: *members.KID, alg: alg, public: jwk.Key}, nil
}

// material is the one algorithm of a key, and the members that it is made of, each in its strict form: go-jose pads and cuts.
func (m *jwkMembers) material() (alg string, material map[string]string, err error) {
	switch {
	case m.KTY == "EC" && m.CRV == "P-256" && isOf32Bytes(m.X) && isOf32Bytes(m.Y):
		return "ES256", map[string]string{"kty": m.KTY, "crv": m.CRV, "x": m.X, "y": m.Y}, nil
	case m.KTY == "OKP" && m.CRV == "Ed25519" && isOf32Bytes(m.X):
		return "EdDSA", map[string]string{"kty": m.KTY, "crv": m.CRV, "x": m.X}, nil
	case m.KTY == "RSA":
		exponent, okE := decodeBase64(m.E)
		if _, okN := decodeBase64(m.N); !okN || !okE || len(exponent) > 4 {
			return "", nil, errors.New("it is not an RSA key")
		}
		return "RS256", map[string]string{"kty": m.KTY, "n": m.N, "e": m.E}, nil
	default:
		return "", nil, errors.New("it is neither of P-256, nor Ed25519, nor RSA")
	}
}

func isOf32Bytes(text string) bool {
	decoded, ok := decodeBase64(text)
	return ok && len(decoded) == 32
}

// verifies says whether the signature is the key's own of the message.
//
// This is the standard library's verification, which go-jose calls in the same way: go-jose takes a signature only together with a header
// that it has read by itself, `jwk` and `x5c` included.
func (k *verifyingKey) verifies(message string, signature []byte) bool {
	if public, ok := k.public.(ed25519.PublicKey); ok {
		return ed25519.Verify(public, []byte(message), signature)
	}
	digest := sha256.Sum256([]byte(message))
	switch public := k.public.(type) {
	case *ecdsa.PublicKey:
		// R and S of 32 bytes each (RFC 7518 section 3.4).
		if len(signature) != 64 {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		return ecdsa.Verify(public, digest[:], r, s)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil
	default:
		return false
	}
}
