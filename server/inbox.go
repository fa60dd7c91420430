package server

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"net/http"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/server/page"
	"github.com/splitpin/splitpin/web"
)

// InboxTokenHeader carries the per-run token of the development inbox.
const InboxTokenHeader = "Inbox-Token"

// inboxRoutes is the development inbox: none in production. Its page is empty
// without the token, which it takes from its own address; its JSON needs the
// token as header or query (security 17).
func (s *Server) inboxRoutes() []route {
	if s.inbox == nil {
		return nil
	}
	return []route{
		{"GET /inbox", s.inboxPage, spared},
		{"GET /inbox/api/messages", s.inboxAPI(s.inboxMessages), spared},
		{"GET /inbox/api/wait", s.inboxAPI(s.inboxWait), spared}, // it waits for a message
	}
}

var (
	errInboxToken = &splitpin.Error{Kind: splitpin.Unauthenticated, Code: "unauthenticated",
		Message: "The inbox needs the token of this run: open the link that splitpin dev printed."}
	errInboxTimeout = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_request", Field: "timeout",
		Message: "timeout must be a duration between 0s and 60s, like 30s."}
	errInboxQuiet = &splitpin.Error{Kind: splitpin.NotFound, Code: "no_message",
		Message: "No such message came in time. Ask again with the same after."}
)

func (s *Server) inboxPage(w http.ResponseWriter, r *http.Request) {
	var html bytes.Buffer
	if err := web.RenderInbox(&html, web.Inbox{SignInURL: s.demo}); err != nil {
		s.problem(w, r, fmt.Errorf("rendering the inbox: %w", err))
		return
	}
	page.Write(w, http.StatusOK, web.InboxCSP(), html.Bytes())
}

func (s *Server) inboxAPI(h func(http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get(InboxTokenHeader)
		if token == "" {
			token = r.URL.Query().Get("token")
		}
		if subtle.ConstantTimeCompare([]byte(token), []byte(s.secret)) != 1 {
			s.problem(w, r, errInboxToken)
			return
		}
		h(w, r)
	}
}

// inboxMessages answers with a list, newest first.
func (s *Server) inboxMessages(w http.ResponseWriter, r *http.Request) {
	list := s.inbox.Messages(r.URL.Query().Get("to"))
	for i := range list {
		m := &list[i]
		if m.Link == "" || s.history == nil {
			continue
		}
		var err error
		if m.History, err = s.history(r.Context(), m.Attempt); err != nil {
			s.problem(w, r, fmt.Errorf("asking how a link was opened: %w", err))
			return
		}
	}
	edge.WriteJSON(w, http.StatusOK, list)
}

// inboxWait answers with the first message after the one named, as soon as there
// is one.
func (s *Server) inboxWait(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	timeout := 30 * time.Second
	if text := q.Get("timeout"); text != "" {
		var err error
		if timeout, err = time.ParseDuration(text); err != nil || timeout < 0 || timeout > time.Minute {
			s.problem(w, r, errInboxTimeout)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	m, found := s.inbox.Wait(ctx, q.Get("to"), q.Get("after"))
	if !found {
		s.problem(w, r, errInboxQuiet)
		return
	}
	edge.WriteJSON(w, http.StatusOK, m)
}
