package edge

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
)

// A Visit is one request as logs, metrics and traces know it. It is filled in by
// the goroutine that serves the request; the fields below ID and Traceparent
// count when that has ended.
type Visit struct {
	ID          string // stands in the log, in errors and in the header X-Request-Id
	Traceparent string // the W3C header, where a configured proxy sent it; empty: nobody we believe

	Route  string // the pattern that took the request, never its path; empty: none did
	Status int    // of the answer
	Code   string // of the error that was answered; empty: none
}

type visitKey struct{}

// Enter begins a visit. A configured proxy may name it, so that the proxy's log
// and ours can be laid side by side; what anybody else says about ids and traces
// is not read, or a stranger could fill our trace store and forge lines of the log.
func (e *Edge) Enter(r *http.Request) (context.Context, *Visit) {
	v := &Visit{Status: http.StatusOK}
	named, traced := r.Header["X-Request-Id"], r.Header["Traceparent"]
	if (named != nil || traced != nil) && e.Trusts(Peer(r)) {
		if len(named) == 1 && isRequestID(named[0]) {
			v.ID = named[0]
		}
		if len(traced) == 1 {
			v.Traceparent = traced[0]
		}
	}
	if v.ID == "" {
		// A name, and no secret.
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], rand.Uint64())
		binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
		v.ID = base64.RawURLEncoding.EncodeToString(b[:9])
	}
	return context.WithValue(r.Context(), visitKey{}, v), v
}

// VisitOf returns the visit that a context belongs to, or nil.
func VisitOf(ctx context.Context) *Visit {
	v, _ := ctx.Value(visitKey{}).(*Visit)
	return v
}

// RequestID returns the id of a request that was entered, or nothing.
func RequestID(r *http.Request) string {
	if v := VisitOf(r.Context()); v != nil {
		return v.ID
	}
	return ""
}

// isRequestID admits what proxies send: UUIDs, hexadecimal, base64url.
func isRequestID(id string) bool {
	if len(id) < 8 || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}
