package delivery_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
)

// BenchmarkRender writes subject, text and HTML of one mail.
func BenchmarkRender(b *testing.B) {
	templates, v := delivery.Builtin(), full()
	v.Link = "" // as a code is sent
	l := new(delivery.Letter)
	b.ReportAllocs()
	for b.Loop() {
		if err := templates.Render(l, splitpin.EmailChannel, "code", "en", &v); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSMTP sends one mail over a kept connection to a sink in this process,
// whose work is counted too.
func BenchmarkSMTP(b *testing.B) {
	server := startMail(b, &mailServer{drop: true}, nil, false)
	s := open(b, delivery.SMTPConfig{Port: server.port, TLS: "none"})
	v := full()
	v.Link = ""
	l := deliverytest.Letter("ada@example.com", 1)
	l.ID = "abcdefghijklmnopqrstuvwx" // as long as those of the outbox
	templates := delivery.Builtin()
	for range 2 { // the second is written by the form that the first left
		if err := templates.Render(l, splitpin.EmailChannel, "code", "en", &v); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Send(b.Context(), l); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOutbox takes messages from the store to an SMTP sink in this process,
// four connections at once, and records them: one operation is one message. What
// counts is messages/s, which must stay above the sign-ins that the budget asks for.
func BenchmarkOutbox(b *testing.B) {
	r := newRoom(b)
	server := startMail(b, &mailServer{drop: true}, nil, false)
	r.outbox.Senders[splitpin.EmailChannel] = open(b, delivery.SMTPConfig{Port: server.port, TLS: "none", MaxConns: 4})
	r.outbox.Log = nil
	benchOutbox(b, r)
}

// BenchmarkOutboxAlone is the same without a mail server: store, templates, and
// what the outbox itself costs.
func BenchmarkOutboxAlone(b *testing.B) {
	r := newRoom(b)
	r.outbox.Senders[splitpin.EmailChannel] = nowhere{}
	benchOutbox(b, r)
}

// nowhere is a sender that takes everything and does nothing.
type nowhere struct{}

func (nowhere) Send(context.Context, *delivery.Letter) error { return nil }

func benchOutbox(b *testing.B, r *room) {
	const group = 500
	now := r.clock()
	for queued := 0; queued < b.N; queued += group {
		var w splitpin.Writes
		for i := range min(group, b.N-queued) {
			a := &splitpin.Attempt{
				ID: splitpin.AttemptID{Number: r.number(), Nonce: [8]byte{1}}, Project: 1, Purpose: splitpin.SignIn, Method: "email_code",
				Identifier: fmt.Sprintf("user%d@example.com", queued+i), Kind: splitpin.Email, MaxTries: 5,
				Device: "Chrome on Linux", Network: "203.0.113.7/32", CreatedAt: now, ExpiresAt: now.Add(10 * time.Minute), NextSendAt: now,
			}
			w.Create = append(w.Create, a, &splitpin.Message{
				Number: r.number(), Project: 1, Attempt: a.ID.Number, Sequence: 1, Channel: splitpin.EmailChannel, To: a.Identifier,
				Template: "code", Locale: "en", CreatedAt: now, ExpiresAt: a.ExpiresAt, DueAt: now,
			})
		}
		r.save(w)
	}
	b.ReportAllocs()
	b.ResetTimer()
	r.outbox.Workers = 12
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for worked := true; worked || r.outbox.Stats().Held > 0; {
				worked, _ = r.outbox.Step(b.Context(), now)
			}
		})
	}
	running.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	unsent, err := r.db.ClaimMessages(b.Context(), now.Add(time.Hour), now.Add(2*time.Hour), 1)
	if err != nil || len(unsent) > 0 {
		b.Fatalf("%d messages are left, %v", len(unsent), err)
	}
}

// BenchmarkBuiltin parses and tries the templates, which every start does once.
func BenchmarkBuiltin(b *testing.B) {
	for b.Loop() {
		delivery.Builtin()
	}
}
