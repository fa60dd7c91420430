package server

import (
	"io"
	"net/http"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
)

// reportRoutes take what providers tell of messages after they took them. They are asked
// by machines of others, so nothing here reads a project, an origin or a cookie: what
// counts is a signature, and the receipt of the message.
func (s *Server) reportRoutes() []route {
	if s.report == nil {
		return nil
	}
	return []route{
		{"POST /reports/{channel}/{receipt}", s.takeReport, inTurn},
		{"POST /reports/{channel}", s.takeReport, inTurn},
		{"GET /reports/{channel}", s.takeReport, inTurn}, // changes nothing: a provider looks whether we are there
	}
}

func (s *Server) takeReport(w http.ResponseWriter, r *http.Request) {
	body, err := edge.ReadBody(w, r)
	if err != nil {
		s.problem(w, r, err)
		return
	}
	answer, err := s.report(r.Context(), r, splitpin.Channel(r.PathValue("channel")), r.PathValue("receipt"), body)
	if err != nil {
		s.problem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	io.WriteString(w, answer)
}
