// Package client is for backends whose users sign in with Splitpin: it verifies
// access tokens offline and turns them into users of the backend's own database.
//
// An API that gets tokens from its callers needs a [Verifier]:
//
//	verifier, err := client.New(client.Config{
//		ServerURL: "https://auth.example.com",
//		ProjectID: "0d0c6b3e-0a53-4d0e-8d8e-2f6c0e5f7a11",
//	})
//	…
//	mux.Handle("GET /orders", verifier.Require(orders)) // Authorization: Bearer …
//
//	func (o *Orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
//		token, _ := client.FromContext(r.Context())
//		list, err := o.of(token.Key()) …
//
// A web application that has users and sessions of its own needs a [Site] too:
//
//	users := &client.SQLUsers{DB: db}       // or your own table, behind two methods
//	sessions := &client.SQLSessions{DB: db} // or nil: the token stays in a cookie
//	site, err := client.NewSite(client.SiteConfig{
//		Verifier: verifier, Users: users, Sessions: sessions, URL: "https://shop.example.com",
//	})
//	…
//	mux.Handle("/login", site.Login())   // the front end posts the sign-in's payload here
//	mux.Handle("/logout", site.Logout())
//	mux.Handle("/me", site.Require(me))  // client.UserID(r.Context()) is the row's id
//
// # Who somebody is
//
// Users are keyed on issuer, project and subject of the verified token ([Key]).
// Everything else in a login payload is what a browser says, and is not read. The
// token's [Token.Identifier] is an address only if the person proved it; it is kept
// as the contact of a new row, and finds no row, except when an app that moves
// over says so ([SQLUsers].AdoptByAddress).
//
// The place of the keys comes from [Config] alone. Nothing in a token decides
// which server is asked for what.
//
// # What it does not do
//
// It does not ask the server whether a session was ended: a token passes until it
// expires, an hour at most after it was issued. It keeps no refresh token and
// fetches no new access tokens: that is the job of the SDK in the front end. It
// verifies access tokens only, not id tokens, and not the signed identity in a
// payload's member token. It has no limits on how often somebody may call.
//
// It imports the standard library only, and nothing of the server.
package client
