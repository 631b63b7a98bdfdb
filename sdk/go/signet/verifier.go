package signet

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
)

// This file owns verifying whether a token is genuine, in time, not revoked, and keeps a rule: RFC 9068 section 4, RFC 8725.

// toldNames is how many of several names, of which one will do, a refusal tells: it comes in headers, which have little room.
const toldNames = 8

// Verifier verifies the access tokens of one issuer for one audience, and remembers those that it has verified. It fetches the issuer's
// keys in the background until it is closed. It may be used by any number of goroutines.
type Verifier struct {
	issuer, audience string
	settings         *settings
	keys             *issuerKeys
	seen             *seenTokens
	revocations      *revocations // nil if they are not followed
	questions        *questions   // nil if there is no introspection

	cancel  context.CancelFunc
	running sync.WaitGroup
	closers []func()
}

// NewVerifier makes a verifier that trusts the tokens of the issuer, letter for letter as `iss` has it, that are meant for the audience:
// the name of this service. It does not wait for the issuer's keys: calls do, for at most 10 seconds, or see [Verifier.Ready].
//
// Whoever can answer in the issuer's stead can make tokens: use https, or http only where the way is protected otherwise.
//
// It fails if a setting breaks its rule.
func NewVerifier(issuer, audience string, options ...VerifierOption) (*Verifier, error) {
	all := newSettings(options)
	if audience == "" {
		return nil, errors.New("signet: a verifier needs an audience")
	}
	if all.leeway < 0 || all.streamGrace < 0 || all.revocationMaxAge < 0 {
		return nil, errors.New("signet: leeway, stream grace and the age of revocations must not be negative")
	}
	source := all.keySource
	if source == nil {
		fetched, err := newHTTPKeys(all.httpClient, issuer, all.jwksURI)
		if err != nil {
			return nil, err
		}
		source = fetched
	}
	v := &Verifier{issuer: issuer, audience: audience, settings: all, seen: newSeenTokens(all.cacheSize)}
	v.keys = newIssuerKeys(all.clock, all.random, source, all.unknownKeyPause, all.hooks.keysFetched)
	var follow *follower
	if all.revocationSource != nil {
		source, err := all.revocationSource(all)
		if err != nil {
			return nil, err
		}
		v.revocations = newRevocations(all.clock, all.revocationMaxAge, all.goesOnWhenStale, &all.hooks, v.keys.refresh)
		follow = &follower{clock: all.clock, random: all.random, source: source, to: v.revocations}
	}
	if all.introspector != nil {
		introspector, err := all.introspector(all)
		if err != nil {
			return nil, err
		}
		v.questions = newQuestions(all.clock, introspector)
		v.closers = append(v.closers, v.questions.close)
		if closer, ok := introspector.(interface{ close() }); ok {
			v.closers = append(v.closers, closer.close)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	v.cancel = cancel
	v.running.Go(func() { v.keys.keepFresh(ctx) })
	if follow != nil {
		v.running.Go(func() { follow.follow(ctx) })
		v.closers = append(v.closers, v.revocations.close)
	}
	return v, nil
}

// Close ends what goes on in the background. Calls that come later are judged by what is known.
func (v *Verifier) Close() {
	v.cancel()
	v.running.Wait()
	for _, closer := range v.closers {
		closer()
	}
}

// Audience is whom tokens must be meant for, where a rule names nobody else.
func (v *Verifier) Audience() string { return v.audience }

// Ready returns once the verifier can judge calls: the issuer's keys are known and, if revocations are followed, the first snapshot is
// complete. A service is ready when its verifier is. It fails when the context ends, and its error unwraps to that and to why it is not.
func (v *Verifier) Ready(ctx context.Context) error {
	if err := v.keys.ready(ctx); err != nil {
		return err
	}
	if v.revocations != nil {
		return v.revocations.ready(ctx)
	}
	return nil
}

// Verify is the caller that a token proves, for other protocols than those that this package guards. The rule is what the call asks for;
// its zero value asks for a valid token alone.
//
// It fails with a [*Refusal], whose metadata have the `audience`.
func (v *Verifier) Verify(ctx context.Context, token string, rule Rule) (*Caller, error) {
	caller, refusal := v.admit(ctx, []string{"Bearer " + token}, &rule)
	if refusal != nil {
		return nil, refusal
	}
	return caller, nil
}

// audienceOf is whom the rule has the token be meant for.
func (v *Verifier) audienceOf(rule *Rule) string {
	if rule != nil && rule.Audience != "" {
		return rule.Audience
	}
	return v.audience
}

// admit is the caller of a call with these values of `authorization`, if it keeps the rule.
func (v *Verifier) admit(ctx context.Context, authorization []string, rule *Rule) (*Caller, *Refusal) {
	caller, isCached, refusal := v.judge(ctx, authorization, rule)
	if refusal != nil {
		v.settings.hooks.verified(refusal.Reason, isCached)
		return nil, refusal.with(map[string]string{"audience": v.audienceOf(rule)})
	}
	v.settings.hooks.verified("OK", isCached)
	return caller, nil
}

func (v *Verifier) judge(ctx context.Context, authorization []string, rule *Rule) (*Caller, bool, *Refusal) {
	token, refusal := bearerToken(authorization)
	if refusal != nil {
		return nil, false, refusal
	}
	verified, isCached, refusal := v.genuine(ctx, token)
	if refusal != nil {
		return nil, isCached, refusal
	}
	caller, said := verified.caller, verified.caller.claims
	audience := v.audienceOf(rule)
	now := v.settings.clock.Now()
	switch {
	case verified.isJWT && (!said.isMeantForAlone(v.audience) || said.ClientID == v.audience):
		// Whoever takes `typ: JWT` must not take another kind of JWT for an access token, such as an ID token, whose audience is a client.
		return nil, isCached, tokenInvalid("its `typ` is not `at+jwt`")
	case !said.isMeantFor(audience):
		return nil, isCached, tokenInvalid("it is meant for another audience")
	}
	if refusal := v.checkTime(said, now); refusal != nil {
		return nil, isCached, refusal
	}
	if v.revocations != nil {
		if refusal := v.revocations.judge(said, now); refusal != nil {
			return nil, isCached, refusal
		}
	}
	caller, refusal = v.checkRule(ctx, token, caller, rule, audience)
	return caller, isCached, refusal
}

// genuine is the token, if its signature verifies with a key that is in force and its claims are those of an access token of the issuer.
func (v *Verifier) genuine(ctx context.Context, token string) (*verifiedToken, bool, *Refusal) {
	if len(token) > tokenMaxBytes {
		return nil, false, tokenInvalid("it is too long")
	}
	set := v.keys.inForce(v.settings.clock.Now())
	print := fingerprint(sha256.Sum256([]byte(token)))
	if seen := v.seen.get(print); seen != nil && set.get(seen.key.kid) == seen.key {
		return seen, true, nil
	}
	jws, refusal := parseCompact(token, v.settings.takesJWT)
	if refusal != nil {
		return nil, false, refusal
	}
	if set == nil {
		if set, refusal = v.keys.current(ctx); refusal != nil {
			return nil, false, refusal
		}
	}
	key := set.get(jws.kid)
	if key == nil {
		if key, refusal = v.keys.find(ctx, jws.kid); refusal != nil {
			return nil, false, refusal
		}
	}
	switch {
	case key == nil:
		return nil, false, tokenInvalid("its key is unknown")
	case jws.alg != key.alg:
		return nil, false, tokenInvalid("its algorithm is not the one of its key")
	case !key.verifies(jws.signingInput, jws.signature):
		return nil, false, tokenInvalid("its signature does not verify")
	}
	said, ok := readClaims(jws.payload)
	switch {
	case !ok:
		return nil, false, tokenInvalid("it lacks required claims")
	case said.Issuer != v.issuer:
		return nil, false, tokenInvalid("its issuer is another one")
	}
	verified := &verifiedToken{caller: newCaller(said), key: key, isJWT: jws.isJWT}
	if v.checkTime(said, v.settings.clock.Now()) == nil { // What lets nobody in pushes out nothing that does.
		v.seen.put(print, verified)
	}
	return verified, false, nil
}

func (v *Verifier) checkTime(said *claims, at time.Time) *Refusal {
	now, leeway := at.Unix(), int64(v.settings.leeway/time.Second)
	// "on or after which the JWT MUST NOT be accepted" (RFC 7519 section 4.1.4). Differences, since sums of what strangers wrote overflow.
	if said.Expires <= now-leeway {
		return errTokenExpired
	}
	if said.validFrom() > now+leeway {
		return tokenInvalid("it is not valid yet")
	}
	return nil
}

// checkRule says whether the caller of a valid token keeps the rule. Where introspection was asked, its roles are the caller's.
func (v *Verifier) checkRule(ctx context.Context, token string, caller *Caller, rule *Rule, audience string) (*Caller, *Refusal) {
	if rule == nil {
		return caller, nil
	}
	if rule.Callers != 0 && rule.Callers != caller.Kind() {
		return nil, denied(ReasonCallerNotAllowed, onlyMayCall(rule.Callers), "callers", rule.Callers.String())
	}
	for _, scope := range rule.RequiredScopes {
		if !caller.HasScope(scope) {
			return nil, denied(ReasonInsufficientScope, oneOf("scope", scope)+" needed, and was not granted", "required_scope", scope)
		}
	}
	if len(rule.AnyScopes) > 0 && !slices.ContainsFunc(rule.AnyScopes, caller.HasScope) {
		asked := firstNames(rule.AnyScopes)
		return nil, denied(ReasonInsufficientScope, oneOf("scope", asked)+" needed, and was not granted", "required_scope", asked)
	}
	if len(rule.AnyRoles) == 0 {
		return caller, nil
	}
	return v.checkRoles(ctx, token, caller, rule, audience)
}

func (v *Verifier) checkRoles(ctx context.Context, token string, caller *Caller, rule *Rule, audience string) (*Caller, *Refusal) {
	said := caller.claims
	required := firstNames(rule.AnyRoles)
	switch {
	case !said.isMeantForAlone(audience):
		return nil, denied(ReasonRolesNotInToken, oneOf("role", required)+rolesNotInToken, "required_role", required)
	case slices.ContainsFunc(rule.AnyRoles, caller.HasRole):
		return caller, nil
	case said.RolesOmitted && v.questions == nil:
		return nil, unavailable("the access token had no room for roles, and introspection is not set up")
	case said.RolesOmitted:
		told, refusal := v.questions.ask(ctx, token)
		if refusal != nil {
			return nil, refusal
		}
		if !told.Active {
			return nil, errTokenRevoked
		}
		caller = &Caller{claims: said, roles: slices.Clone(told.Roles)}
		if slices.ContainsFunc(rule.AnyRoles, caller.HasRole) {
			return caller, nil
		}
	case said.Roles == nil:
		return nil, denied(ReasonRolesNotInToken, oneOf("role", required)+rolesNotInToken, "required_role", required)
	}
	return nil, denied(ReasonInsufficientRole, oneOf("role", required)+" needed, and was not given", "required_role", required)
}

// rolesNotInToken is Signet's own sentence, without the names of the roles.
const rolesNotInToken = " needed, and the token does not say which roles its holder has: " +
	"it has no claim `roles`, or is for several audiences; the claim is left out where the client does not have it told, and for a holder who has no role"

func onlyMayCall(callers CallerKind) string {
	if callers == KindClient {
		return "only a client by itself may call this"
	}
	return "only a user may call this"
}

// oneOf begins a sentence about names with spaces between.
func oneOf(what, names string) string {
	if strings.Contains(names, " ") {
		return "one of the " + what + "s `" + strings.ReplaceAll(names, " ", "`, `") + "` is"
	}
	return "the " + what + " `" + names + "` is"
}

func denied(reason, message, key, value string) *Refusal {
	return &Refusal{Code: codes.PermissionDenied, Reason: reason, Metadata: map[string]string{key: value}, message: message}
}

func firstNames(names []string) string { return strings.Join(names[:min(len(names), toldNames)], " ") }
