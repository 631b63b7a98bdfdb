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
	// errDeadToken: an exchange of a refresh token was repeated, and the access token that it gave the first time is over.
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

// issue asks once.
func (s *TokenSource) issue(ctx context.Context) (*issuedToken, error) {
	// The life of a token is counted from before it is asked for, so that it ends here no later than there.
	asked := s.clock.Now()
	var answer *identityv1.IssueTokenResponse
	err := s.server.call(ctx, &s.next, func(ctx context.Context, channel *grpc.ClientConn) error {
		// An assertion is used once: each attempt makes its own.
		request, err := s.grant.request(asked, s.audience, s.scope)
		if err != nil {
			return err
		}
		answer, err = identityv1.NewIdentityServiceClient(channel).IssueToken(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	if refresh := s.grant.refresh; refresh != nil && answer.GetRefreshToken() != "" {
		if err := refresh.store(ctx, answer.GetRefreshToken()); err != nil {
			return nil, errors.Join(errors.New("signet: the next refresh token was not stored"), err)
		}
		refresh.token = answer.GetRefreshToken()
	}
	lifetime := time.Duration(answer.GetExpiresIn()) * time.Second
	if lifetime <= 0 || answer.GetAccessToken() == "" {
		return nil, errDeadToken
	}
	return &issuedToken{
		text: answer.GetAccessToken(), renewAt: asked.Add(renewAfter(s.random, lifetime)), expires: asked.Add(lifetime),
	}, nil
}
