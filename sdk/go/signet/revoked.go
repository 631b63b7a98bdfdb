package signet

import (
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	eventsv1 "example.com/signet/sdk/go/identity/events/v1"
)

// This file owns what was revoked, as the stream has told it, and which tokens are refused for it (docs/EVENTS.md, "Which tokens are
// revoked").

const (
	// defaultKeepFor is how long what was told is kept before the stream has said how long that must be: no token lives longer.
	defaultKeepFor = 24 * time.Hour
	// cleaningPause lies between two times at which what need not be kept is dropped.
	cleaningPause = time.Minute
	// maxRevoked is how many entries are kept, some 200 MB at the most. Signet keeps 400,000. Beyond that, all tokens of before are refused.
	maxRevoked = 1_000_000
	// clocksDiffer is how far ahead the clock of the replica may be that has issued a token of a session that has ended.
	clocksDiffer = 6 * time.Second
)

// revokedKey is what a token may have that was revoked: a session, a user, a client, or a scope at an audience.
type revokedKey struct {
	kind                      revokedKind
	id                        string // the session, the user or the client; of a scope the subject, or nothing for any
	clientID, audience, scope string // of a scope; clientID is nothing for any
}

type revokedKind uint8

const (
	revokedSession revokedKind = iota
	revokedUser
	revokedClient
	revokedScope
)

// revokedEntry says up to which `iat` tokens are revoked. How long it is kept is counted since it was told, or since `until` if that is
// later, by the monotonic clock: who sets the other one forward has nothing forgotten.
type revokedEntry struct {
	until, since time.Time
}

// anyTime is later than each time that can be told.
var anyTime = time.Date(10_000, time.January, 1, 0, 0, 0, 0, time.UTC)

// revoked is what the stream has told.
type revoked struct {
	mu         sync.RWMutex
	entries    map[revokedKey]revokedEntry
	notBefore  time.Time
	keepFor    time.Duration
	isComplete bool
	heard      time.Time
	cleaned    time.Time
}

func newRevoked() *revoked {
	return &revoked{entries: make(map[revokedKey]revokedEntry), keepFor: defaultKeepFor}
}

// take keeps what a message tells that was heard now. It says whether a token may be revoked by it that was not before.
func (r *revoked) take(message *eventsv1.WatchResponse, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = now
	count, notBefore := len(r.entries), r.notBefore
	hasChanged := false
	if snapshot := message.GetSnapshot(); snapshot != nil {
		if keepFor := snapshot.GetKeepFor(); keepFor.IsValid() && keepFor.AsDuration() > 0 {
			r.keepFor = keepFor.AsDuration()
		}
		if earliest := snapshot.GetTokensNotBefore(); earliest.IsValid() && earliest.AsTime().After(r.notBefore) {
			r.notBefore = earliest.AsTime()
		}
		hasChanged = r.takeChanges(snapshot.GetChanges(), now)
		r.isComplete = r.isComplete || snapshot.GetIsLast()
	}
	hasChanged = r.takeChanges(message.GetChanges(), now) || hasChanged
	r.clean(now)
	return hasChanged || len(r.entries) != count || !r.notBefore.Equal(notBefore)
}

func (r *revoked) takeChanges(changes *eventsv1.Changes, now time.Time) (hasChanged bool) {
	keep := func(key revokedKey, until time.Time) {
		before, found := r.entries[key]
		hasChanged = hasChanged || !found || before.until.Before(until)
		if found && before.until.After(until) { // Of several times the latest counts.
			until = before.until
		}
		since := now
		if ahead := until.Sub(now); ahead > 0 && !until.Equal(anyTime) {
			since = now.Add(ahead)
		}
		r.entries[key] = revokedEntry{until: until, since: since}
	}
	for _, session := range changes.GetEndedSessions() {
		keep(revokedKey{kind: revokedSession, id: strings.ToLower(session)}, now)
	}
	for _, user := range changes.GetEndedUserSessions() {
		keep(revokedKey{kind: revokedUser, id: strings.ToLower(user.GetSubject())}, timeOf(user.GetTime()))
	}
	for _, client := range changes.GetEndedClients() {
		keep(revokedKey{kind: revokedClient, id: client.GetClientId()}, timeOf(client.GetTime()))
	}
	for _, taken := range changes.GetTakenScopes() {
		for _, scope := range taken.GetScopes() {
			key := revokedKey{
				kind: revokedScope, id: strings.ToLower(taken.GetSubject()), clientID: taken.GetClientId(), audience: taken.GetAudience(),
				scope: scope,
			}
			keep(key, timeOf(taken.GetTime()))
		}
	}
	return hasChanged
}

// timeOf is the time that was told, with its nanoseconds. Where there is none, or none that can be read, tokens of any time are meant:
// rather one too many is refused than one too few.
func timeOf(told *timestamppb.Timestamp) time.Time {
	if !told.IsValid() {
		return anyTime
	}
	return told.AsTime()
}

// clean drops what was told longer ago than any token lives.
func (r *revoked) clean(now time.Time) {
	if len(r.entries) > maxRevoked {
		for _, entry := range r.entries {
			if entry.until.After(r.notBefore) {
				r.notBefore = entry.until
			}
		}
		r.notBefore = r.notBefore.Add(clocksDiffer)
		clear(r.entries)
		return
	}
	if now.Sub(r.cleaned) < cleaningPause {
		return
	}
	r.cleaned = now
	for key, entry := range r.entries {
		if now.Sub(entry.since) > r.keepFor {
			delete(r.entries, key)
		}
	}
}

// has says whether the token with the claims is revoked.
func (r *revoked) has(said *claims) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	issued := time.Unix(said.IssuedAt, 0)
	if issued.Before(r.notBefore) {
		return true
	}
	if len(r.entries) == 0 {
		return false
	}
	isIn := func(key revokedKey) bool {
		entry, found := r.entries[key]
		return found && !issued.After(entry.until)
	}
	if said.Session != "" {
		if _, found := r.entries[revokedKey{kind: revokedSession, id: said.Session}]; found {
			return true
		}
	}
	if isIn(revokedKey{kind: revokedUser, id: said.Subject}) || isIn(revokedKey{kind: revokedClient, id: said.ClientID}) {
		return true
	}
	for _, audience := range said.Audiences {
		for _, scope := range said.Scopes {
			for _, subject := range [...]string{"", said.Subject} {
				for _, client := range [...]string{"", said.ClientID} {
					key := revokedKey{kind: revokedScope, id: subject, clientID: client, audience: audience, scope: scope}
					if isIn(key) {
						return true
					}
				}
			}
		}
	}
	return false
}

// known says whether the first snapshot is complete, and when anything was heard last.
func (r *revoked) known() (isComplete bool, heard time.Time) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.isComplete, r.heard
}
