package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/splitpin/splitpin/client"
)

const clientProject = "0d0c6b3e-0a53-4d0e-8d8e-2f6c0e5f7a11"

// A verification is what package client takes for a token, with the bare P-256
// verification that is timed in turns with the first sight, so that both meet the
// same machine. Medians, in nanoseconds.
type verification struct {
	FirstSight float64 `json:"first_sight_ns"`
	Bare       float64 `json:"bare_ns"`
	SeenBefore float64 `json:"seen_before_ns"`
}

// verifyTokens measures package client on access tokens of the shape and size that
// the server makes.
func verifyTokens(length time.Duration) (v verification, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return v, err
	}
	server, stop, err := publish(&key.PublicKey)
	if err != nil {
		return v, err
	}
	defer stop()
	signed := make([]string, 64)
	for i := range signed {
		if signed[i], err = accessToken(key, server, i); err != nil {
			return v, err
		}
	}
	verifier := func(remembered int) (*client.Verifier, error) {
		c, err := client.New(client.Config{ServerURL: server, ProjectID: clientProject, Remembered: remembered})
		if err != nil {
			return nil, err
		}
		for _, t := range signed { // fetches the keys, and what is remembered is so from now on
			if _, err := c.Verify(ctx, t); err != nil {
				return nil, err
			}
		}
		return c, nil
	}
	forgetful, err := verifier(-1)
	if err != nil {
		return v, err
	}
	hash := sha256.Sum256([]byte("token"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
	if err != nil {
		return v, err
	}
	var ours, bare histogram
	for i, end := 0, time.Now().Add(length); time.Now().Before(end); i++ {
		start := time.Now()
		if _, err := forgetful.Verify(ctx, signed[i%len(signed)]); err != nil {
			return v, err
		}
		middle := time.Now()
		if !ecdsa.VerifyASN1(&key.PublicKey, hash[:], signature) {
			return v, errors.New("a good signature was refused")
		}
		ours.record(middle.Sub(start))
		bare.record(time.Since(middle))
	}
	mindful, err := verifier(0)
	if err != nil {
		return v, err
	}
	var seen histogram
	for end := time.Now().Add(length); time.Now().Before(end); {
		start := time.Now() // of all of them: one alone is too short to time
		for _, t := range signed {
			if _, err := mindful.Verify(ctx, t); err != nil {
				return v, err
			}
		}
		seen.record(time.Since(start) / time.Duration(len(signed)))
	}
	return verification{float64(ours.at(0.5)), float64(bare.at(0.5)), float64(seen.at(0.5))}, nil
}

const clientKID = "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"

var base64url = base64.RawURLEncoding.EncodeToString

// publish serves a key set with one key.
func publish(key *ecdsa.PublicKey) (server string, stop func(), err error) {
	point, err := key.Bytes()
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","x":"%s","y":"%s","kid":"%s","use":"sig","alg":"ES256"}]}`,
			base64url(point[1:33]), base64url(point[33:]), clientKID)
	})}
	go s.Serve(l)
	return "http://" + l.Addr().String(), func() { s.Close() }, nil
}

func accessToken(key *ecdsa.PrivateKey, server string, n int) (string, error) {
	now := time.Now().Unix()
	text := base64url([]byte(`{"alg":"ES256","kid":"`+clientKID+`","typ":"JWT"}`)) + "." + base64url(fmt.Appendf(nil,
		`{"sub":"5b1f3a52-0c57-4a8c-9a55-0f6f6a1c2d10","client_user_id":"5b1f3a52-0c57-4a8c-9a55-0f6f6a1c2d10",`+
			`"authentication_method":"OTP","identifier":"ada@example.org","type":"client_access_token","scope":"access",`+
			`"aud":"%s","iss":"%s","iat":%d,"exp":%d,"jti":"0b0e3c83-9d8e-4b5e-8f38-%012d"}`,
		clientProject, server, now, now+3600, n))
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + base64url(signature[:]), nil
}
