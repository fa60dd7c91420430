package delivery

import (
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store/enginetest"
)

// A group of outcomes is saved in one commit; where one of its messages was
// erased meanwhile, the others are saved all the same.
func TestRecordGroup(t *testing.T) {
	db := enginetest.Open(t)
	now := time.Date(2026, 11, 22, 14, 3, 7, 0, time.UTC)
	messages := make([]*splitpin.Message, 3)
	var w splitpin.Writes
	for i := range messages {
		n, err := db.NextNumber(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		messages[i] = &splitpin.Message{Number: n, Project: 1, Attempt: 1, Sequence: i + 1, Channel: splitpin.EmailChannel,
			To: "ada@example.com", Template: "code", CreatedAt: now, DueAt: now, ExpiresAt: now.Add(time.Minute)}
		if i != 1 {
			w.Create = append(w.Create, messages[i]) // the second one is erased
		}
	}
	if err := db.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) { return w, nil }); err != nil {
		t.Fatal(err)
	}

	b := &turn{Outbox: &Outbox{Store: db}, ctx: t.Context(), now: now}
	sent := *messages[0]
	sent.SentAt = now
	erased := *messages[1]
	refused := *messages[2]
	err := b.save([]*outcome{{message: &sent}, b.giveUp(&erased, nil, "recipient", "550"), b.giveUp(&refused, nil, "recipient", "550")})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"sent", "erased", "given up"} {
		records, err := db.Load(t.Context(), splitpin.Reads{Messages: []int64{messages[i].Number}})
		got := "erased"
		switch {
		case err != nil:
			t.Fatal(err)
		case len(records.Messages) == 0:
		case !records.Messages[0].SentAt.IsZero():
			got = "sent"
		case !records.Messages[0].GivenUpAt.IsZero():
			got = "given up"
		}
		if got != want {
			t.Errorf("message %d is %s, want %s", i, got, want)
		}
	}
	events, err := db.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: "message_given_up"}, 10)
	if err != nil || len(events) != 1 {
		t.Errorf("%d events, %v; want 1", len(events), err)
	}
}

// The letter of a notice keeps its id when its attempt is swept between two tries, and is
// not tried every half minute for days.
func TestNoticesForDays(t *testing.T) {
	m := &splitpin.Message{Number: 3, Attempt: 7, Credential: 5}
	there := &splitpin.Attempt{ID: splitpin.AttemptID{Number: 7, Nonce: [8]byte{1}}}
	gone := &splitpin.Attempt{ID: splitpin.AttemptID{Number: 7}}
	if letterID(m, there) != letterID(m, gone) {
		t.Error("another id once the attempt is gone")
	}
	if in := backoff(m.Number, 30); in > 40*time.Second {
		t.Errorf("while somebody may wait for a code: %v", in)
	}
	if in := backoff(m.Number, 31); in < 7*time.Minute {
		t.Errorf("later: %v", in)
	}
}
