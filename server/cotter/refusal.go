package cotter

import (
	"net/http"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
)

// A refusal is the body of every error. Web and React Native show msg, Flutter
// parses the body whatever the status is.
type refusal struct {
	Msg  string `json:"msg"`
	Type string `json:"type"` // always empty, as it mostly was
}

// Errors of this face alone.
//
// No message here may contain "not valid": in an answer to a refresh these words
// end the session for the web SDK, and only signin.ErrRefresh may say them
// (contract 7.1).
var (
	errPath = &splitpin.Error{Kind: splitpin.NotFound, Code: "path_unknown",
		Message: "This server has no such endpoint. Check the base URL: it ends in /api/v0."}
	errMethod = &splitpin.Error{Kind: splitpin.Invalid, Code: "http_method",
		Message: "This endpoint does not answer that HTTP method."}
	errCookieOrigin = &splitpin.Error{Kind: splitpin.Forbidden, Code: "origin_not_allowed",
		Message: "This site may not use the sign-in cookie. Site owner: add the site's origin to the project's list of allowed URLs."}
	errGrantType = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "grant_type",
		Message: "grant_type must be refresh_token or identity_token."}
	errEvents = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "grant_type",
		Message: "This server does not know events of devices yet, so there is no event token to exchange. Use a sign-in that returns oauth_token."}
	errPage = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "page",
		Message: "page must be a number from 0."}
	errCreateOff = &splitpin.Error{Kind: splitpin.Forbidden, Code: "forbidden",
		Message: "In this project only a backend may create users. Site owner: send the server secret, or set lookup to minimal."}
	errNobody = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "identifier",
		Message: "identifier is missing."}
	errOneIdentifier = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "identifiers",
		Message: "A user has one identifier. Please send exactly one."}
)

// status is the one table of this face from kinds of error to HTTP status
// (contract 18, row 8). A duplicate is 400 here. A client's mistake is never 500:
// some versions of the web SDK would try it three times.
func status(err *splitpin.Error) int {
	switch err.Code {
	case "misdirected":
		return http.StatusMisdirectedRequest
	case edge.ErrLarge.Code:
		return http.StatusRequestEntityTooLarge
	case edge.ErrMedia.Code:
		return http.StatusUnsupportedMediaType
	case errMethod.Code:
		return http.StatusMethodNotAllowed
	}
	switch err.Kind {
	case splitpin.Invalid, splitpin.Conflict:
		return http.StatusBadRequest
	case splitpin.Unauthenticated:
		return http.StatusUnauthorized
	case splitpin.Forbidden:
		return http.StatusForbidden
	case splitpin.NotFound:
		return http.StatusNotFound
	case splitpin.TooMany:
		return http.StatusTooManyRequests
	case splitpin.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// Refuse answers with an error in the shape of this face.
func (f *Face) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	known := f.edge.Refusal(r, err)
	edge.SetRetryAfter(w, known)
	edge.WriteJSON(w, status(known), refusal{Msg: known.Message})
}
