package server

import (
	"io"
	"net/http"
	"strings"

	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/server/edge"
)

// requestView tells 'splitpin doctor' how its request arrived, after whatever
// proxies did to it. To everybody else there is nothing at this address.
func (s *Server) requestView(w http.ResponseWriter, r *http.Request) {
	if s.pass == nil {
		s.noPage(w, r)
		return
	}
	nonce, ok := s.pass(s.Clock(), edge.Bearer(r))
	if !ok {
		s.noPage(w, r)
		return
	}
	n, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, edge.MaxBody))
	if err != nil {
		s.problem(w, r, edge.ErrLarge.Because(err))
		return
	}
	client := s.Addr(r)
	view := api.RequestView{
		Nonce: nonce, Peer: r.RemoteAddr, PeerTrusted: s.Trusts(edge.Peer(r)), Client: client.String(),
		Host: r.Host, KeyHeader: r.Header.Get("API_KEY_ID") != "", BodyBytes: n,
		PublicURL: s.PublicURL.String(), Version: s.version, Time: s.Clock(), Development: s.inbox != nil,
	}
	for _, line := range r.Header.Values("X-Forwarded-For") {
		for hop := range strings.SplitSeq(line, ",") {
			view.ForwardedFor = append(view.ForwardedFor, strings.TrimSpace(hop))
		}
	}
	edge.WriteJSON(w, http.StatusOK, view)
}
