package signin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/splitpin/splitpin"
)

// A Method is one way to prove something: it knows how to ask and how to check.
// The engine owns everything that must hold for every attempt, so a method has
// no route, no limit, no database and no token code.
//
// Besides, a method may be a [Messenger], a [Chooser], a [Fetcher] or a [Knower].
type Method interface {
	// Name is what attempts and requests call the method: "email_code".
	Name() string

	// AuthMethod is what tokens call it: "OTP" (contract 0.4).
	AuthMethod() string

	// Begin prepares an attempt. It may do I/O, inside Outside, and runs before the
	// transaction. What it cannot accept it refuses with a splitpin.Error.
	Begin(ctx context.Context, req BeginRequest) (Begun, error)

	// Check reports whether the answer is right, and what it proves. It is pure: it may
	// run again for the same answer, and the try was charged already.
	Check(c Check) (proof Proof, right bool)

	// Describe tells the starter what to ask the person for.
	Describe(a *splitpin.Attempt) Form
}

// A Messenger is a method that reaches the person by a message.
type Messenger interface {
	Method

	// Message names the message that an attempt sends, the first time and when it
	// is asked for again. It is pure; without a channel there is no message.
	Message(a *splitpin.Attempt) Message

	// Secret returns what the message of an attempt carries. It is called when the
	// message is sent, and by Check; nobody stores it.
	Secret(a *splitpin.Attempt, derive Derive) (Told, error)
}

// A Chooser is a Messenger that can go several ways, of which a project may have none.
type Chooser interface {
	Messenger

	// Channels are those by which a project's people can be reached, the one that is
	// taken without a wish first. Where there is none, the project does not offer the
	// method.
	Channels(p *splitpin.Project) []splitpin.Channel

	// Over is Message where the person asks for the message once more by another of these
	// channels: it tells the same. It refuses, with a splitpin.Error, a channel that the project
	// does not offer or that does not reach this person.
	Over(p *splitpin.Project, a *splitpin.Attempt, c splitpin.Channel) (Message, error)
}

// A Fetcher is a method whose answers must be looked at before the transaction that
// decides: somebody else has to be asked, or the answer tells who the person is.
//
// The try is charged in a commit before Fetch is called, so a crash or a slow stranger
// in between costs a try and proves nothing.
type Fetcher interface {
	Method

	// Fetch may do I/O, inside Outside. An answer that is wrong may be found so here, with wrong set,
	// or by Check; an error is for what may pass, and says so by its kind.
	Fetch(ctx context.Context, req FetchRequest) (found Fetched, wrong bool, err error)
}

// A PartFetcher is a Fetcher only for those attempts where somebody else must be asked.
// It does not find out who the person is.
type PartFetcher interface {
	Fetcher

	// Fetches reports whether the answers to an attempt go through Fetch. It is pure.
	Fetches(a *splitpin.Attempt) bool
}

// A Knower is a method that must know which credentials of its kind the person has
// before it can ask.
type Knower interface {
	Method

	// Knows is the kind. Begin gets those credentials, and none for a person who has
	// none or is nobody; what it asks must not tell these two apart.
	Knows() splitpin.CredentialKind
}

// A Teller is a method that has something to say of the credentials that it made.
type Teller interface {
	Knower

	// Facts are short codes of ours that people are told in their words.
	Facts(c *splitpin.Credential) []string
}

// A Sharer is a method whose credentials the person's password manager keeps, and should
// hear which of them are good.
type Sharer interface {
	Knower

	// Site is where credentials are good that a page asks for. An empty origin is a page of
	// this server. An error says that a page there can ask for none.
	Site(p *splitpin.Project, origin string) (string, error)

	// KnownAs is what the password manager calls a credential, base64url. Empty: it cannot
	// be told.
	KnownAs(c *splitpin.Credential) string
}

// A Connector is a method whose credentials are accounts at a provider.
type Connector interface {
	Method

	// Account tells of the account that a credential of this method is.
	Account(c *splitpin.Credential) (ProviderAccount, error)
}

// A ProviderAccount is an account at a provider, for backends.
type ProviderAccount struct {
	Provider string          // "GITHUB"
	Subject  string          // who it is there
	Username string          // what that person is called there; empty: nothing is known
	Tokens   json.RawMessage // what the provider gave us for the person, as JSON; empty: nothing
}

// A BeginRequest is what a method may know when an attempt begins.
type BeginRequest struct {
	Project    *splitpin.Project
	Purpose    splitpin.Purpose
	Identifier string // canonical; empty where the method finds the person itself
	Kind       splitpin.IdentifierKind
	Origin     string // of the page that asked, listed by the project; empty: a top-level page of ours

	User        *splitpin.User         // for whom it is; nil where the purpose is SignIn
	Credentials []*splitpin.Credential // for a Knower
	// ByMessage says that the user proved it, a moment ago, by a message to the address
	// that would hear of something new.
	ByMessage bool

	// Channel and Provider are the starter's wish, for methods that give a choice. Empty:
	// the method's own choice.
	Channel  splitpin.Channel
	Provider string // "GITHUB"
	// LinkReturns asks for a link that leads to the redirect URL instead of a page of ours;
	// Destination is that URL.
	LinkReturns bool
	Destination string
	// OwnForm says that the page at Destination may go on where the link is opened, though
	// there is no Origin: see Form.
	OwnForm bool

	// Derive gives the same for the same label, project and identifier, today and later:
	// what a method shows for somebody who is nobody can be stable without being stored.
	Derive Derive
}

// recognises reports whether the credentials of a method open nothing by themselves: they
// say that somebody who proved who it is comes back, and end with the session of that
// proof.
func recognises(m Method) bool {
	k, ok := m.(Knower)
	return ok && !k.Knows().Opens()
}

// Begun is what a method wants of the attempt.
type Begun struct {
	// Data is kept with the attempt. Hardened is kept instead where guesses for
	// this identifier are spent (security 8); a method whose answer cannot be
	// guessed leaves it empty.
	Data, Hardened []byte

	Lifetime time.Duration
	Tries    int
}

// A Message is a template and the way it goes.
type Message struct {
	Channel  splitpin.Channel
	Fallback splitpin.Channel // used instead where Channel cannot reach the person; empty: nothing
	Template string           // name within the channel
	// Link is how many characters a link takes at most that leads to a page that is not
	// ours, as PhoneLength counts them; zero: there is none.
	Link int
}

// Told is what a message tells: a code to type, a link to open, or both.
type Told struct {
	Code, Link splitpin.Secret

	// Notice says that the message tells what happened and asks for no answer. Label is
	// what it is about, and Device where that was made. A method leaves them empty.
	Notice bool
	Label  string
	Device string
}

// A FetchRequest is one answer to one attempt.
type FetchRequest struct {
	Project *splitpin.Project
	Attempt *splitpin.Attempt
	Answer  json.RawMessage // as the starter sent it: untrusted
	Derive  Derive
}

// Fetched is what an answer turned out to name.
type Fetched struct {
	// Key is the credential that was shown. Where nobody has it yet, and the method
	// wants it kept, Check returns it as new. Zero: none.
	Key [32]byte
	// Kind is that of Key.
	Kind splitpin.CredentialKind

	// Identifier is an address that belongs to the person as a provider says; Vouched
	// tells that this provider decides over such addresses, so that its word is a proof
	// (security 2). Empty: none.
	Identifier string
	Vouched    bool

	// Value is handed to Check as it is.
	Value any
}

// A Check is one answer to one attempt.
type Check struct {
	Attempt *splitpin.Attempt
	Answer  json.RawMessage // as the starter sent it: untrusted
	Derive  Derive
	Now     time.Time

	Fetched    Fetched              // of a Fetcher
	Credential *splitpin.Credential // that has Fetched.Key; nil: nobody's
	// Credentials are all of the user for whom something is to be added.
	Credentials []*splitpin.Credential
}

// A Proof is what a right answer proved. Its zero value stands for the identifier of
// the attempt.
type Proof struct {
	// Credential is what was shown. It is Check.Credential, which the method may have
	// altered (a counter), or a new one without Number, Project and User, which the
	// engine gives it. Nil: none.
	Credential *splitpin.Credential

	// Ask says that the person must see who this is and for what, and say yes, before the
	// answer counts: somebody else may have led the browser to it (security 5). Until
	// [Engine.Agree] nothing is changed or granted.
	Ask bool

	// Quiet says that nobody is to hear of a new credential: who could, has just heard.
	Quiet bool

	// Data is kept with the attempt from now on, so that the same answer can be told again
	// without asking anybody. Nil: what Begin returned.
	Data []byte

	// Refused is what the person is told where the answer is genuine and still cannot be
	// taken. Nothing but the try is saved then. Nil: nothing is in the way.
	Refused *splitpin.Error
	// Warning is a short fact about the proof, for the audit log: a code of ours. Empty:
	// there is nothing to be said.
	Warning string
}

// Derive returns 32 bytes that only this attempt and this label give. It is how
// codes and links come to be without being stored.
type Derive func(label string) ([32]byte, error)

// A Form tells what the person is asked for. Of its fields those are set that the
// method has.
type Form struct {
	CodeLength   int
	CodeAlphabet string

	// Link says that the message has a link besides, made of a LinkToken. The engine owns
	// all that happens where it is opened: see bearer.go.
	Link bool
	// OwnForm is that of the request to begin.
	OwnForm bool

	// Passkey are the options for navigator.credentials, as JSON without the challenge.
	Passkey string
	// Location is where the person's browser must go, at a provider.
	Location string
	Provider string // its name: "GITHUB"
}
