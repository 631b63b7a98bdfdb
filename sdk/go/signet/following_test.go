package signet_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventsv1 "example.com/signet/sdk/go/identity/events/v1"
	"example.com/signet/sdk/go/signet"
	"example.com/signet/sdk/go/signettest"
)

// This file owns the tests of how the stream of revocations is followed: by a script in the place of Signet, since the real one cannot be
// made to be silent or to refuse at a given moment.

// script is a source whose streams say what the test has written, one after the other.
type script struct {
	streams []scripted
	opened  []opened
}

// scripted is what one stream says: it is refused, or its messages come, each after a pause, and then it ends or is silent.
type scripted struct {
	refused  error
	messages []*eventsv1.WatchResponse
	pause    time.Duration
	end      error // nil: it is silent
}

// opened is when a stream was opened, and where it goes on.
type opened struct {
	at    time.Time
	token string
}

func (s *script) Watch(ctx context.Context, resumeToken []byte) (signet.RevocationStream, error) {
	s.opened = append(s.opened, opened{time.Now(), string(resumeToken)})
	if len(s.opened) > len(s.streams) {
		return &scriptedStream{ctx: ctx}, nil
	}
	stream := s.streams[len(s.opened)-1]
	if stream.refused != nil {
		return nil, stream.refused
	}
	return &scriptedStream{ctx: ctx, script: stream}, nil
}

type scriptedStream struct {
	ctx    context.Context
	script scripted
}

func (s *scriptedStream) Recv() (*eventsv1.WatchResponse, error) {
	if len(s.script.messages) == 0 && s.script.end != nil {
		return nil, s.script.end
	}
	if len(s.script.messages) == 0 {
		<-s.ctx.Done()
		return nil, s.ctx.Err()
	}
	time.Sleep(s.script.pause)
	message := s.script.messages[0]
	s.script.messages = s.script.messages[1:]
	return message, nil
}

func complete(token string) *eventsv1.WatchResponse {
	snapshot := &eventsv1.Snapshot{IsLast: true, KeepFor: durationpb.New(911 * time.Second)}
	return &eventsv1.WatchResponse{ResumeToken: []byte(token), Part: &eventsv1.WatchResponse_Snapshot{Snapshot: snapshot}}
}

func beat(token string) *eventsv1.WatchResponse {
	return &eventsv1.WatchResponse{ResumeToken: []byte(token), Part: &eventsv1.WatchResponse_Heartbeat{Heartbeat: &eventsv1.Heartbeat{}}}
}

// follow runs a verifier that follows the script, and gives the states that it has told.
func follow(t *testing.T, s *script, test func(*testing.T, *signet.Verifier, *signettest.Issuer, *[]signet.RevocationsState)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		issuer := signettest.NewIssuer(t)
		var states []signet.RevocationsState
		verifier := watched(t, &slowKeys{issuer: issuer}, signet.WithRevocationSource(s), signet.WithHooks(signet.Hooks{
			Revocations: func(state signet.RevocationsState) { states = append(states, state) },
		}))
		test(t, verifier, issuer, &states)
	})
}

// gaps are the pauses between the openings.
func (s *script) gaps() []time.Duration {
	var gaps []time.Duration
	for i := 1; i < len(s.opened); i++ {
		gaps = append(gaps, s.opened[i].at.Sub(s.opened[i-1].at))
	}
	return gaps
}

func TestAStreamThatEndsIsOpenedAnewWhereItWas(t *testing.T) {
	s := &script{streams: []scripted{
		{messages: []*eventsv1.WatchResponse{complete("a"), beat("b")}, end: io.EOF},
		{messages: []*eventsv1.WatchResponse{beat("c")}, end: status.Error(codes.Unauthenticated, "expired")},
	}}
	follow(t, s, func(t *testing.T, verifier *signet.Verifier, _ *signettest.Issuer, states *[]signet.RevocationsState) {
		if err := verifier.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(s.opened) != 3 || s.opened[0].token != "" || s.opened[1].token != "b" || s.opened[2].token != "c" {
			t.Errorf("opened %v", s.opened)
		}
		// A random part of a second, here a half.
		if gaps := s.gaps(); !slices.Equal(gaps, []time.Duration{time.Second / 2, time.Second / 2}) {
			t.Errorf("pauses %v", gaps)
		}
		const connecting, isComplete, down = signet.RevocationsConnecting, signet.RevocationsComplete, signet.RevocationsDown
		want := []signet.RevocationsState{connecting, isComplete, down, connecting, isComplete, down, connecting}
		if !slices.Equal(*states, want) {
			t.Errorf("states %v", *states)
		}
	})
}

func TestAfterRefusalsItIsCalledAgainAsTheySay(t *testing.T) {
	retryIn7 := &signet.Refusal{Code: codes.ResourceExhausted, Reason: "OVERLOADED", RetryAfter: 7 * time.Second}
	operator := &signet.Refusal{Code: codes.PermissionDenied, Reason: "INSUFFICIENT_SCOPE"}
	s := &script{streams: []scripted{
		{refused: status.Error(codes.Unavailable, "away")}, {refused: retryIn7}, {refused: status.Error(codes.ResourceExhausted, "full")},
		{refused: operator}, {refused: operator}, {refused: operator},
	}}
	follow(t, s, func(t *testing.T, _ *signet.Verifier, _ *signettest.Issuer, _ *[]signet.RevocationsState) {
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		var whole []int
		for _, gap := range s.gaps()[:6] {
			whole = append(whole, int(gap.Seconds()))
		}
		if want := []int{1, 7, 10, 8, 16, 30}; !slices.Equal(whole, want) {
			t.Errorf("pauses %v, want %v", whole, want)
		}
	})
}

func TestASilentStreamIsGivenUpAfterThirtySeconds(t *testing.T) {
	s := &script{streams: []scripted{{messages: []*eventsv1.WatchResponse{complete("a"), beat("a")}, pause: 10 * time.Second}}}
	follow(t, s, func(t *testing.T, _ *signet.Verifier, _ *signettest.Issuer, _ *[]signet.RevocationsState) {
		time.Sleep(55 * time.Second)
		synctest.Wait()
		if gaps := s.gaps(); len(gaps) != 1 || gaps[0] != 50*time.Second+time.Second/2 {
			t.Errorf("pauses %v", gaps)
		}
	})
}

func TestWhyItIsNotKnownWhatWasRevokedIsToldByUnwrapAndByAHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := signettest.NewIssuer(t)
		denied := &signet.Refusal{Code: codes.PermissionDenied, Reason: "INSUFFICIENT_SCOPE"}
		lost := make(chan error, 8)
		verifier, err := signet.NewVerifier(issuer.Identifier(), "stock", signet.WithKeySource(fixedKeys(mustJWKS(t, issuer))),
			signet.WithRevocationSource(&script{streams: []scripted{
				{refused: denied}, {messages: []*eventsv1.WatchResponse{complete("a")}, end: io.EOF}, {refused: denied},
			}}), signet.WithHooks(signet.Hooks{RevocationsLost: func(err error) { lost <- err }}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(verifier.Close)
		synctest.Wait()
		if err := <-lost; !errors.Is(err, denied) {
			t.Errorf("the hook was told %v", err)
		}
		_, err = verifier.Verify(t.Context(), issuer.Token(signettest.User{}), signet.Rule{})
		wantReason(t, err, codes.Unavailable, signet.ReasonUnavailable)
		if !errors.Is(err, denied) {
			t.Errorf("%v, since %v", err, errors.Unwrap(err))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := verifier.Ready(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, denied) {
			t.Errorf("ready: %v", err)
		}
		if err := verifier.Ready(t.Context()); err != nil { // The second stream is complete.
			t.Error(err)
		}
		if err := <-lost; !errors.Is(err, io.EOF) {
			t.Errorf("the hook was told %v", err)
		}
	})
}

func TestAResyncForgetsThePlaceButNotWhatWasTold(t *testing.T) {
	session := signettest.NewUUID()
	ended := &eventsv1.WatchResponse{ResumeToken: []byte("b"), Part: &eventsv1.WatchResponse_Changes{
		Changes: &eventsv1.Changes{EndedSessions: []string{session}},
	}}
	resync := &eventsv1.WatchResponse{Part: &eventsv1.WatchResponse_Resync{Resync: &eventsv1.Resync{}}}
	s := &script{streams: []scripted{
		{messages: []*eventsv1.WatchResponse{complete("a"), ended, resync}, end: io.EOF},
		{messages: []*eventsv1.WatchResponse{complete("c")}},
	}}
	follow(t, s, func(t *testing.T, verifier *signet.Verifier, issuer *signettest.Issuer, _ *[]signet.RevocationsState) {
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(s.opened) != 2 || s.opened[1].token != "" {
			t.Errorf("opened %v", s.opened)
		}
		err := verify(t, verifier, issuer.Token(signettest.User{SessionID: session}))
		wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenRevoked)
	})
}

func TestBeforeTheFirstSnapshotIsCompleteNothingIsTaken(t *testing.T) {
	part := &eventsv1.WatchResponse{Part: &eventsv1.WatchResponse_Snapshot{Snapshot: &eventsv1.Snapshot{}}}
	s := &script{streams: []scripted{{messages: []*eventsv1.WatchResponse{part, complete("a")}, pause: 10 * time.Second}}}
	follow(t, s, func(t *testing.T, verifier *signet.Verifier, issuer *signettest.Issuer, _ *[]signet.RevocationsState) {
		token := issuer.Token(signettest.User{})
		time.Sleep(15 * time.Second)
		wantReason(t, verify(t, verifier, token), codes.Unavailable, signet.ReasonUnavailable)
		time.Sleep(10 * time.Second)
		if err := verify(t, verifier, token); err != nil {
			t.Error(err)
		}
	})
}

func TestThatMayBeForgottenWhichNoTokenOutlives(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	verifier, clock := startVerifier(t, issuer.Identifier(), "stock", issuer.Clock().Now().Unix(), mustJWKS(t, issuer),
		signet.WithRevocationSource(silentStream{}))
	verifier.TellForTest(complete("a"))
	for range 1_000 {
		session := &eventsv1.Changes{EndedSessions: []string{signettest.NewUUID()}}
		verifier.TellForTest(&eventsv1.WatchResponse{Part: &eventsv1.WatchResponse_Changes{Changes: session}})
	}
	if kept := verifier.RevokedForTest(); kept != 1_000 {
		t.Errorf("%d are kept", kept)
	}
	clock.Advance(911 * time.Second)
	verifier.TellForTest(beat("b"))
	if kept := verifier.RevokedForTest(); kept != 1_000 {
		t.Errorf("%d are kept", kept)
	}
	clock.Advance(time.Minute)
	verifier.TellForTest(beat("b"))
	if kept := verifier.RevokedForTest(); kept != 0 {
		t.Errorf("%d are kept", kept)
	}
}

func TestWhatHasNoTimeCoversAllTokensThatItNamesUntilNoneLives(t *testing.T) {
	for name, at := range map[string]*timestamppb.Timestamp{"absent": nil, "not to be read": {Seconds: 1 << 60}} {
		t.Run(name, func(t *testing.T) {
			issuer := signettest.NewIssuer(t)
			verifier, clock := startVerifier(t, issuer.Identifier(), "stock", issuer.Clock().Now().Unix(), mustJWKS(t, issuer),
				signet.WithRevocationSource(silentStream{}))
			client := signettest.NewUUID()
			verifier.TellForTest(complete("a"))
			ended := &eventsv1.Changes{EndedClients: []*eventsv1.EndedClient{{ClientId: client, Time: at}}}
			verifier.TellForTest(&eventsv1.WatchResponse{Part: &eventsv1.WatchResponse_Changes{Changes: ended}})
			clock.Advance(900 * time.Second)
			issuer.Advance(900 * time.Second)
			verifier.TellForTest(beat("b"))
			err := verify(t, verifier, issuer.Token(signettest.Client{ID: client}))
			wantReason(t, err, codes.Unauthenticated, signet.ReasonTokenRevoked)
			if err := verify(t, verifier, issuer.Token(signettest.Client{})); err != nil {
				t.Errorf("another client: %v", err)
			}
			clock.Advance(100 * time.Second)
			verifier.TellForTest(beat("b"))
			if kept := verifier.RevokedForTest(); kept != 0 {
				t.Errorf("%d are kept", kept)
			}
		})
	}
}

func TestNoStepOfTheWallClockHasWhatWasRevokedForgotten(t *testing.T) {
	issuer := signettest.NewIssuer(t)
	verifier, err := signet.NewVerifier(issuer.Identifier(), "stock", signet.WithKeySource(fixedKeys(mustJWKS(t, issuer))),
		signet.WithRevocationSource(silentStream{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(verifier.Close)
	ahead := timestamppb.New(time.Now().Add(6 * time.Second)) // as Signet tells it
	verifier.TellForTest(&eventsv1.WatchResponse{Part: &eventsv1.WatchResponse_Changes{Changes: &eventsv1.Changes{
		EndedSessions:     []string{signettest.NewUUID()},
		EndedUserSessions: []*eventsv1.EndedUserSessions{{Subject: signettest.NewUUID(), Time: ahead}},
		EndedClients:      []*eventsv1.EndedClient{{ClientId: signettest.NewUUID()}},
	}}})
	for _, at := range verifier.KeptSinceForTest() {
		if !strings.Contains(at.String(), " m=") { // The one form in which package time shows that there is a monotonic reading.
			t.Errorf("it is kept for some time since %v, which who sets the clock forward ends", at)
		}
	}
}

func mustJWKS(t testing.TB, issuer *signettest.Issuer) []byte {
	t.Helper()
	document, err := issuer.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	return document
}
