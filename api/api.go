// Package api holds the JSON shapes of /v1, shared by the server, its tests and
// whoever writes a client in Go. api/openapi.yaml describes the same for
// everybody else. It imports nothing of this module.
//
// Durations are whole seconds from the moment of the answer, so that a client
// whose clock is wrong still counts right. Times are RFC 3339 in UTC.
package api

import (
	"encoding/json"
	"time"
)

// AttemptSecretHeader carries the starter's secret on every call about an
// attempt after the one that started it.
const AttemptSecretHeader = "Attempt-Secret"

// StartRequest is the body of POST /v1/attempts.
type StartRequest struct {
	Method        string `json:"method"`                   // "email_code"
	Identifier    string `json:"identifier,omitempty"`     // as the person typed it; empty: the method finds out who it is
	Purpose       string `json:"purpose,omitempty"`        // sign_in, enrol, confirm or complete; empty: sign_in
	CodeChallenge string `json:"code_challenge,omitempty"` // PKCE S256: 43 characters of base64url; for sign_in
	RedirectURL   string `json:"redirect_url,omitempty"`   // where the code goes; must be listed
	Origin        string `json:"origin,omitempty"`         // the page that frames the form; must be listed
	FormID        string `json:"form_id,omitempty"`        // allow-list to hold the identifier against
	UserID        string `json:"user_id,omitempty"`        // of the user whose address must be proved; empty: anybody's will do; for sign_in
	Locale        string `json:"locale,omitempty"`         // BCP 47; empty: the project's
	Puzzle        string `json:"puzzle,omitempty"`         // answer to the challenge of a challenge_required problem
	Captcha       string `json:"captcha,omitempty"`        // token of the captcha that a captcha_required problem asks for
	Channel       string `json:"channel,omitempty"`        // to be reached by: sms or whatsapp; empty: the method's choice
	Provider      string `json:"provider,omitempty"`       // to be asked, for social accounts: "GOOGLE"

	State      string          `json:"state,omitempty"`       // comes back with a result that comes out elsewhere
	ClientData json.RawMessage `json:"client_data,omitempty"` // the same: an object of at most 1 KiB, flat

	// RedirectLink asks for a link that leads to redirect_url instead of a page of ours.
	RedirectLink bool `json:"redirect_link,omitempty"`

	Parent *AttemptRef `json:"parent,omitempty"` // complete: the attempt that needs an address
	Proof  *AttemptRef `json:"proof,omitempty"`  // enrol: an attempt that was just proved for the same page, instead of an access token

	HandOver bool `json:"hand_over,omitempty"` // enrol: Cotter's SDK goes on, in the page of the site
}

// AttemptRef is what the starter of an attempt holds.
type AttemptRef struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// StartResponse is the answer to POST /v1/attempts. The secret is shown once.
type StartResponse struct {
	Attempt Attempt `json:"attempt"`
	Secret  string  `json:"secret"`
}

// Attempt is what its starter may know of an attempt. It does not tell whether
// the identifier belongs to a user.
type Attempt struct {
	ID         string    `json:"id"`
	Method     string    `json:"method"`
	Purpose    string    `json:"purpose"`
	Identifier string    `json:"identifier"` // in canonical form
	State      string    `json:"state"`      // open, proved, denied, expired or collected
	Code       *CodeForm `json:"code,omitempty"`
	Link       *LinkForm `json:"link,omitempty"`
	Location   string    `json:"location,omitempty"` // where the browser must go, at a provider

	// Passkey are the options for navigator.credentials: PublicKeyCredentialCreationOptionsJSON
	// where the purpose is enrol, else PublicKeyCredentialRequestOptionsJSON.
	Passkey json.RawMessage `json:"passkey,omitempty"`

	Needs     *Needs `json:"needs,omitempty"` // an address must be proved besides
	TriesLeft int    `json:"tries_left"`
	ExpiresIn int    `json:"expires_in"`
	ResendIn  int    `json:"resend_in"` // zero: at once; -1: no more messages for this attempt
}

// Needs is what will be added to a user once an address is proved by an attempt whose
// purpose is complete.
type Needs struct {
	Kind    string `json:"kind"`              // of the credential: social
	Label   string `json:"label,omitempty"`   // its name for people
	Address string `json:"address,omitempty"` // that must be proved; empty: any
}

// CodeForm tells how the code looks that was sent.
type CodeForm struct {
	Length   int    `json:"length"`
	Alphabet string `json:"alphabet"`
}

// LinkForm is what the starter shows while a link is on its way.
type LinkForm struct {
	Digits string `json:"digits"` // what is asked for where the link is opened elsewhere
	// State is open, here (it signed in where it was opened), let_in (POST
	// /v1/attempts/{id}/grant has the code), refused (somebody said "this was not me") or
	// dead (wrong digits too often). After the last two the code of the message still works.
	State string `json:"state"`
}

// LinkRequest is the body of POST /v1/link/open, /v1/link/refuse and /v1/link/disown.
type LinkRequest struct {
	Link string `json:"link"` // the token: what follows /link/, or the parameter challenge
}

// AdmitRequest is the body of POST /v1/link/admit.
type AdmitRequest struct {
	Link   string `json:"link"`
	Way    string `json:"way"`              // here, let_in or hand_over
	Digits string `json:"digits,omitempty"` // of the asking screen; not needed in its own browser

	Recover bool `json:"recover,omitempty"` // after recovery_offered: the person begins one

	// For here: as for POST /v1/attempts.
	CodeChallenge string `json:"code_challenge,omitempty"`
	RedirectURL   string `json:"redirect_url,omitempty"`
	Origin        string `json:"origin,omitempty"`
	State         string `json:"state,omitempty"`
}

// Admitted is the answer to POST /v1/link/admit.
type Admitted struct {
	Granted  *Granted `json:"granted,omitempty"`  // for here, and for let_in in the browser that asked
	Location string   `json:"location,omitempty"` // for hand_over: where to go on
}

// Link is what whoever opened a link may know.
type Link struct {
	Account     string `json:"account"`          // masked
	Device      string `json:"device,omitempty"` // that asked
	Place       string `json:"place,omitempty"`  // the network that asked
	Site        string `json:"site,omitempty"`   // on which it was asked; absent: a page of ours
	AskedAgo    int    `json:"asked_ago"`        // seconds
	ExpiresIn   int    `json:"expires_in"`
	SameBrowser bool   `json:"same_browser"` // that asked: a tap is enough
	HandedOver  bool   `json:"handed_over"`  // the digits were entered a moment ago: a tap is enough
	MayLetIn    bool   `json:"may_let_in"`
	MayHandOver bool   `json:"may_hand_over"`
	State       string `json:"state"`              // open; proved where it let the browser in that asks again; with signed_in proved or collected
	Continue    string `json:"continue,omitempty"` // where the attempt leads, where no site's page asked

	// SignedIn is there when the message signed somebody in: POST /v1/link/disown ends
	// that, and the link does nothing else any more.
	SignedIn *LinkSignIn `json:"signed_in,omitempty"`
}

// LinkSignIn is a sign-in that can be disowned.
type LinkSignIn struct {
	Ago    int    `json:"ago"` // seconds
	Device string `json:"device,omitempty"`
}

// ResendRequest is the body of POST /v1/attempts/{id}/resend, which may be left out.
type ResendRequest struct {
	Channel string `json:"channel,omitempty"` // another of the project's channels; empty: as before
}

// AnswerRequest is the body of POST /v1/attempts/{id}/answer.
type AnswerRequest struct {
	Code string `json:"code"` // spaces and hyphens are ignored
}

// Granted is the answer to a right answer: what the app trades for tokens. Where the
// purpose was another than signing in, there is no code.
type Granted struct {
	AuthorizationCode string `json:"authorization_code,omitempty"`
	ChallengeID       int32  `json:"challenge_id,omitempty"`
	ExpiresIn         int    `json:"expires_in"`
	CredentialID      string `json:"credential_id,omitempty"` // that was shown or added

	RedirectURL string          `json:"redirect_url,omitempty"` // where the code goes, as the attempt was started with
	State       string          `json:"state,omitempty"`        // as the attempt was started with
	ClientData  json.RawMessage `json:"client_data,omitempty"`  // the same

	// MakePasskey says that a passkey is required of this person, who has none or cannot use
	// it: offer to make one at once.
	MakePasskey bool `json:"make_passkey,omitempty"`
	// Recovery is told to who came with a passkey, where somebody else may have begun one.
	Recovery *Recovery `json:"recovery,omitempty"`
}

// Recovery is the waiting time of somebody who proved the address of an account that is
// opened with a passkey.
type Recovery struct {
	CredentialID string    `json:"credential_id"` // to be removed by DELETE /v1/credentials/{id}
	BegunAt      time.Time `json:"begun_at"`
	OpensIn      int       `json:"opens_in"`         // zero: a code signs in now
	Device       string    `json:"device,omitempty"` // that began it
	// CancelURL is the page of the message that told of it. A POST of choice=undo cancels it.
	CancelURL string `json:"cancel_url"`
}

// Credential is something a user can sign in with besides the address or number.
type Credential struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"`             // passkey, social, browser or recovery
	Label     string     `json:"label"`            // for the person who has it
	Device    string     `json:"device,omitempty"` // that made it
	Site      string     `json:"site,omitempty"`   // where it is good
	CreatedAt time.Time  `json:"created_at"`
	UsedAt    *time.Time `json:"used_at,omitempty"`    // absent: never since
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // absent: does not
	Provider  string     `json:"provider,omitempty"`   // of a social account
	Facts     []string   `json:"facts,omitempty"`      // of a passkey: synced or single_device, and counter_went_back
}

// Credentials are all of one user, newest first.
type Credentials struct {
	Credentials []Credential `json:"credentials"`

	// Accepted is for PublicKeyCredential.signalAllAcceptedCredentials. Absent: the page
	// has no passkeys, or nobody can be sure that it would be all of them.
	Accepted *Accepted `json:"accepted,omitempty"`
}

// Accepted are the passkeys of the user that are good at the site of the page that asks.
// Others that a password manager has of that user there are good for nothing.
type Accepted struct {
	RPID   string   `json:"rp_id"`
	UserID string   `json:"user_id"`        // base64url
	IDs    []string `json:"credential_ids"` // base64url
}

// LabelRequest is the body of PATCH /v1/credentials/{id}.
type LabelRequest struct {
	Label string `json:"label"` // at most 64 characters
}

// TokenRequest is the body of POST /v1/token.
type TokenRequest struct {
	GrantType    string `json:"grant_type"`              // authorization_code or refresh_token
	Code         string `json:"code,omitempty"`          // authorization_code
	CodeVerifier string `json:"code_verifier,omitempty"` // PKCE, 43 to 256 printable ASCII characters
	ChallengeID  *int32 `json:"challenge_id,omitempty"`  // compared when given
	RedirectURL  string `json:"redirect_url,omitempty"`  // compared when the attempt had one
	RefreshToken string `json:"refresh_token,omitempty"`
}

// Tokens is the answer to POST /v1/token.
type Tokens struct {
	AccessToken  string `json:"access_token"`
	IDToken      string `json:"id_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"`
	TokenType    string `json:"token_type"`     // Bearer
	AuthMethod   string `json:"auth_method"`    // OTP
	User         *User  `json:"user,omitempty"` // with authorization_code
}

// LogoutRequest is the body of POST /v1/logout.
type LogoutRequest struct {
	RefreshToken string `json:"refresh_token"`
}

// User is one user of the project.
type User struct {
	ID           string    `json:"id"`
	Identifier   string    `json:"identifier"`
	Kind         string    `json:"kind"` // email, phone or other
	Proved       bool      `json:"proved"`
	ClientUserID string    `json:"client_user_id,omitempty"`
	Locale       string    `json:"locale,omitempty"`
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`
}

// UserRequest is the body of POST /v1/users.
type UserRequest struct {
	Identifier   string `json:"identifier"`
	ClientUserID string `json:"client_user_id,omitempty"`
}

// Users is one page of users, newest first.
type Users struct {
	Users    []User `json:"users"`
	NextPage *int   `json:"next_page,omitempty"` // absent: this was the last
}

// Session is one session of a user.
type Session struct {
	ID        string    `json:"id"`
	Current   bool      `json:"current"` // the one that the bearer token is from
	Method    string    `json:"auth_method"`
	Device    string    `json:"device,omitempty"` // "Chrome on Linux"
	CreatedAt time.Time `json:"created_at"`
	UsedAt    time.Time `json:"used_at"`
	ExpiresAt time.Time `json:"expires_at"`

	// Claims are what a backend added to the tokens of this session: a JSON object.
	// Absent: nothing.
	Claims json.RawMessage `json:"claims,omitempty"`
}

// ClaimsRequest is the body of PUT /v1/users/{id}/sessions/{session}/claims. It
// replaces what was added before; an empty object takes all away.
type ClaimsRequest struct {
	Claims json.RawMessage `json:"claims"`
}

// Sessions is the answer to GET /v1/sessions.
type Sessions struct {
	Sessions []Session `json:"sessions"`
}

// Ended tells how many sessions a call ended.
type Ended struct {
	Ended int `json:"ended"`
}

// Project is what anyone may know of a project.
type Project struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Colour  string   `json:"colour,omitempty"`
	LogoURL string   `json:"logo_url,omitempty"` // path on this server
	Locale  string   `json:"locale"`
	Methods []string `json:"methods"`
	// Channels are those that a form may offer, by method, the ordinary one first; a
	// method that reaches people in one way only is left out.
	Channels map[string][]string `json:"channels,omitempty"`
	// Providers are those of the method social, in the order in which a form should show them.
	Providers []Provider `json:"providers,omitempty"`
}

// A Provider is one at which people may have an account.
type Provider struct {
	Name  string `json:"name"`  // for requests: "GITHUB"
	Label string `json:"label"` // for people: "GitHub"
}

// Problem is every error of /v1 (RFC 9457), as application/problem+json. Code is
// stable; docs/errors.md lists the codes. Detail may be shown to the person.
type Problem struct {
	Type       string `json:"type"` // urn:splitpin:error:CODE
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail"`
	Code       string `json:"code"`
	RequestID  string `json:"request_id"`            // name it when you ask the operator
	Field      string `json:"field,omitempty"`       // of the request, if one is wrong
	RetryAfter int    `json:"retry_after,omitempty"` // seconds, as in the header
	TriesLeft  *int   `json:"tries_left,omitempty"`  // with wrong_code
	Challenge  string `json:"challenge,omitempty"`   // with challenge_required
}

// A RequestView is how the server saw one request of 'splitpin doctor', told only
// to who shows a pass that its own data keys made. It is no part of /v1.
type RequestView struct {
	Nonce string `json:"nonce"` // of the pass, so that an answer from a cache is noticed

	Peer         string   `json:"peer"`          // address and port of who connected to the server
	PeerTrusted  bool     `json:"peer_trusted"`  // it stands in trusted_proxies
	Client       string   `json:"client"`        // the address that limits count
	ForwardedFor []string `json:"forwarded_for"` // the entries of X-Forwarded-For as they arrived, left to right

	Host      string `json:"host"`
	KeyHeader bool   `json:"key_header"` // the header API_KEY_ID arrived
	BodyBytes int64  `json:"body_bytes"`

	PublicURL   string    `json:"public_url"`
	Version     string    `json:"version"`
	Time        time.Time `json:"time"` // the server's clock
	Development bool      `json:"development"`
}
