package signet

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"

	identityv1 "example.com/signet/sdk/go/identity/v1"
)

// This file owns asking Signet for a token.

// issueTimeout is how long Signet may take, over all its replicas.
const issueTimeout = 10 * time.Second

var (
	errIssueTimeout = errors.New("signet: there was no token in time")
	// errDeadToken: an exchange of a refresh token was repeated, or its answer was stored late, and the access token that it gave is over.
	errDeadToken = errors.New("signet: the access token that was given has expired")
)

// renew makes one attempt. It belongs to no call, so that none ends it for the others.
func (s *TokenSource) renew() {
	ctx, cancel := withTimeout(context.Background(), s.clock, issueTimeout, errIssueTimeout)
	defer cancel()
	token, err := s.issue(ctx)
	if errors.Is(err, errDeadToken) {
		token, err = s.issue(ctx) // The next refresh token is exchanged at once.
	}
	s.renewed(token, err)
}

// issue asks once, unless there is an answer whose refresh token is not stored yet.
func (s *TokenSource) issue(ctx context.Context) (*issuedToken, error) {
	refresh := s.grant.refresh
	var answer *answered
	if refresh != nil && refresh.unstored != nil {
		answer = refresh.unstored
	} else {
		var err error
		if answer, err = s.ask(ctx); err != nil {
			return nil, err
		}
	}
	if next := answer.GetRefreshToken(); refresh != nil && next != "" {
		refresh.unstored = answer
		if err := refresh.store(ctx, next); err != nil {
			return nil, errors.Join(errors.New("signet: the next refresh token was not stored"), err)
		}
		refresh.token, refresh.unstored = next, nil
	}
	lifetime := time.Duration(answer.GetExpiresIn()) * time.Second
	expires := answer.asked.Add(lifetime)
	if answer.GetAccessToken() == "" || !s.clock.Now().Before(expires) {
		return nil, errDeadToken
	}
	return &issuedToken{
		text: answer.GetAccessToken(), renewAt: answer.asked.Add(renewAfter(s.random, lifetime)), expires: expires,
	}, nil
}

// ask asks Signet.
func (s *TokenSource) ask(ctx context.Context) (*answered, error) {
	// The life of a token is counted from before it is asked for, so that it ends here no later than there.
	answer := &answered{asked: s.clock.Now()}
	err := s.server.call(ctx, &s.next, func(ctx context.Context, channel *grpc.ClientConn) error {
		// An assertion is used once: each attempt makes its own.
		request, err := s.grant.request(answer.asked, s.audience, s.scope)
		if err != nil {
			return err
		}
		answer.IssueTokenResponse, err = identityv1.NewIdentityServiceClient(channel).IssueToken(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}
