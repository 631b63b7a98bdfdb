package signet

import (
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4/json"
)

// This file owns what an access token says: the claims of RFC 9068, each of its one type.

// claims are those of a token whose signature was verified. They are shared between calls, and never changed.
type claims struct {
	Issuer    string
	Subject   string
	Audiences []string
	Expires   int64
	IssuedAt  int64
	NotBefore *int64
	ID        string
	ClientID  string
	Scopes    []string
	Session   string // empty for a client's own token
	AMR       []string
	AuthTime  *int64
	ACR       string
	// Roles is nil if the token does not name any.
	Roles             []string
	Groups            []string
	RolesOmitted      bool
	GroupsOmitted     bool
	AttributesOmitted bool
	Attributes        map[string]any
}

// readClaims reads the payload of a token. It is false if a claim is missing or of another type, or they do not agree with each other.
func readClaims(payload []byte) (*claims, bool) {
	var members map[string]json.RawMessage
	if !readObject(payload, &members) {
		return nil, false
	}
	read := reader{members: members, ok: true}
	said := &claims{
		Issuer:            read.text("iss", true),
		Subject:           read.id("sub", true),
		Audiences:         read.audiences(),
		Expires:           read.integer("exp", true),
		IssuedAt:          read.integer("iat", true),
		NotBefore:         read.optionalInteger("nbf"),
		ID:                read.id("jti", true),
		ClientID:          read.text("client_id", true),
		Scopes:            strings.FieldsFunc(read.text("scope", true), func(c rune) bool { return c == ' ' }),
		Session:           read.id("sid", false),
		AMR:               read.texts("amr"),
		AuthTime:          read.optionalInteger("auth_time"),
		ACR:               read.text("acr", false),
		Roles:             read.texts("roles"),
		Groups:            read.texts("groups"),
		RolesOmitted:      read.flag("roles_omitted"),
		GroupsOmitted:     read.flag("groups_omitted"),
		AttributesOmitted: read.flag("attributes_omitted"),
		Attributes:        read.object("attributes"),
	}
	if !read.ok {
		return nil, false
	}
	if said.Session == "" {
		// A client's own token: that client asked for it, by the id that it has.
		client, ok := parseUUID(said.ClientID)
		if !ok || client != said.Subject {
			return nil, false
		}
	}
	return said, true
}

// isMeantFor says whether the audience is a name in `aud`.
func (c *claims) isMeantFor(audience string) bool { return slices.Contains(c.Audiences, audience) }

// isMeantForAlone says whether `aud` is the audience and nothing else.
func (c *claims) isMeantForAlone(audience string) bool {
	return len(c.Audiences) == 1 && c.Audiences[0] == audience
}

func (c *claims) hasScope(scope string) bool { return slices.Contains(c.Scopes, scope) }

// validFrom is the second before which the token is refused.
func (c *claims) validFrom() int64 {
	if c.NotBefore != nil {
		return max(*c.NotBefore, c.IssuedAt)
	}
	return c.IssuedAt
}

// reader reads claims by their types, and notes if one is not as it must be. `null` is of no type.
type reader struct {
	members map[string]json.RawMessage
	ok      bool
}

// value reads a claim that begins with one of the characters in `begins` into what `into` points at, and says whether it is there.
func (r *reader) value(name string, isRequired bool, begins string, into any) bool {
	raw, found := r.members[name]
	if !found {
		r.ok = r.ok && !isRequired
		return false
	}
	if len(raw) == 0 || !strings.ContainsRune(begins, rune(raw[0])) || json.Unmarshal(raw, into) != nil {
		r.ok = false
		return false
	}
	return true
}

func (r *reader) text(name string, isRequired bool) (text string) {
	r.value(name, isRequired, `"`, &text)
	return text
}

// id reads a UUID, in the one form in which ids are compared.
func (r *reader) id(name string, isRequired bool) string {
	var text string
	if !r.value(name, isRequired, `"`, &text) {
		return ""
	}
	id, ok := parseUUID(text)
	r.ok = r.ok && ok
	return id
}

func (r *reader) integer(name string, isRequired bool) (number int64) {
	r.value(name, isRequired, "-0123456789", &number)
	return number
}

func (r *reader) optionalInteger(name string) *int64 {
	var number int64
	if !r.value(name, false, "-0123456789", &number) {
		return nil
	}
	return &number
}

func (r *reader) flag(name string) (flag bool) {
	r.value(name, false, "tf", &flag)
	return flag
}

// texts reads an array of strings: not nil if the claim is there.
func (r *reader) texts(name string) []string {
	var elements []*string
	if !r.value(name, false, "[", &elements) {
		return nil
	}
	return r.strings(elements)
}

func (r *reader) strings(elements []*string) []string {
	texts := make([]string, 0, len(elements))
	for _, element := range elements {
		if element == nil { // null
			r.ok = false
			return nil
		}
		texts = append(texts, *element)
	}
	return texts
}

// audiences reads `aud`: a string, or an array of strings (RFC 7519 section 4.1.3).
func (r *reader) audiences() []string {
	if raw := r.members["aud"]; len(raw) > 0 && raw[0] == '[' {
		return r.texts("aud")
	}
	return []string{r.text("aud", true)}
}

func (r *reader) object(name string) (members map[string]any) {
	r.value(name, false, "{", &members)
	return members
}

// parseUUID reads a UUID (RFC 9562 section 4) in any case, and gives it in lower case.
func parseUUID(text string) (string, bool) {
	if len(text) != 36 {
		return "", false
	}
	for i := range len(text) {
		c := text[i]
		isHyphen := i == 8 || i == 13 || i == 18 || i == 23
		isHex := '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
		if isHyphen != (c == '-') || !isHyphen && !isHex {
			return "", false
		}
	}
	return strings.ToLower(text), true
}
