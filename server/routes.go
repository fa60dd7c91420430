package server

import "net/http"

// A route is one line of the table below.
type route struct {
	pattern string // of net/http: method and path
	handle  http.HandlerFunc
}

// routes is every address of this server but those of the Cotter face, which
// server/cotter lists. What stands under /v1 stands under /p/<API_KEY_ID>/v1 too;
// without that base path it is for the default project. api/openapi.yaml
// describes /v1 and is held against this table by a test.
func (s *Server) routes() []route {
	all := []route{
		// Pages stand at the root and take the project from their parameters.
		{"GET /{$}", s.home},
		{"GET /signin", s.signin},
		{"GET /logo/{project}", s.logo},
		{"GET /assets/", s.assets.ServeHTTP},
		{"GET /favicon.ico", s.icon},

		{"GET /healthz", s.healthz},
		{"GET /readyz", s.readyz},
		{"POST /doctor", s.requestView},
	}
	all = append(all, s.inboxRoutes()...)
	for _, r := range s.v1() {
		method, path := cut(r.pattern)
		all = append(all,
			route{method + " " + path, r.handle},
			route{method + " /p/{project}" + path, r.handle})
	}
	return append(all,
		route{"OPTIONS /v1/", s.preflight},
		route{"OPTIONS /p/{project}/v1/", s.preflight},
		route{"/v1/", s.noRoute},
		route{"/p/{project}/v1/", s.noRoute},
		route{"/", s.noPage},
	)
}

// v1 is our own JSON API.
func (s *Server) v1() []route {
	return []route{
		// For whoever signs in.
		{"POST /v1/attempts", s.call(s.startAttempt)},
		{"GET /v1/attempts/{id}", s.call(s.showAttempt)},
		{"POST /v1/attempts/{id}/answer", s.call(s.answerAttempt)},
		{"POST /v1/attempts/{id}/resend", s.call(s.resendAttempt)},
		{"POST /v1/token", s.call(s.token)},
		{"POST /v1/logout", s.call(s.logout)},

		// For anybody.
		{"GET /v1/project", s.call(s.showProject)},
		{"GET /v1/keys", s.keys},
		{"GET /v1/keys/identity", s.identityKey},

		// For the user of a bearer access token.
		{"GET /v1/user", s.call(s.me)},
		{"GET /v1/sessions", s.call(s.mySessions)},
		{"DELETE /v1/sessions", s.call(s.endMySessions)},
		{"DELETE /v1/sessions/{id}", s.call(s.endMySession)},

		// For backends, with a server secret as bearer.
		{"GET /v1/users", s.call(s.listUsers)},
		{"POST /v1/users", s.call(s.createUser)},
		{"GET /v1/users/{id}", s.call(s.showUser)},
		{"GET /v1/users/{id}/sessions", s.call(s.userSessions)},
		{"DELETE /v1/users/{id}/sessions", s.call(s.endUserSessions)},
	}
}
