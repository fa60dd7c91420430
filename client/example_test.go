package client_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/splitpin/splitpin/client"
)

// exampleServer stands for the sign-in server, so that the examples run.
func exampleServer() (*issuer, func()) {
	s := newIssuer()
	s.change(func() { s.time = time.Now() })
	return s, s.Close
}

// An API verifies the access token that comes with each request.
func ExampleVerifier_Require() {
	auth, stop := exampleServer()
	defer stop()

	verifier, err := client.New(client.Config{
		ServerURL: auth.URL, // "https://auth.example.com"
		ProjectID: "0d0c6b3e-0a53-4d0e-8d8e-2f6c0e5f7a11",
	})
	if err != nil {
		log.Fatal(err)
	}
	orders := verifier.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := client.FromContext(r.Context())
		fmt.Fprintf(w, "the orders of %s", token.Subject)
	}))

	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+auth.token(nil))
	w := httptest.NewRecorder()
	orders.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)

	r.Header.Del("Authorization")
	w = httptest.NewRecorder()
	orders.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 200 the orders of 5b1f3a52-0c57-4a8c-9a55-0f6f6a1c2d10
	// 401 Bearer realm="0d0c6b3e-0a53-4d0e-8d8e-2f6c0e5f7a11"
}

// Errors tell apart a token that is no good from keys that are out of reach.
func ExampleVerifier_Verify() {
	auth, stop := exampleServer()
	defer stop()
	verifier, err := client.New(client.Config{ServerURL: auth.URL, ProjectID: project})
	if err != nil {
		log.Fatal(err)
	}

	yesterday := time.Now().Add(-24 * time.Hour).Unix()
	_, err = verifier.Verify(context.Background(), auth.token(claims{"exp": yesterday}))
	switch {
	case errors.Is(err, client.ErrExpired):
		fmt.Println("fetch a new token")
	case errors.Is(err, client.ErrInvalidToken):
		fmt.Println("sign in again")
	case errors.Is(err, client.ErrKeysUnavailable):
		fmt.Println("try again later")
	}
	// Output: fetch a new token
}

// A web application with users and sessions of its own, in its own database.
func ExampleSite() {
	auth, stop := exampleServer()
	defer stop()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // or each connection has a database of its own

	verifier, err := client.New(client.Config{ServerURL: auth.URL, ProjectID: project})
	if err != nil {
		log.Fatal(err)
	}
	users, sessions := &client.SQLUsers{DB: db}, &client.SQLSessions{DB: db}
	for _, table := range []interface{ CreateTable(context.Context) error }{users, sessions} {
		if err := table.CreateTable(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	site, err := client.NewSite(client.SiteConfig{
		Verifier: verifier, Users: users, Sessions: sessions,
		URL: "https://shop.example.com",
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/login", site.Login())
	mux.Handle("/logout", site.Logout())
	mux.Handle("/me", site.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var contact string
		if err := db.QueryRow("SELECT contact FROM users WHERE id = $1", client.UserID(r.Context())).Scan(&contact); err != nil {
			http.Error(w, "Something went wrong on our side", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "hello, %s", contact)
	})))

	// The front end posts what the sign-in resolved to. Who it is comes from the
	// token; the email beside it counts for nothing.
	login := httptest.NewRequest("POST", "https://shop.example.com/login",
		strings.NewReader(`{"email": "mallory@example.org", "oauth_token": {"access_token": "`+auth.token(nil)+`"}}`))
	login.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, login)

	me := httptest.NewRequest("GET", "https://shop.example.com/me", nil)
	me.AddCookie(w.Result().Cookies()[0])
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, me)
	fmt.Println(w.Code, w.Body)
	// Output: 200 hello, ada@example.org
}
