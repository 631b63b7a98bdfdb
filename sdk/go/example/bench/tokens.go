package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"math/big"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"example.com/signet/sdk/go/signet"
)

// This file owns what a token costs that was never seen: by the SDK, by go-jose alone with the same checks, and its signature alone.

// tokensInTurn is how many are verified in a turn.
const tokensInTurn = 200

func measureTokens(rounds int) ([][]float64, error) {
	issuer, err := newIssuer()
	if err != nil {
		return nil, err
	}
	tokens := make([]string, tokensInTurn)
	for at := range tokens {
		if tokens[at], err = issuer.token(); err != nil {
			return nil, err
		}
	}
	return inTurns(rounds, []func() (float64, error){
		func() (float64, error) {
			verifier, err := issuer.verifier() // It has seen none.
			if err != nil {
				return 0, err
			}
			defer verifier.Close()
			return each(tokens, func(token string) error {
				_, err := verifier.Verify(context.Background(), token, signet.Rule{})
				return err
			})
		},
		func() (float64, error) {
			return each(tokens, func(token string) error { return verifyByLibrary(token, &issuer.keys) })
		},
		func() (float64, error) {
			return each(tokens, func(token string) error { return verifySignature(token, &issuer.private.PublicKey) })
		},
	})
}

// each is what verifying one of the tokens takes, in microseconds of CPU time.
func each(tokens []string, verify func(token string) error) (float64, error) {
	began := cpuTime()
	for _, token := range tokens {
		if err := verify(token); err != nil {
			return 0, err
		}
	}
	return micros(cpuTime()-began) / float64(len(tokens)), nil
}

var errRefused = errors.New("the token was refused")

// verifyByLibrary is the same by go-jose alone: the signature by the key that `kid` names, `alg`, `typ`, `iss`, `aud`, `exp`, `nbf`.
func verifyByLibrary(token string, keys *jose.JSONWebKeySet) error {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return err
	}
	header := parsed.Headers[0]
	found := keys.Key(header.KeyID)
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); !strings.EqualFold(typ, "at+jwt") || len(found) != 1 {
		return errRefused
	}
	var said struct {
		jwt.Claims
		ClientID string `json:"client_id"`
		Scope    string `json:"scope"`
		Session  string `json:"sid"`
	}
	if err := parsed.Claims(found[0].Key, &said); err != nil {
		return err
	}
	if said.Expiry == nil {
		return errRefused
	}
	return said.ValidateWithLeeway(jwt.Expected{Issuer: issuerName, AnyAudience: jwt.Audience{audience}, Time: time.Now()}, 5*time.Second)
}

// verifySignature is the signature's check by the standard library, and what takes the signature out of the token.
func verifySignature(token string, key *ecdsa.PublicKey) error {
	at := strings.LastIndexByte(token, '.')
	signature, err := decode(token[at+1:])
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(token[:at]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(key, digest[:], r, s) {
		return errRefused
	}
	return nil
}
