package server

import (
	"net/http"

	"github.com/splitpin/splitpin/signin"
)

// A route is one line of the table below.
type route struct {
	pattern string // of net/http: method and path
	handle  http.HandlerFunc
	waits   bool
}

// Which routes wait at the gate for their turn. Those that are spared cost nothing
// that there is too little of, and are answered however much comes: machines ask
// them to see whether we live, verifiers need them, or they belong to a page that is
// open already.
const (
	inTurn = true
	spared = false
)

// routes is every address of this server but those of the Cotter face, which
// server/cotter lists. What stands under /v1 stands under /p/<API_KEY_ID>/v1 too;
// without that base path it is for the default project. api/openapi.yaml
// describes /v1 and is held against this table by a test.
func (s *Server) routes() []route {
	all := []route{
		// Pages stand at the root and take the project from their parameters.
		{"GET /{$}", s.home, inTurn},
		{"GET /signin", s.signin, inTurn},
		{"GET " + signin.AccountPath, s.account, inTurn},
		{"GET /captcha", s.captcha, inTurn},
		{"GET " + signin.LinkPath + "{token}", s.landing, inTurn},
		{"GET " + signin.UndoPath + "{token}", s.undo, inTurn},
		{"POST " + signin.UndoPath + "{token}", s.undo, inTurn},
		{"GET /logo/{project}", s.logo, inTurn},
		{"GET /assets/", s.assets.ServeHTTP, spared},
		{"GET /lib/", s.assets.ServeHTTP, spared}, // what Cotter's SDK loads into its own pages
		{"GET /favicon.ico", s.icon, spared},

		{"GET /.well-known/webauthn", s.relatedOrigins, inTurn},
		{"GET /healthz", s.healthz, spared},
		{"GET /readyz", s.readyz, spared},
		{"POST /doctor", s.requestView, inTurn},
	}
	all = append(all, s.inboxRoutes()...)
	all = append(all, s.reportRoutes()...)
	for _, r := range s.v1() {
		method, path := cut(r.pattern)
		all = append(all,
			route{method + " " + path, r.handle, r.waits},
			route{method + " /p/{project}" + path, r.handle, r.waits})
	}
	return append(all,
		route{"OPTIONS /v1/", s.preflight, spared},
		route{"OPTIONS /p/{project}/v1/", s.preflight, spared},
		route{"/v1/", s.noRoute, inTurn},
		route{"/p/{project}/v1/", s.noRoute, inTurn},
		route{"/", s.noPage, inTurn},
	)
}

// v1 is our own JSON API.
func (s *Server) v1() []route {
	return []route{
		// For whoever signs in.
		{"POST /v1/attempts", s.call(s.startAttempt), inTurn},
		{"GET /v1/attempts/{id}", s.call(s.showAttempt), inTurn},
		{"POST /v1/attempts/{id}/answer", s.call(s.answerAttempt), inTurn},
		{"POST /v1/attempts/{id}/resend", s.call(s.resendAttempt), inTurn},
		{"POST /v1/attempts/{id}/grant", s.call(s.grantAttempt), inTurn},
		{"POST /v1/link/open", s.call(s.openLink), inTurn},
		{"POST /v1/link/admit", s.call(s.admitByLink), inTurn},
		{"POST /v1/link/refuse", s.call(s.refuseLink), inTurn},
		{"POST /v1/link/disown", s.call(s.disownLink), inTurn},
		{"POST /v1/token", s.call(s.token), inTurn},
		{"POST /v1/logout", s.call(s.logout), inTurn},

		// For anybody.
		{"GET /v1/project", s.call(s.showProject), inTurn},
		{"GET " + keySetPath, s.keys, spared}, // nearly always answered before: see published
		{"GET /v1/keys/identity", s.identityKey, spared},

		// For the user of a bearer access token.
		{"GET /v1/user", s.call(s.me), inTurn},
		{"GET /v1/sessions", s.call(s.mySessions), inTurn},
		{"DELETE /v1/sessions", s.call(s.endMySessions), inTurn},
		{"DELETE /v1/sessions/{id}", s.call(s.endMySession), inTurn},
		{"GET /v1/credentials", s.call(s.myCredentials), inTurn},
		{"PATCH /v1/credentials/{id}", s.call(s.renameMyCredential), inTurn},
		{"DELETE /v1/credentials/{id}", s.call(s.removeMyCredential), inTurn},

		// For backends, with a server secret as bearer.
		{"GET /v1/users", s.call(s.listUsers), inTurn},
		{"POST /v1/users", s.call(s.createUser), inTurn},
		{"GET /v1/users/{id}", s.call(s.showUser), inTurn},
		{"GET /v1/users/{id}/sessions", s.call(s.userSessions), inTurn},
		{"DELETE /v1/users/{id}/sessions", s.call(s.endUserSessions), inTurn},
		{"PUT /v1/users/{id}/sessions/{session}/claims", s.call(s.setClaims), inTurn},
	}
}
