package delivery

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
)

// inboxSize is how many letters an Inbox keeps; older ones fall out.
const inboxSize = 500

// An Inbox is the sender of development: it keeps the newest 500 letters in memory
// and hands them, codes and all, to whoever asks. The server shows them at
// /inbox; it must never be wired into production. The zero value is ready to use.
type Inbox struct {
	mu      sync.Mutex
	letters []InboxMessage // oldest first
	unnamed int            // letters that came without an ID
	arrived chan struct{}  // closed and replaced at each arrival; nil until somebody waits
}

// An InboxMessage is a letter as the inbox page and its JSON show it.
type InboxMessage struct {
	ID      string           `json:"id"` // Letter.ID
	To      string           `json:"to"`
	Channel splitpin.Channel `json:"channel"`
	Subject string           `json:"subject"`
	Text    string           `json:"text"`
	HTML    string           `json:"html"`
	Code    string           `json:"code"` // empty: none
	Link    string           `json:"link"` // empty: none
	At      time.Time        `json:"at"`

	// History is what became of its link since, a line each; the server fills it in.
	History []string `json:"history,omitempty"`
	Attempt int64    `json:"-"`
}

// Send keeps the letter. One that is here already, sent again after a crash, is
// not kept twice.
func (in *Inbox) Send(ctx context.Context, l *Letter) error {
	if err := ctx.Err(); err != nil {
		return &SendError{Stage: StageCancelled, Temporary: true, Detail: "stopped before it was kept", cause: err}
	}
	m := InboxMessage{
		ID: l.ID, To: l.To, Channel: l.Channel, Subject: l.Subject, Text: l.Text, HTML: l.HTML,
		Code: l.Code.Reveal(), Link: l.Link.Reveal(), At: l.At.UTC(), Attempt: l.Attempt,
	}
	if l.Channel != splitpin.EmailChannel {
		m.Text = strings.TrimSuffix(m.Text, "\n") // as it stands on a phone
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if m.ID == "" {
		in.unnamed++
		m.ID = fmt.Sprintf("unnamed%d", in.unnamed)
	}
	if in.index(m.ID) >= 0 {
		return nil
	}
	if len(in.letters) == inboxSize {
		in.letters = append(in.letters[:0], in.letters[1:]...)
	}
	in.letters = append(in.letters, m)
	if in.arrived != nil {
		close(in.arrived)
		in.arrived = nil
	}
	return nil
}

// index returns where the letter with that id stands, or -1. in.mu is held.
func (in *Inbox) index(id string) int {
	for i := len(in.letters) - 1; i >= 0; i-- {
		if in.letters[i].ID == id {
			return i
		}
	}
	return -1
}

// Messages returns the letters to an address, or all of them where to is empty,
// newest first. It is never nil.
func (in *Inbox) Messages(to string) []InboxMessage {
	in.mu.Lock()
	defer in.mu.Unlock()
	found := make([]InboxMessage, 0, len(in.letters))
	for i := len(in.letters) - 1; i >= 0; i-- {
		if to == "" || in.letters[i].To == to {
			found = append(found, in.letters[i])
		}
	}
	return found
}

// Wait returns the first letter to an address (to any, where to is empty) that
// came after the one with id afterID, and waits for it where there is none yet.
// An empty afterID asks for the newest there is, and waits only where there is
// none; an unknown one, as of an earlier run, asks for the oldest. Wait reports
// false when ctx ended first.
func (in *Inbox) Wait(ctx context.Context, to, afterID string) (InboxMessage, bool) {
	for {
		in.mu.Lock()
		if afterID == "" {
			for i := len(in.letters) - 1; i >= 0; i-- {
				if m := in.letters[i]; to == "" || m.To == to {
					in.mu.Unlock()
					return m, true
				}
			}
		} else {
			for _, m := range in.letters[in.index(afterID)+1:] {
				if to == "" || m.To == to {
					in.mu.Unlock()
					return m, true
				}
			}
		}
		if in.arrived == nil {
			in.arrived = make(chan struct{})
		}
		arrived := in.arrived
		in.mu.Unlock()

		select {
		case <-arrived:
		case <-ctx.Done():
			return InboxMessage{}, false
		}
	}
}
