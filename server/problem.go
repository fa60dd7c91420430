package server

import (
	"errors"
	"net/http"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/server/cotter"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
)

var (
	errPanic = errors.New("a handler panicked")
	errRoute = &splitpin.Error{Kind: splitpin.NotFound, Code: "not_found",
		Message: "There is nothing at this address. api/openapi.yaml describes what there is."}
	errVerb = &splitpin.Error{Kind: splitpin.Invalid, Code: "method_not_allowed",
		Message: "This address does not answer that HTTP method. The header Allow names those it does."}
	errHost = &splitpin.Error{Kind: splitpin.Invalid, Code: "misdirected",
		Message: "This server answers for the host of its public URL only. Operator: check public_url and the Host header that the proxy sends."}
)

// refusal answers before or after a handler, in the words of the face that the
// request was for.
func (s *Server) refusal(w http.ResponseWriter, r *http.Request, err error) {
	if cotter.Owns(r.URL.Path) {
		s.cotter.Refuse(w, r, err)
		return
	}
	s.problem(w, r, err)
}

// problem answers with an error of /v1 (RFC 9457).
func (s *Server) problem(w http.ResponseWriter, r *http.Request, err error) {
	e := s.Refusal(r, err)
	p := api.Problem{
		Type: "urn:splitpin:error:" + e.Code, Title: strings.ReplaceAll(e.Code, "_", " "), Status: status(e),
		Detail: e.Message, Code: e.Code, RequestID: edge.RequestID(r),
		Field: e.Field, RetryAfter: edge.Seconds(e.RetryAfter), Challenge: e.Challenge,
	}
	if e.Code == signin.ErrWrong.Code || e.Code == signin.ErrWrongDigits.Code {
		p.TriesLeft = &e.TriesLeft
	}
	edge.SetRetryAfter(w, e)
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="splitpin"`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	edge.WriteJSON(w, p.Status, p)
}

// status is the one table of this face from kinds of error to HTTP status.
func status(err *splitpin.Error) int {
	switch err.Code {
	case edge.ErrLarge.Code:
		return http.StatusRequestEntityTooLarge
	case edge.ErrMedia.Code:
		return http.StatusUnsupportedMediaType
	case errVerb.Code:
		return http.StatusMethodNotAllowed
	case errHost.Code:
		return http.StatusMisdirectedRequest
	}
	switch err.Kind {
	case splitpin.Invalid:
		return http.StatusBadRequest
	case splitpin.Unauthenticated:
		return http.StatusUnauthorized
	case splitpin.Forbidden:
		return http.StatusForbidden
	case splitpin.NotFound:
		return http.StatusNotFound
	case splitpin.Conflict:
		return http.StatusConflict
	case splitpin.TooMany:
		return http.StatusTooManyRequests
	case splitpin.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
