package signet_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"example.com/signet/sdk/go/signet"
)

// This file owns the run of the corpus of calls.

type serverCase struct {
	Name           string
	Why            string
	Method         string
	Authorization  []string
	Now            *int64
	JWKS           string
	Policy         string
	PublicServices []string `json:"public_services"`
	Audience       string
	Leeway         *float64
	TokenTypJWT    bool     `json:"token_typ_jwt"`
	MaxAge         *float64 `json:"max_age"`
	WhenStale      string   `json:"when_stale"`
	Followed       *bool
	Told           []told
	Introspection  *struct {
		Active bool
		Roles  []string
	}
	Expect expected
}

type expected struct {
	Code      string            `json:"code"`
	Reason    string            `json:"reason"`
	Metadata  map[string]string `json:"metadata"`
	RetryInfo *float64          `json:"retry_info"`
	Caller    json.RawMessage   `json:"caller"`
}

func TestCorpusServer(t *testing.T) {
	var file struct {
		Issuer, Audience string
		Now              int64
		RefusedPolicies  []struct{ Name, Why, Policy string } `json:"refused_policies"`
		Cases            []serverCase
	}
	readJSON(t, "server.json", &file)
	var keys map[string]json.RawMessage
	readJSON(t, "keys.json", &keys)
	for _, c := range file.RefusedPolicies {
		t.Run(c.Name, func(t *testing.T) {
			if _, err := signet.PolicyFromDescriptorSet(readFile(t, "policies", c.Policy+".binpb")); err == nil {
				t.Errorf("%s: a policy was made", c.Why)
			}
		})
	}
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			now, audience := file.Now, file.Audience
			if c.Now != nil {
				now = *c.Now
			}
			if c.Audience != "" {
				audience = c.Audience
			}
			guard, verifier := c.guard(t, file.Issuer, audience, now, keys)
			caller, refusal := guard.AdmitForTest(t.Context(), c.Method, c.Authorization)
			check(t, c, caller, refusal)
			if refusal == nil {
				// Again, by what is remembered.
				caller, refusal = guard.AdmitForTest(t.Context(), c.Method, c.Authorization)
				check(t, c, caller, refusal)
			}
			verifier.Close()
		})
	}
}

func (c *serverCase) guard(
	t *testing.T, issuer, audience string, now int64, keys map[string]json.RawMessage,
) (*signet.Guard, *signet.Verifier) {
	t.Helper()
	var options []signet.VerifierOption
	if c.Leeway != nil {
		options = append(options, signet.WithLeeway(time.Duration(*c.Leeway*float64(time.Second))))
	}
	if c.TokenTypJWT {
		options = append(options, signet.WithTokenTypeJWT())
	}
	if c.MaxAge != nil {
		options = append(options, signet.WithRevocationMaxAge(time.Duration(*c.MaxAge*float64(time.Second))))
	}
	if c.WhenStale == "continue" {
		options = append(options, signet.WithStaleRevocations())
	}
	isFollowed := c.Told != nil
	if c.Followed != nil {
		isFollowed = *c.Followed
	}
	if isFollowed {
		options = append(options, signet.WithRevocationSource(silentStream{}))
	}
	if c.Introspection != nil {
		options = append(options, signet.WithIntrospector(fixedIntrospection{Active: c.Introspection.Active, Roles: c.Introspection.Roles}))
	}
	jwks, policyName := "main", "corpus"
	if c.JWKS != "" {
		jwks = c.JWKS
	}
	if c.Policy != "" {
		policyName = c.Policy
	}
	begin := now
	for _, told := range c.Told {
		begin = min(begin, told.At)
	}
	document, found := keys[jwks]
	if !found {
		t.Fatalf("there are no keys %q", jwks)
	}
	verifier, clock := startVerifier(t, issuer, audience, begin, document, options...)
	for _, told := range c.Told {
		clock.Advance(time.Unix(told.At, 0).Sub(clock.Now()))
		verifier.TellForTest(message(t, told.Message))
	}
	clock.Advance(time.Unix(now, 0).Sub(clock.Now()))
	var public []signet.PolicyOption
	for _, service := range c.PublicServices {
		public = append(public, signet.PublicService(service))
	}
	policy, err := signet.PolicyFromDescriptorSet(readFile(t, "policies", policyName+".binpb"), public...)
	if err != nil {
		t.Fatal(err)
	}
	return signet.NewGuard(verifier, policy), verifier
}

func check(t *testing.T, c serverCase, caller *signet.Caller, refusal *signet.Refusal) {
	t.Helper()
	if refusal == nil {
		if c.Expect.Code != "OK" {
			t.Fatalf("%s: it passed, want %s %s", c.Why, c.Expect.Code, c.Expect.Reason)
		}
		checkCaller(t, c, caller)
		return
	}
	if c.Expect.Code == "OK" {
		t.Fatalf("%s: it was refused: %v", c.Why, refusal)
	}
	status := refusal.GRPCStatus()
	if status.Code() != codeOf(t, c.Expect.Code) {
		t.Errorf("%s: code %v, want %s", c.Why, status.Code(), c.Expect.Code)
	}
	var info *errdetails.ErrorInfo
	var retry *errdetails.RetryInfo
	for _, detail := range status.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			info = detail
		case *errdetails.RetryInfo:
			retry = detail
		}
	}
	if info.GetDomain() != signet.ErrorDomain || info.GetReason() != c.Expect.Reason {
		t.Errorf("%s: reason %s of %s, want %s", c.Why, info.GetReason(), info.GetDomain(), c.Expect.Reason)
	}
	if !reflect.DeepEqual(info.GetMetadata(), c.Expect.Metadata) {
		t.Errorf("%s: metadata %v, want %v", c.Why, info.GetMetadata(), c.Expect.Metadata)
	}
	switch {
	case c.Expect.RetryInfo == nil && retry != nil:
		t.Errorf("%s: there is a RetryInfo", c.Why)
	case c.Expect.RetryInfo != nil && retry.GetRetryDelay().AsDuration().Seconds() != *c.Expect.RetryInfo:
		t.Errorf("%s: RetryInfo %v, want %v s", c.Why, retry, *c.Expect.RetryInfo)
	}
}

func checkCaller(t *testing.T, c serverCase, caller *signet.Caller) {
	t.Helper()
	if c.Expect.Caller == nil {
		if caller != nil {
			t.Errorf("%s: there is a caller", c.Why)
		}
		return
	}
	if caller == nil {
		t.Fatalf("%s: there is no caller", c.Why)
	}
	got := map[string]any{
		"kind": caller.Kind().String(), "id": caller.ID(), "client_id": caller.ClientID(), "session_id": caller.SessionID(),
		"audiences": caller.Audiences(), "scopes": caller.Scopes(), "roles": caller.Roles(), "groups": caller.Groups(),
		"amr": caller.AMR(), "acr": caller.ACR(), "attributes": caller.Attributes(),
	}
	if at, ok := caller.AuthTime(); ok {
		got["auth_time"] = at.Unix()
	}
	for name, value := range got {
		if name != "auth_time" && reflect.ValueOf(value).Len() == 0 {
			delete(got, name)
		}
	}
	var want map[string]any
	if err := json.Unmarshal(c.Expect.Caller, &want); err != nil {
		t.Fatal(err)
	}
	for name, value := range want { // What is empty is as good as unset.
		if kind := reflect.TypeOf(value).Kind(); (kind == reflect.Slice || kind == reflect.Map) && reflect.ValueOf(value).Len() == 0 {
			delete(want, name)
		}
	}
	gotText, _ := json.Marshal(got)
	wantText, _ := json.Marshal(want)
	if !sameJSON(t, gotText, wantText) {
		t.Errorf("%s: caller %s, want %s", c.Why, gotText, wantText)
	}
}
