package main_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/splitpin/splitpin/client"
)

const clientProject = "0d0c6b3e-0a53-4d0e-8d8e-2f6c0e5f7a11"

// clientKeys publishes one key and signs access tokens of the shape and size that
// the server makes.
func clientKeys(b *testing.B) (server string, token func(n int) string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	const kid = "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","x":"%s","y":"%s","kid":"%s","use":"sig","alg":"ES256"}]}`,
			text(point[1:33]), text(point[33:]), kid)
	}))
	b.Cleanup(s.Close)
	header := text([]byte(`{"alg":"ES256","kid":"` + kid + `","typ":"JWT"}`))
	return s.URL, func(n int) string {
		now := time.Now().Unix()
		signed := header + "." + text(fmt.Appendf(nil, `{"sub":"5b1f3a52-0c57-4a8c-9a55-0f6f6a1c2d10",`+
			`"client_user_id":"5b1f3a52-0c57-4a8c-9a55-0f6f6a1c2d10","authentication_method":"OTP","identifier":"ada@example.org",`+
			`"type":"client_access_token","scope":"access","aud":"%s","iss":"%s","iat":%d,"exp":%d,"jti":"0b0e3c83-9d8e-4b5e-8f38-%012d"}`,
			clientProject, s.URL, now, now+3600, n))
		sum := sha256.Sum256([]byte(signed))
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			b.Fatal(err)
		}
		signature := make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
		return signed + "." + text(signature)
	}
}

func clientVerifier(b *testing.B, server string, remembered int) *client.Verifier {
	v, err := client.New(client.Config{ServerURL: server, ProjectID: clientProject, Remembered: remembered})
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// BenchmarkClientFirstSight verifies tokens that were never seen, and in the same
// run does the bare P-256 verification which that contains. The budget is a ratio
// of 1.15; the two are timed in turns, so that both meet the same machine.
func BenchmarkClientFirstSight(b *testing.B) {
	server, token := clientKeys(b)
	v := clientVerifier(b, server, -1) // without memory each sight is the first
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte("x"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	tokens := make([]string, 64)
	for i := range tokens {
		tokens[i] = token(i)
	}
	if _, err := v.Verify(context.Background(), tokens[0]); err != nil { // fetches the keys
		b.Fatal(err)
	}
	var ours, bare []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if _, err := v.Verify(context.Background(), tokens[len(ours)%len(tokens)]); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], signature) {
			b.Fatal("the bare verification failed")
		}
		ours = append(ours, middle.Sub(start))
		bare = append(bare, time.Since(middle))
	}
	// Medians, so that what else runs on the machine does not decide.
	slices.Sort(ours)
	slices.Sort(bare)
	one, other := float64(ours[len(ours)/2]), float64(bare[len(bare)/2])
	b.ReportMetric(one, "client-ns/op")
	b.ReportMetric(other, "bare-ns/op")
	b.ReportMetric(one/other, "ratio")
}

// BenchmarkClientSeenBefore verifies tokens that are remembered. The budget is
// 1.5 µs.
func BenchmarkClientSeenBefore(b *testing.B) {
	server, token := clientKeys(b)
	v := clientVerifier(b, server, 0)
	tokens := make([]string, 64)
	for i := range tokens {
		tokens[i] = token(i)
		if _, err := v.Verify(context.Background(), tokens[i]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if _, err := v.Verify(context.Background(), tokens[i%len(tokens)]); err != nil {
			b.Fatal(err)
		}
	}
}
