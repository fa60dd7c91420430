// Package edge is what every face needs to know of a request before it can
// translate it: who asks, for which project, from which origin, with what body.
// It decides nothing about sign-ins.
package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/token"
)

// MaxBody is how much of a request body is read.
const MaxBody = 64 << 10

// Errors of reading a request.
var (
	ErrBody = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request",
		Message: "The body must be one JSON object."}
	ErrLarge = &splitpin.Error{Kind: splitpin.Invalid, Code: "too_large",
		Message: "The body is larger than 64 KiB."}
	ErrMedia = &splitpin.Error{Kind: splitpin.Invalid, Code: "unsupported_media_type",
		Message: "Send the body as JSON, with Content-Type: application/json."}
	ErrDisagree = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "unknown_project",
		Message: "The API key ids in the path, the header and the body are not the same."}
	ErrNotDefault = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "unknown_project",
		Message: "At the root this server serves its default project only. Use the base path /p/<API_KEY_ID> for any other."}
)

// Why a request was refused before anything was done for it: counted, and not
// logged for each.
var (
	ErrCrowded = errors.New("more requests come than can be served")
	ErrLate    = errors.New("the body of the request did not come in time")
)

// An Edge reads requests for one server.
type Edge struct {
	Engine    *signin.Engine
	PublicURL *url.URL       // what people and tokens see; scheme and host
	Proxies   []netip.Prefix // whose forwarding headers are believed; empty: nobody's
	AnyOrigin bool           // insecure_any_origin: "*" in a project's list counts
	Loopback  bool           // development: every loopback name is our host
	Clock     func() time.Time
	Log       *slog.Logger // its handler may ask VisitOf which request a line belongs to

	stoodIn Seldom // puzzles in place of what could not be asked
}

// Hosted reports whether a request names a host that is ours. Anything else
// would let a foreign name into links, cookies and caches (security 13), or be
// DNS rebinding (security 17).
func (e *Edge) Hosted(r *http.Request) bool {
	if strings.EqualFold(withoutDefaultPort(e.PublicURL.Scheme, r.Host), e.PublicURL.Host) {
		return true
	}
	if !e.Loopback {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	host = strings.Trim(host, "[]")
	return strings.EqualFold(host, "localhost") || host == "127.0.0.1" || host == "::1"
}

func withoutDefaultPort(scheme, host string) string {
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// Addr returns the address of the client. Forwarding headers count only when
// they come from a configured proxy, and are read right to left, so that what a
// client writes itself is never believed.
func (e *Edge) Addr(r *http.Request) netip.Addr {
	addr := Peer(r)
	if !e.Trusts(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := address(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		addr = hop
		if !e.Trusts(addr) {
			break
		}
	}
	return addr
}

// Peer returns the address of who connected to us; the zero Addr where the
// connection has none.
func Peer(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("")
}

// address reads one entry of a forwarding header. Some proxies add the port.
func address(s string) (netip.Addr, bool) {
	if withPort, err := netip.ParseAddrPort(s); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err == nil
}

// Trusts reports whether a is the address of a configured proxy.
func (e *Edge) Trusts(a netip.Addr) bool {
	for _, p := range e.Proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// KnownCookie is what a browser keeps to be spared the limits that strangers
// share. It opens nothing.
const KnownCookie = "__Host-splitpin-known"

// Caller returns who asks.
func (e *Edge) Caller(r *http.Request) signin.Caller {
	c := signin.Caller{
		Addr: e.Addr(r), Device: Device(r.UserAgent()),
		Browser: r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Sec-Fetch-Mode") != "",
	}
	if cookie, err := r.Cookie(KnownCookie); err == nil {
		c.Known = cookie.Value
	}
	return c
}

// apiKeyHeader is API_KEY_ID as net/http keeps it: asked for by its own name, it would
// be spelt anew for every request.
var apiKeyHeader = http.CanonicalHeaderKey("API_KEY_ID")

// NamesProject reports whether a request names a project elsewhere than in its path.
func NamesProject(r *http.Request) bool { return r.Header[apiKeyHeader] != nil }

// Project returns the project that a request is for: the path's, or at the root
// the default one. What else names a project, in the header API_KEY_ID or in
// claims (body, parameters), must agree.
func (e *Edge) Project(r *http.Request, claims ...string) (*splitpin.Project, error) {
	path := r.PathValue("project")
	p, err := e.Engine.Project(path)
	if err != nil {
		return nil, err
	}
	for _, id := range append(claims, r.Header.Get(apiKeyHeader)) {
		if id == "" || strings.EqualFold(id, p.ID) {
			continue
		}
		if path == "" {
			if _, err := e.Engine.Project(id); err == nil {
				return nil, ErrNotDefault
			}
			return nil, signin.ErrProject
		}
		return nil, ErrDisagree
	}
	return p, nil
}

// CORS answers what browsers ask about origins and reports whether the request
// was a preflight, which is then answered. Credentials only for an origin that
// the project lists itself; one that only "*" matches may call without
// (security 14).
func (e *Edge) CORS(w http.ResponseWriter, r *http.Request, p *splitpin.Project) (preflight bool) {
	w.Header().Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	preflight = r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	if origin != "" && p != nil {
		canonical, ok := splitpin.ParseOrigin(origin)
		switch {
		case !ok || canonical != origin:
		case p.ListsOrigin(origin):
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Credentials", "true")
		case p.ListsAny() && e.AnyOrigin:
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
	}
	if preflight {
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS")
		w.Header().Set("Access-Control-Allow-Headers", "API_KEY_ID, API_SECRET_KEY, Content-Type, Authorization, Attempt-Secret")
		w.Header().Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
	} else if origin != "" {
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After, X-Request-Id")
	}
	return preflight
}

// Values of headers that are the same in every answer. Nobody alters them: Set puts
// another slice in their place, and Add, with no room behind them, copies.
var (
	anyOrigin   = []string{"*"}
	jsonType    = []string{"application/json"}
	keySetCache = []string{"public, max-age=" + strconv.Itoa(Seconds(token.KeySetMaxAge))}
)

// PublicCORS lets any page read an answer that anybody may have.
func PublicCORS(w http.ResponseWriter, r *http.Request) (preflight bool) {
	w.Header()["Access-Control-Allow-Origin"] = anyOrigin
	if r.Method != http.MethodOptions {
		return false
	}
	w.Header().Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	w.Header().Set("Access-Control-Allow-Headers", "API_KEY_ID, Content-Type, Authorization")
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// ReadBody reads a body of whatever type. Its errors are ErrLarge and ErrBody.
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var body bytes.Buffer
	body.Grow(int(min(max(r.ContentLength, 0), MaxBody)) + bytes.MinRead)
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody)); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, ErrLarge
		}
		return nil, ErrBody.Because(err)
	}
	return body.Bytes(), nil
}

// ReadJSON reads one JSON object into v. Its errors are ErrMedia, ErrLarge and
// ErrBody.
func ReadJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if media := r.Header.Get("Content-Type"); media != "application/json" { // as nearly everybody writes it
		media, _, err := mime.ParseMediaType(media)
		if err != nil || media != "application/json" {
			return ErrMedia
		}
	}
	body, err := ReadBody(w, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return ErrBody.In(wrong.Field).Because(err)
		}
		return ErrBody.Because(err)
	}
	return nil
}

// WriteJSON answers with v. What a face answers is personal unless it says
// otherwise, so nothing keeps it.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	var b []byte
	if own, ok := v.(interface{ AppendJSON([]byte) []byte }); ok {
		b = own.AppendJSON(make([]byte, 0, 512))
	} else {
		var err error
		if b, err = json.Marshal(v); err != nil {
			panic("edge: an answer that is no JSON: " + err.Error()) // a type of ours is wrong
		}
	}
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	w.Write(b)
}

// Bearer returns the bearer token of a request, or nothing.
func Bearer(r *http.Request) splitpin.Secret {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return splitpin.Secret(strings.TrimSpace(token))
}

// ErrSecret refuses a call that needs a server secret.
var ErrSecret = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "unauthenticated",
	Message: "This needs a server secret of the project."}

// ErrSecretOrigin refuses a server secret that comes from a web page: there it is
// known to everybody.
var ErrSecretOrigin = &splitpin.Error{Kind: splitpin.Forbidden, Code: "forbidden",
	Message: "A server secret must never be used in a browser. Treat it as known to strangers and rotate it."}

// Trusted reports whether a request shows a server secret of p. Without one, or
// with a wrong one, it reports false: endpoints that need none ignore it, because
// apps send secrets that are none (contract 0.3). A genuine one from a web page
// is ErrSecretOrigin.
func (e *Edge) Trusted(r *http.Request, p *splitpin.Project, secret splitpin.Secret) (bool, error) {
	if secret == "" || !p.HasServerSecret(e.Clock(), secret) {
		return false, nil
	}
	if r.Header.Get("Origin") != "" {
		if err := e.Engine.Audit(r.Context(), p, "server_secret_in_browser", e.Caller(r)); err != nil {
			return false, err
		}
		return false, ErrSecretOrigin
	}
	return true, nil
}

var internal = &splitpin.Error{Kind: splitpin.Internal, Code: "internal",
	Message: "Something went wrong on our side. Please try again in a moment."}

// Refusal returns what to tell the caller about err, and logs what nobody
// foresaw: its text stays with us. A client that went away is nobody's error.
func (e *Edge) Refusal(r *http.Request, err error) *splitpin.Error {
	told := e.refusal(r, err)
	if v := VisitOf(r.Context()); v != nil {
		v.Code = told.Code
	}
	return told
}

func (e *Edge) refusal(r *http.Request, err error) *splitpin.Error {
	known := splitpin.ErrorOf(err)
	if known == nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		known = splitpin.ErrUnavailable
	}
	switch {
	case known == nil:
		e.Log.ErrorContext(r.Context(), "request went wrong", "route", r.Pattern, "error", err)
		return internal
	case errors.Is(err, ErrCrowded), errors.Is(err, ErrLate):
	case known.Kind == splitpin.Unavailable || known.Kind == splitpin.Internal:
		e.Log.WarnContext(r.Context(), "request could not be served", "route", r.Pattern, "code", known.Code, "error", err)
	case errors.Is(known, signin.ErrChallenge) && errors.Unwrap(known) != nil:
		if times := e.stoodIn.Happened(e.Clock()); times > 0 {
			e.Log.WarnContext(r.Context(), "the provider of captchas cannot be asked: people solve a hard puzzle instead",
				"code", known.Code, "error", errors.Unwrap(known), "times", times)
		}
	}
	return known
}

// Seconds rounds a wait up, so that who waits so long is not refused again.
func Seconds(d time.Duration) int {
	if d <= 0 {
		return 0
	}
	return int((d + time.Second - 1) / time.Second)
}

// SetRetryAfter says in a header when to come back, where that is known.
func SetRetryAfter(w http.ResponseWriter, err *splitpin.Error) {
	if n := Seconds(err.RetryAfter); n > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(n))
	}
}

// WriteKeySet answers with a key set, or with the news that the caller's copy is
// still good. Key rotation counts with how long it may be kept.
func WriteKeySet(w http.ResponseWriter, r *http.Request, body []byte, etag string) {
	h := w.Header() // by names as net/http keeps them, which spares it spelling them
	h["Cache-Control"] = keySetCache
	h["Etag"] = []string{etag}
	if tags := r.Header["If-None-Match"]; tags != nil && matches(tags, etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h["Content-Type"] = jsonType
	w.Write(body)
}

// Locale keeps what can be a language tag and nothing else.
func Locale(s string) string {
	if len(s) > 35 {
		return ""
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return ""
		}
	}
	return s
}
