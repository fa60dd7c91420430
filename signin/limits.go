package signin

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
)

// Limits that hold unless a project says otherwise (contract 5.2; security 8 to
// 10). They hold over all nodes and survive a restart.
const (
	DefaultStartsPerNetwork   = 10  // in 5 minutes, then a puzzle is asked
	DefaultRefusePerNetwork   = 200 // in 5 minutes, then starts are refused
	DefaultMessagesPerAddress = 3   // in 10 minutes, caused by strangers
	DefaultMessagesPerDay     = 10  // in a day, caused by strangers

	easyPuzzles  = 4  // so many times the free starts cost an easy puzzle, the rest a hard one
	dayOfRefuse  = 10 // a network's starts in a day, in times of those in five minutes
	widerNetwork = 4  // the wider network has so many times the room

	networkPeriod = 5 * time.Minute
	addressPeriod = 10 * time.Minute
	day           = 24 * time.Hour

	knownPerPeriod = 5  // messages in addressPeriod for a browser that signed in to the address before
	knownPerDay    = 30 // the same in a day

	forgedPerNetwork = 60 // refresh tokens that are not genuine, in networkPeriod

	// Wrong answers may outrun right ones by so many in an hour before all codes
	// become longer.
	guardBurst = 300
	// One network adds at most so many an hour, so that it takes many to lengthen
	// everybody's codes.
	guardPerNetwork = 20
	guardPeriod     = time.Hour

	// A guess budget, per project and identifier (security 8).
	guessesPerDay   = 20
	guessesPerMonth = 50
)

var (
	// ErrChallenge asks the starter's machine to work before it may start.
	ErrChallenge = &splitpin.Error{Kind: splitpin.TooMany, Code: "challenge_required",
		Message: "Many people are signing in from your network. Your browser has to solve a small puzzle first."}
	// ErrManyStarts refuses a network.
	ErrManyStarts = &splitpin.Error{Kind: splitpin.TooMany, Code: "too_many_starts",
		Message: "Too many sign-ins were started from your network. Please wait a little and try again."}
	// ErrManyMessages refuses one more message to an address.
	ErrManyMessages = &splitpin.Error{Kind: splitpin.TooMany, Code: "too_many_messages",
		Message: "Several messages were sent to this address already. Use the code from the newest one, or wait and try again."}
	// ErrManyForged refuses a network that guesses refresh tokens.
	ErrManyForged = &splitpin.Error{Kind: splitpin.TooMany, Code: "too_many_refreshes",
		Message: "Too many invalid refresh tokens came from your network. Please wait and try again."}
)

func or(n, standard int) int {
	if n == 0 {
		return standard
	}
	return n
}

// chargeStart takes what one start costs, with what its message does. Nothing is charged when it refuses.
// A network that starts many pays for each beyond the free ones: with a puzzle, or with a captcha where one
// said that the starter is a person.
//
// A start without a message has limits of its own and asks for no puzzle: it disturbs
// nobody, and a page may ask for a passkey each time it is opened.
func (e *Engine) chargeStart(ctx context.Context, now time.Time, p *splitpin.Project, message toll, puzzle string, starter seen, by Caller) error {
	own := p.Settings.Limits
	if len(message.charges) == 0 {
		refuse := or(own.RefusePerNetwork, DefaultRefusePerNetwork)
		charges := append(networks("show/hard", p, by, refuse), splitpin.Charge{
			Key: splitpin.LimitKey("show/day", p.ID+"\x00"+by.Network()), Burst: refuse * dayOfRefuse, Period: day, Cost: 1})
		refused, wait, err := e.take(ctx, now, charges...)
		if err != nil {
			return fmt.Errorf("charging the limits: %w", err)
		}
		if refused >= 0 {
			return ErrManyStarts.After(wait)
		}
		return nil
	}
	free := or(own.StartsPerNetwork, DefaultStartsPerNetwork)
	soft := splitpin.Charge{Key: splitpin.LimitKey("start/soft", p.ID+"\x00"+by.Network()),
		Burst: free, Period: networkPeriod, Cost: 1}
	easy := splitpin.Charge{Key: splitpin.LimitKey("start/easy", p.ID+"\x00"+by.Network()),
		Burst: easyPuzzles * free, Period: networkPeriod, Cost: 1}
	refuse := or(own.RefusePerNetwork, DefaultRefusePerNetwork)
	charges := append(networks("start/hard", p, by, refuse), splitpin.Charge{
		Key: splitpin.LimitKey("start/day", p.ID+"\x00"+by.Network()), Burst: refuse * dayOfRefuse, Period: day, Cost: 1})
	ofNetworks := len(charges)
	charges = append(charges, message.take()...)
	ofMessage := len(message.charges)

	hard := false
	if puzzle != "" {
		once, isHard, err := e.solved(now, p, by, puzzle)
		if err != nil {
			return err
		}
		soft, hard = once, isHard
		if !hard {
			charges = append(charges, easy)
		}
	}
	if starter.broken != nil && !hard {
		return e.challenge(now, p, by, 0, true, starter.broken)
	}
	if !starter.person {
		charges = append(charges, soft)
	}
	refused, wait, err := e.take(ctx, now, charges...)
	switch {
	case err != nil:
		return fmt.Errorf("charging the limits: %w", err)
	case refused < 0:
		return nil
	case refused < ofNetworks:
		return ErrManyStarts.After(wait)
	case refused < ofNetworks+ofMessage:
		return message.refused(refused-ofNetworks, wait)
	}
	if e.captcha != nil && p.Settings.Captcha == splitpin.CaptchaEscalation {
		return ErrCaptcha.After(wait)
	}
	easy.Cost = 0 // would an easy one still be taken?
	refused, _, err = e.take(ctx, now, easy)
	if err != nil {
		return fmt.Errorf("asking the limits: %w", err)
	}
	return e.challenge(now, p, by, wait, refused >= 0, nil)
}

// networks returns what one request costs the caller's network, and with more
// room the wider one around it. An IPv4 address has none.
func networks(kind string, p *splitpin.Project, by Caller, burst int) []splitpin.Charge {
	charges := []splitpin.Charge{
		{Key: splitpin.LimitKey(kind, p.ID+"\x00"+by.Network()), Burst: burst, Period: networkPeriod, Cost: 1},
	}
	if wider := by.wider(); wider != by.Network() {
		charges = append(charges, splitpin.Charge{
			Key: splitpin.LimitKey(kind, p.ID+"\x00"+wider), Burst: burst * widerNetwork, Period: networkPeriod, Cost: 1})
	}
	return charges
}

// lane returns what one message to an address costs. Strangers share one lane
// over the whole installation; a browser that signed in to the address before
// has its own, so that nobody can be kept out by strangers (security 9).
func (e *Engine) lane(now time.Time, p *splitpin.Project, identifier string, by Caller) []splitpin.Charge {
	if e.knows(now, p, identifier, by.Known) {
		// By the exact address: a neighbour whose address folds to the same could
		// empty the lane.
		who := p.ID + "\x00" + identifier
		return []splitpin.Charge{
			{Key: splitpin.LimitKey("known/short", who), Burst: knownPerPeriod, Period: addressPeriod, Cost: 1},
			{Key: splitpin.LimitKey("known/day", who), Burst: knownPerDay, Period: day, Cost: 1},
		}
	}
	own, who := p.Settings.Limits, account.Fold(identifier)
	return []splitpin.Charge{
		{Key: splitpin.LimitKey("message/short", who), Burst: or(own.MessagesPerAddress, DefaultMessagesPerAddress), Period: addressPeriod, Cost: 1},
		{Key: splitpin.LimitKey("message/day", who), Burst: or(own.MessagesPerDay, DefaultMessagesPerDay), Period: day, Cost: 1},
	}
}

// guard is the charge that counts wrong answers against right ones over the
// whole installation.
func guard(cost int) splitpin.Charge {
	return splitpin.Charge{Key: splitpin.LimitKey("guard", ""), Burst: guardBurst, Period: guardPeriod, Cost: cost}
}

// countWrong counts a wrong answer for the guard, as far as its network may still
// add to it. A limit that cannot be asked counts nothing: the answer was given.
func (e *Engine) countWrong(ctx context.Context, now time.Time, by Caller) {
	refused, _, err := e.take(ctx, now, splitpin.Charge{
		Key: splitpin.LimitKey("guard/network", by.Network()), Burst: guardPerNetwork, Period: guardPeriod, Cost: 1})
	if err == nil && refused < 0 {
		e.balance.Add(1)
	}
}

// watchGuard tells the other nodes how many more wrong answers than right ones
// came here since the last time, and learns whether there are too many over all
// of them. Answers themselves only count in memory: one row that each of them
// changed would be one that all of them wait for.
//
// Once the guard was exceeded, half of it must be free again: otherwise it would
// open for a moment every few seconds, and who waits for that would go on.
func (e *Engine) watchGuard(ctx context.Context, now time.Time) error {
	news := e.balance.Swap(0)
	if news != 0 {
		refused, _, err := e.store.Take(ctx, now, guard(int(news)))
		if err != nil || refused >= 0 {
			e.balance.Add(min(news, guardBurst/2)) // told again when there is room
		}
		if err != nil {
			return fmt.Errorf("telling the guard: %w", err)
		}
		if refused >= 0 {
			e.guarded.Store(true)
			return nil
		}
	}
	room := 1
	if e.guarded.Load() {
		room = guardBurst / 2
	}
	refused, _, err := e.store.Take(ctx, now, guard(room))
	if err == nil && refused < 0 {
		_, _, err = e.store.Take(ctx, now, guard(-room)) // it was a question
	}
	if err != nil {
		return fmt.Errorf("asking the guard: %w", err)
	}
	e.guarded.Store(refused >= 0)
	return nil
}

// countGuess adds one wrong answer. It returns what to save.
func countGuess(now time.Time, g *splitpin.Guesses, key int64) (*splitpin.Guesses, bool) {
	created := g == nil
	if created {
		g = &splitpin.Guesses{Key: key, Day: now.Unix() / 86400}
	}
	*g = aged(now, *g)
	if g.Wrong[0] < math.MaxUint8 {
		g.Wrong[0]++
	}
	return g, created
}

// aged moves the counts of g so that Wrong[0] is today's. A clock that went back
// keeps counting on the newest day; where it was far ahead, that day becomes
// today, or the counts would not age until it comes.
func aged(now time.Time, g splitpin.Guesses) splitpin.Guesses {
	today := now.Unix() / 86400
	if g.Day > today+1 {
		g.Day = today
	}
	shift := today - g.Day
	if shift <= 0 {
		return g
	}
	var moved [30]uint8
	if shift < int64(len(moved)) {
		copy(moved[shift:], g.Wrong[:])
	}
	return splitpin.Guesses{Key: g.Key, Day: today, Wrong: moved}
}

// spent reports whether the guessing budget of an identifier is used up. Today
// and yesterday count as a day, so that midnight is no way around it.
func spent(now time.Time, g *splitpin.Guesses) bool {
	if g == nil {
		return false
	}
	counts := aged(now, *g).Wrong
	recent, month := int(counts[0])+int(counts[1]), 0
	for _, n := range counts {
		month += int(n)
	}
	return recent >= guessesPerDay || month >= guessesPerMonth
}

// MaxGuessProbability is the highest chance per address and day that settings
// may give a guesser (security 8).
const MaxGuessProbability = 1e-4

// GuessProbability returns the chance that somebody who does nothing else
// guesses a code of one address on one day: the budget, and the tries of the
// attempts that were open when it ran out, over all codes there are.
func GuessProbability(s splitpin.Settings, codes float64, tries int) float64 {
	// A lane that is full refills while the first codes still live, at most
	// addressPeriod: nearly as many again. The lane of the day bounds that.
	short := 2*or(s.Limits.MessagesPerAddress, DefaultMessagesPerAddress) - 1
	perDay := or(s.Limits.MessagesPerDay, DefaultMessagesPerDay)
	refill := int(math.Ceil(float64(perDay) * addressPeriod.Minutes() / day.Minutes()))
	open := min(short, perDay+refill)
	return (guessesPerDay + float64(open)*float64(tries)) / codes
}
