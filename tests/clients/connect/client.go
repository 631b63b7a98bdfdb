// A client of connect-go: signs up, logs in, is recognised and is refused, by each codec.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	identity "example.com/client/gen/identity/v1"
	"example.com/client/gen/identity/v1/identityv1connect"
)

// A refusal is how a call was refused, as the library reads it.
type refusal struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Reason  string   `json:"reason"`
	Fields  []string `json:"fields"`
}

func refused(err error) (refusal, error) {
	var failed *connect.Error
	if !errors.As(err, &failed) {
		return refusal{}, fmt.Errorf("it was not refused: %w", err)
	}
	read := refusal{Code: failed.Code().String(), Message: failed.Message(), Fields: []string{}}
	for _, detail := range failed.Details() {
		message, err := detail.Value()
		if err != nil {
			return refusal{}, err
		}
		switch detail := message.(type) {
		case *errdetails.ErrorInfo:
			read.Reason = detail.Reason
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				read.Fields = append(read.Fields, violation.Field+": "+violation.Reason)
			}
		}
	}
	return read, nil
}

func visit(name string, transport *http.Transport, options ...connect.ClientOption) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	options = append(options, connect.WithHTTPGet(), connect.WithSendGzip())
	signet := identityv1connect.NewIdentityServiceClient(&http.Client{Transport: transport}, os.Getenv("SIGNET_URL"), options...)

	username, password := "go-"+name, os.Getenv("PASSWORD")
	signUp := func(username, password string) (*connect.Response[identity.SignUpResponse], error) {
		return signet.SignUp(ctx, connect.NewRequest(&identity.SignUpRequest{Username: username, Password: password}))
	}
	made, err := signUp(username, password)
	if err != nil {
		return nil, err
	}
	logins, err := strconv.Atoi(os.Getenv("LOGINS"))
	if err != nil {
		return nil, err
	}
	token := ""
	for range logins {
		grant := &identity.IssueTokenRequest_Password{Password: &identity.PasswordGrant{Username: username, Password: password}}
		login, err := signet.IssueToken(ctx, connect.NewRequest(&identity.IssueTokenRequest{Grant: grant}))
		if err != nil {
			return nil, err
		}
		token = login.Msg.AccessToken
	}
	getMe := connect.NewRequest(&identity.GetMeRequest{})
	getMe.Header().Set("Authorization", "Bearer "+token)
	me, err := signet.GetMe(ctx, getMe)
	if err != nil {
		return nil, err
	}
	listSessions := connect.NewRequest(&identity.ListSessionsRequest{})
	listSessions.Header().Set("Authorization", "Bearer "+token)
	sessions, err := signet.ListSessions(ctx, listSessions)
	if err != nil {
		return nil, err
	}
	_, err = signUp(username, password)
	taken, err := refused(err)
	if err != nil {
		return nil, err
	}
	_, err = signUp("al ice", "short")
	bad, err := refused(err)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"id":         made.Msg.User.Id,
		"recognised": me.Msg.User.Id,
		"sessions":   len(sessions.Msg.Sessions),
		"compressed": sessions.Header().Get("Content-Encoding") == "gzip",
		"taken":      taken,
		"bad":        bad,
	}, nil
}

func main() {
	// Without TLS, Go speaks HTTP/1.1, or HTTP/2 if it is told that it may.
	http2 := &http.Transport{Protocols: new(http.Protocols)}
	http2.Protocols.SetUnencryptedHTTP2(true)
	byJSON, err := visit("json", &http.Transport{}, connect.WithProtoJSON())
	if err != nil {
		log.Fatal(err)
	}
	byProto, err := visit("proto", http2)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"json": byJSON, "proto": byProto}); err != nil {
		log.Fatal(err)
	}
}
