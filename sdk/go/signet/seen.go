package signet

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
)

// This file owns what is remembered of verified tokens: a bounded number, by their SHA-256, so that no token is kept.

type fingerprint [sha256.Size]byte

// verifiedToken is a token whose signature was verified. Once its key is no longer in force, it is worth nothing.
type verifiedToken struct {
	caller *Caller
	key    *verifyingKey
	isJWT  bool
}

// seenTokens remembers verified tokens. When it is full, one goes that was not asked for since the hand of the clock last came by.
type seenTokens struct {
	mu      sync.RWMutex
	byPrint map[fingerprint]*seenToken
	ring    []*seenToken
	hand    int
	limit   int
}

type seenToken struct {
	print    fingerprint
	verified *verifiedToken
	at       int // its place in the ring
	wasAsked atomic.Bool
}

func newSeenTokens(limit int) *seenTokens {
	return &seenTokens{byPrint: make(map[fingerprint]*seenToken), limit: limit}
}

func (s *seenTokens) get(print fingerprint) *verifiedToken {
	s.mu.RLock()
	defer s.mu.RUnlock()
	seen := s.byPrint[print]
	if seen == nil {
		return nil
	}
	if !seen.wasAsked.Load() { // Written only where it changes: readers on other cores share the line.
		seen.wasAsked.Store(true)
	}
	return seen.verified
}

func (s *seenTokens) put(print fingerprint, verified *verifiedToken) {
	if s.limit <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := &seenToken{print: print, verified: verified}
	before := s.byPrint[print]
	s.byPrint[print] = fresh
	if before != nil { // Readers may hold what was there: it is replaced in its place, not changed.
		fresh.at = before.at
		s.ring[fresh.at] = fresh
		return
	}
	if len(s.ring) < s.limit {
		fresh.at = len(s.ring)
		s.ring = append(s.ring, fresh)
		return
	}
	for s.ring[s.hand].wasAsked.Swap(false) {
		s.hand = (s.hand + 1) % len(s.ring)
	}
	delete(s.byPrint, s.ring[s.hand].print)
	fresh.at = s.hand
	s.ring[s.hand] = fresh
	s.hand = (s.hand + 1) % len(s.ring)
}
