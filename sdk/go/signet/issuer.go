package signet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// This file owns asking an issuer for its keys over HTTP (RFC 8414, OpenID Connect Discovery 1.0): each answer bounded in size, no redirect
// followed, no way from https to http.

// answerMaxBytes is the largest answer of an issuer that is read: key sets have a few hundred bytes for each key.
const answerMaxBytes = 1 << 20

// httpKeys fetches the keys of an issuer over HTTP.
type httpKeys struct {
	client  *http.Client
	issuer  string
	isHTTPS bool
	given   string // the jwks_uri of the settings, if there is one

	mu         sync.Mutex
	discovered string
}

func newHTTPKeys(client *http.Client, issuer, jwksURI string) (*httpKeys, error) {
	parsed, err := webAddress(issuer)
	if err != nil {
		return nil, fmt.Errorf("signet: the issuer %w", err)
	}
	if !isPlainPath(parsed.EscapedPath()) {
		return nil, errors.New("signet: the issuer must have a path of letters, digits, `-`, `_`, `.` and `~`, if any")
	}
	if jwksURI != "" {
		if _, err := webAddress(jwksURI); err != nil {
			return nil, fmt.Errorf("signet: the JWKS URI %w", err)
		}
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &httpKeys{client: &own, issuer: issuer, isHTTPS: parsed.Scheme == "https", given: jwksURI}, nil
}

// FetchKeys implements [KeySource].
func (h *httpKeys) FetchKeys(ctx context.Context) ([]byte, time.Duration, error) {
	address, err := h.address(ctx)
	if err != nil {
		return nil, 0, err
	}
	document, maxAge, err := h.get(ctx, address)
	if err != nil {
		h.mu.Lock()
		h.discovered = "" // It may have moved.
		h.mu.Unlock()
	}
	return document, maxAge, err
}

// address is where the keys are: where the settings say, or the issuer's metadata.
func (h *httpKeys) address(ctx context.Context) (string, error) {
	if h.given != "" {
		return h.given, nil
	}
	h.mu.Lock()
	discovered := h.discovered
	h.mu.Unlock()
	if discovered != "" {
		return discovered, nil
	}
	var problem error
	for _, address := range metadataAddresses(h.issuer) {
		document, _, err := h.get(ctx, address)
		if err != nil {
			problem = err
			continue
		}
		found, err := h.readMetadata(document)
		if err != nil {
			return "", fmt.Errorf("%s %w", address, err)
		}
		h.mu.Lock()
		h.discovered = found
		h.mu.Unlock()
		return found, nil
	}
	return "", problem
}

// readMetadata is where the issuer's metadata say that its keys are. They count only for the very issuer (RFC 8414 section 3.3).
func (h *httpKeys) readMetadata(document []byte) (string, error) {
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if !readObject(document, &metadata) {
		return "", errors.New("is not the metadata of an issuer")
	}
	if metadata.Issuer != h.issuer {
		return "", fmt.Errorf("is of the issuer %q, and not of %q", metadata.Issuer, h.issuer)
	}
	address, err := webAddress(metadata.JWKSURI)
	if err != nil {
		return "", fmt.Errorf("has a `jwks_uri` that %w", err)
	}
	if h.isHTTPS && address.Scheme != "https" {
		return "", errors.New("has a `jwks_uri` that is not https, though the issuer is")
	}
	return metadata.JWKSURI, nil
}

func (h *httpKeys) get(ctx context.Context, address string) ([]byte, time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, err
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	request.Header.Set("Cache-Control", "no-cache") // What a cache on the way has kept is as old as what is known here.
	response, err := h.client.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%s answered %s", address, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, answerMaxBytes+1))
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", address, err)
	}
	if len(body) > answerMaxBytes {
		return nil, 0, fmt.Errorf("%s answered more than %d bytes", address, answerMaxBytes)
	}
	return body, maxAge(response.Header), nil
}

// metadataAddresses is where an issuer's metadata may be: RFC 8414 section 3.1 puts its path behind the well-known one, OpenID Connect
// Discovery section 4 before it.
func metadataAddresses(issuer string) [2]string {
	trimmed := strings.TrimRight(issuer, "/")
	afterScheme := strings.Index(trimmed, "://") + len("://")
	host, path := trimmed, ""
	if at := strings.IndexByte(trimmed[afterScheme:], '/'); at >= 0 {
		host, path = trimmed[:afterScheme+at], trimmed[afterScheme+at:]
	}
	return [2]string{host + "/.well-known/oauth-authorization-server" + path, trimmed + "/.well-known/openid-configuration"}
}

// webAddress is an http or https URL without user, query or fragment. Its error is the rest of a sentence that begins with the setting.
func webAddress(text string) (*url.URL, error) {
	parsed, err := url.Parse(text)
	isPlain := err == nil && parsed.Host != "" && parsed.User == nil && !strings.ContainsAny(text, "?#@")
	if !isPlain || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return nil, errors.New("must be an http or https URL without user, query or fragment")
	}
	return parsed, nil
}

// isPlainPath says whether nobody can hold two opinions of the path, since an issuer's metadata are found by it.
func isPlainPath(path string) bool {
	path = strings.TrimRight(path, "/")
	if path == "" {
		return true
	}
	for _, segment := range strings.Split(path, "/")[1:] {
		if segment == "" || segment[0] == '.' {
			return false
		}
		for _, c := range segment {
			isLetter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
			if !isLetter && (c < '0' || c > '9') && !strings.ContainsRune("-_.~", c) {
				return false
			}
		}
	}
	return true
}

// maxAge is for how long an answer is fresh (RFC 9111 section 4.2.1); zero if it does not say. An answer that may not be kept at all is
// fresh for a moment.
func maxAge(header http.Header) time.Duration {
	for _, value := range header.Values("Cache-Control") {
		for directive := range strings.SplitSeq(value, ",") {
			directive = strings.ToLower(strings.TrimSpace(directive))
			if directive == "no-store" || directive == "no-cache" {
				return time.Nanosecond
			}
			if text, found := strings.CutPrefix(directive, "max-age="); found {
				seconds, err := strconv.ParseUint(strings.Trim(text, `"`), 10, 31)
				if err != nil {
					continue
				}
				age, err := strconv.ParseUint(strings.TrimSpace(header.Get("Age")), 10, 31)
				if err != nil {
					age = 0
				}
				return max(time.Duration(seconds)*time.Second-time.Duration(age)*time.Second, time.Nanosecond)
			}
		}
	}
	return 0
}
