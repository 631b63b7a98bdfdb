package signet

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// This file owns reading the rule that a method declares, by the fields of this release: what it does not know denies the method
// (proto/identity/v1/access.proto).

// Rule is what a caller must have to call a method: all that is set must hold. What is unset asks for nothing.
type Rule struct {
	// RequiredScopes are scopes that the token must all carry.
	RequiredScopes []string
	// AnyScopes are scopes of which the token must carry one.
	AnyScopes []string
	// AnyRoles are roles of which the token must name one, in its claim `roles`, and be meant for the audience alone.
	AnyRoles []string
	// Callers is whom the token must stand for; zero for either.
	Callers CallerKind
	// Audience is whom the token must be meant for; empty for the audience of the verifier.
	Audience string
}

// Access says who may call a method.
type Access int

const (
	// AccessUndeclared: nobody, since the method declares nothing.
	AccessUndeclared Access = iota
	// AccessNotUnderstood: nobody, since the rule has something that this release does not know and that asks for something.
	AccessNotUnderstood
	// AccessPublic: everybody, with or without a token.
	AccessPublic
	// AccessAuthenticated: who has a token that keeps the rule.
	AccessAuthenticated
)

// declaration is what one method declares.
type declaration struct {
	access Access
	rule   *Rule
}

// The fields of identity.v1.Access and of its messages.
const (
	fieldPublic, fieldAuthenticated                           = 1, 2
	fieldRequiredScopes, fieldAnyScopes, fieldAnyRoles        = 1, 2, 3
	fieldCallers, fieldAudience                               = 4, 5
	callersUnspecified, callersUser, callersClient     uint64 = 0, 1, 2
)

// readDeclaration reads the bytes of an identity.v1.Access.
func readDeclaration(encoded []byte) declaration {
	notUnderstood := declaration{access: AccessNotUnderstood}
	found := declaration{access: AccessUndeclared}
	isRead := eachField(encoded, func(number protowire.Number, kind protowire.Type, _ uint64, value []byte) bool {
		if kind != protowire.BytesType {
			return false
		}
		switch number {
		case fieldPublic:
			found = declaration{access: AccessPublic}
			return len(value) == 0
		case fieldAuthenticated:
			// Of a oneof the last counts, and one that comes in pieces is the sum of them.
			if found.rule == nil {
				found = declaration{access: AccessAuthenticated, rule: &Rule{}}
			}
			return readRule(value, found.rule)
		default:
			return false
		}
	})
	if !isRead {
		return notUnderstood
	}
	return found
}

// readRule adds what the bytes of an identity.v1.Access.Authenticated ask for to the rule.
func readRule(encoded []byte, rule *Rule) bool {
	return eachField(encoded, func(number protowire.Number, kind protowire.Type, varint uint64, value []byte) bool {
		if number == fieldCallers {
			switch varint {
			case callersUnspecified:
				rule.Callers = 0
			case callersUser:
				rule.Callers = KindUser
			case callersClient:
				rule.Callers = KindClient
			default:
				return false
			}
			return kind == protowire.VarintType
		}
		if kind != protowire.BytesType || !utf8.Valid(value) {
			return false
		}
		switch number {
		case fieldRequiredScopes:
			rule.RequiredScopes = append(rule.RequiredScopes, string(value))
		case fieldAnyScopes:
			rule.AnyScopes = append(rule.AnyScopes, string(value))
		case fieldAnyRoles:
			rule.AnyRoles = append(rule.AnyRoles, string(value))
		case fieldAudience:
			rule.Audience = string(value)
		default:
			return false
		}
		return true
	})
}

// eachField calls take with each field of a message, until that is false. It is false then too, or if the bytes are no message.
func eachField(encoded []byte, take func(number protowire.Number, kind protowire.Type, varint uint64, value []byte) bool) bool {
	for len(encoded) > 0 {
		number, kind, n := protowire.ConsumeTag(encoded)
		if n < 0 {
			return false
		}
		encoded = encoded[n:]
		var varint uint64
		var value []byte
		switch kind {
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(encoded)
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(encoded)
		default:
			n = protowire.ConsumeFieldValue(number, kind, encoded)
		}
		if n < 0 || !take(number, kind, varint, value) {
			return false
		}
		encoded = encoded[n:]
	}
	return true
}
