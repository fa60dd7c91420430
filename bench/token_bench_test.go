package main_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"path/filepath"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/token"
)

// A mint is a token service with one project, user and session. Its clock stands
// still, so that tokens stay valid however long a benchmark runs.
type mint struct {
	*token.Service
	ring    *keyring.Ring
	project *splitpin.Project
	user    *splitpin.User
	session *splitpin.Session
	now     time.Time
}

func newMint(b *testing.B) *mint {
	b.Helper()
	ctx := context.Background()
	m := &mint{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	db, err := store.OpenSQLite(ctx, filepath.Join(b.TempDir(), "splitpin.db"), store.Options{})
	must(err)
	b.Cleanup(func() { db.Close() })
	m.ring, err = keyring.Open(ctx, db, m.now, keyring.NewMaster())
	must(err)
	m.Service = token.New(db, m.ring, "https://login.example.org", func() time.Time { return m.now })
	number, err := db.NextNumber(ctx)
	must(err)
	m.project = &splitpin.Project{Number: number, ID: "00000000-0000-4000-8000-0000000000aa", Default: true, CreatedAt: m.now, UpdatedAt: m.now}
	keys, err := m.NewKeys(ctx, m.project, m.now)
	must(err)
	must(db.Change(ctx, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		w := splitpin.Writes{Create: []splitpin.Record{m.project}}
		for _, k := range keys {
			w.Create = append(w.Create, k)
		}
		return w, nil
	}))
	must(m.Reload(ctx))
	m.user = &splitpin.User{Number: 5, ID: splitpin.NewUUID(), Project: number, Identifier: "ada@example.org", Kind: splitpin.Email, ProvedAt: m.now}
	m.session = m.NewSession(m.project, m.user, 27805, [16]byte{1}, "OTP", false, m.now)
	return m
}

// BenchmarkMint makes what one sign-in or refresh gets: two signatures and a
// refresh token. Compare with twice BenchmarkBareP256Sign.
func BenchmarkMint(b *testing.B) {
	m := newMint(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Mint(m.project, m.user, m.session); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMintOnAllCores(b *testing.B) {
	m := newMint(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := m.Mint(m.project, m.user, m.session); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkBareP256Sign(b *testing.B) {
	key, hash := bareKey(b)
	for b.Loop() {
		if _, err := ecdsa.SignASN1(rand.Reader, key, hash); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyFirstSight verifies tokens that were never seen before. Compare
// with BenchmarkBareP256Verify.
func BenchmarkVerifyFirstSight(b *testing.B) {
	m := newMint(b)
	// More tokens than the service remembers, and then round again.
	tokens := make([]string, 20000)
	for i := range tokens {
		set, err := m.Mint(m.project, m.user, m.session)
		if err != nil {
			b.Fatal(err)
		}
		tokens[i] = set.AccessToken.Reveal()
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i%len(tokens) == 0 { // what is remembered goes with the snapshot
			b.StopTimer()
			if err := m.Reload(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		if _, err := m.Verify(m.project, tokens[i%len(tokens)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkVerifySeenBefore(b *testing.B) {
	m := newMint(b)
	set, err := m.Mint(m.project, m.user, m.session)
	if err != nil {
		b.Fatal(err)
	}
	text := set.AccessToken.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Verify(m.project, text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareP256Verify(b *testing.B) {
	key, hash := bareKey(b)
	signature, err := ecdsa.SignASN1(rand.Reader, key, hash)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !ecdsa.VerifyASN1(&key.PublicKey, hash, signature) {
			b.Fatal("refused")
		}
	}
}

// BenchmarkRefreshDecide parses a refresh token, checks it and rotates.
func BenchmarkRefreshDecide(b *testing.B) {
	m := newMint(b)
	text, err := m.RefreshToken(m.session)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		session := *m.session
		presented, err := token.ParseRefresh(text.Reveal())
		if err != nil {
			b.Fatal(err)
		}
		verdict, err := m.DecideRefresh(m.project, &session, presented, m.now.Add(time.Hour))
		if err != nil || verdict != token.Rotated {
			b.Fatal(verdict, err)
		}
	}
}

// BenchmarkMAC is the HMAC under a refresh token. Compare with BenchmarkNewHMAC,
// which keys the state anew each time.
func BenchmarkMAC(b *testing.B) {
	m := newMint(b)
	a, salt := make([]byte, 8), make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.ring.MAC(keyring.Refresh, 1, a, salt); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewHMAC(b *testing.B) {
	key, text, sum := make([]byte, 32), make([]byte, 32), make([]byte, 0, 32)
	b.ReportAllocs()
	for b.Loop() {
		mac := hmac.New(sha256.New, key)
		mac.Write(text)
		sum = mac.Sum(sum[:0])
	}
}

func bareKey(b *testing.B) (*ecdsa.PrivateKey, []byte) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	hash := sha256.Sum256([]byte("token"))
	return key, hash[:]
}
