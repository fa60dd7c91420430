package signin

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/phone"
)

// Messages to phones cost money, and there are people who live on causing them: they
// own numbers that are dear to reach, and let a form send codes there. So each is
// paid from a budget before it is queued, whatever method asked for it, and limits below the
// budget keep one number, range, country or network from emptying it. Money only ever
// leaves: nothing is given back, and what is refused costs nothing.
//
// All amounts are in millionths of the currency of the prices.

// Settings of the budget that hold unless a project says otherwise.
const (
	DefaultPhoneBudgetDay = 20_000_000 // in any 24 hours
	// The hour has half of the day's, and so on down: see allowances.
)

// DefaultPhoneLimits are how many messages numbers that never signed in may cause.
// A number itself gets as many, known or not.
var DefaultPhoneLimits = splitpin.PhoneLimits{
	Number:  splitpin.Rate{Hour: 5, Day: 10},
	Prefix:  splitpin.Rate{Hour: 30, Day: 100},
	Country: splitpin.Rate{Hour: 300, Day: 2000},
	Network: splitpin.Rate{Hour: 20, Day: 60},
}

const (
	// knownShare is which part of the budget is left to numbers that signed in before:
	// one in so many. Strangers may take the rest.
	knownShare = 2

	// Below a limit of the budget as a whole, one message takes at most this part of
	// it: a small budget still pays for some.
	leastMessages = 3

	// A slice, which is a prefix, a network or a country, is closed when so many codes
	// went to it that were not entered. Each that is entered makes up for
	// enteredCounts, so a slice stays open where at least one in so many is. One more is let
	// through each time its part of slicePeriod has passed, so that a slice opens again
	// by itself when honest people come.
	slicePrefix   = 15
	sliceNetwork  = 15
	sliceCountry  = 120
	enteredCounts = 3
	slicePeriod   = 24 * time.Hour
)

var (
	// ErrCountry refuses a number of a country that the project has not allowed.
	ErrCountry = &splitpin.Error{Kind: splitpin.Forbidden, Code: "country_not_allowed", Field: "identifier",
		Message: "Messages to this country are not sent here. Please use another way to sign in."}
	// ErrPhoneBudget refuses a message that no budget is left for.
	ErrPhoneBudget = &splitpin.Error{Kind: splitpin.TooMany, Code: "phone_budget",
		Message: "No more messages can be sent to phones just now. Please use another way to sign in, or try again later."}
	// ErrPhonePaused refuses a slice in which hardly any code is entered.
	ErrPhonePaused = &splitpin.Error{Kind: splitpin.TooMany, Code: "phone_paused",
		Message: "Messages to numbers like this one are paused for a while. Please use another way to sign in, or try again later."}
)

// AnyCountry in the list of countries allows all; among prices it stands for every
// country without a price of its own.
const AnyCountry = "*"

// PhoneBudget returns how much a project's messages to phones may cost in any 24 hours
// and in any hour.
func PhoneBudget(s splitpin.PhoneSettings) (day, hour int64) {
	day, hour = s.BudgetDay, s.BudgetHour
	if day == 0 {
		day = DefaultPhoneBudgetDay
	}
	if hour == 0 {
		hour = day / 2
	}
	return day, hour
}

// WorstCost returns the most that messages to phones can cost a project in any 24
// hours, whatever anybody does, from how many networks and numbers, and over how many
// nodes. TestWorstCost holds the engine to it.
func WorstCost(s splitpin.PhoneSettings) int64 {
	if !slices.ContainsFunc(s.Countries, func(c string) bool { return costs(s, c) }) {
		return 0
	}
	day, hour := PhoneBudget(s)
	// An hour's bucket holds half of the hour and is filled again by as much each hour:
	// a day drains it once full, and 24 times refilled.
	return min(day, hour/2+24*hour/2)
}

// LeastBudget returns the least budget of an hour or a day that pays for a message of
// that price to a stranger: strangers have their share of it, and half of that at once.
func LeastBudget(price int64) int64 {
	least := 2 * knownShare * price
	return least + least/100 // see portion: a little less comes in
}

// toPhone reports whether messages of a channel are paid for.
func toPhone(c splitpin.Channel) bool {
	return c == splitpin.SMSChannel || c == splitpin.WhatsAppChannel
}

// An allowance is one limit of messages to phones: so many of them, and so much money.
type allowance struct {
	of   string // what is limited: "prefix"; it names the keys
	what string // which: "+491511"

	count     splitpin.Rate // zero fields: not counted
	day, hour int64         // the money; zero: as much as there is
	whole     bool          // of the budget as a whole, so exact: see leastMessages
	refusal   *splitpin.Error
}

// A toll is what one message takes of the limits, all or nothing.
type toll struct {
	charges []tollCharge
	lane    int    // how many of charges, the first, are those of the address
	cost    int64  // what is set aside of the budget
	country string // of the number; empty: the message goes to no phone
}

// A tollCharge is a charge and the refusal it leads to.
type tollCharge struct {
	splitpin.Charge
	refusal *splitpin.Error
	about   string // for the operator: "prefix +491511"
}

// take returns the charges for the store.
func (t toll) take() []splitpin.Charge {
	charges := make([]splitpin.Charge, len(t.charges))
	for i, c := range t.charges {
		charges[i] = c.Charge
	}
	return charges
}

// back returns the charges that give back what the lane took. The budget gets nothing
// back.
func (t toll) back() []splitpin.Charge {
	charges := t.take()[:t.lane]
	for i := range charges {
		charges[i].Cost = -charges[i].Cost
	}
	return charges
}

// refused returns the error of the i-th charge.
func (t toll) refused(i int, wait time.Duration) error {
	c := t.charges[i]
	if c.about == "" {
		return c.refusal.After(wait)
	}
	return &slicedError{c.refusal.After(wait), c.about, t.country}
}

// A slicedError is a refusal with what it is about, for the operator: never a
// whole number.
type slicedError struct {
	refusal *splitpin.Error
	about   string
	country string
}

func (e *slicedError) Error() string { return e.refusal.Error() }
func (e *slicedError) Unwrap() error { return e.refusal }

// toll returns what a message of an attempt takes. Its error is ErrCountry.
func (e *Engine) toll(ctx context.Context, now time.Time, p *splitpin.Project, a *splitpin.Attempt, m Message, by Caller) (toll, error) {
	var t toll
	for _, c := range e.lane(now, p, a.Identifier, by) {
		t.charges = append(t.charges, tollCharge{c, ErrManyMessages, ""})
	}
	t.lane = len(t.charges)
	if !toPhone(m.Channel) && !toPhone(m.Fallback) {
		return t, nil
	}
	number, err := phone.Parse(a.Identifier)
	if err != nil {
		return t, account.ErrIdentifier.Because(err)
	}
	if err := allowed(p.Settings.Phone, number); err != nil {
		return t, err
	}
	t.country = number.Country
	t.cost = PhonePrice(p.Settings.Phone, number.Country) * e.segments(p, m, a.Origin)
	r, err := e.store.Load(ctx, splitpin.Reads{Name: splitpin.Name{Project: p.Number, Identifier: a.Identifier}})
	if err != nil {
		return t, fmt.Errorf("looking whether a number is known: %w", err)
	}
	known := r.User != nil && !r.User.ProvedAt.IsZero()
	t.charges = append(t.charges, phoneCharges(p, number, t.cost, known, by)...)
	return t, nil
}

// allowed refuses a number of a country that the project does not allow.
func allowed(s splitpin.PhoneSettings, number phone.Number) error {
	if slices.Contains(s.Countries, number.Country) || slices.Contains(s.Countries, AnyCountry) {
		return nil
	}
	name, _ := phone.Name(number.Country)
	refusal := *ErrCountry
	refusal.Message = fmt.Sprintf("Messages to numbers of %s (%s) are not sent here. Please use another way to sign in, or ask the site's owner to allow this country.",
		name, phone.CallingCode(number.Country))
	return &slicedError{&refusal, "country " + number.Country + ", prefix " + phone.Prefix(number.E164), number.Country}
}

// phoneCharges returns what one message to a phone takes of the budget and the limits
// below it.
func phoneCharges(p *splitpin.Project, number phone.Number, cost int64, known bool, by Caller) []tollCharge {
	var charges []tollCharge
	for _, a := range allowances(p.Settings.Phone, number, known, by) {
		charges = append(charges, a.charges(p, cost)...)
	}
	if !known {
		for _, s := range slicesOf(number, by.Network()) {
			charges = append(charges, tollCharge{s.unentered(p, 1), ErrPhonePaused, s.of + " " + s.what})
		}
	}
	return charges
}

// allowances are the limits that hold for a message, the widest first.
func allowances(s splitpin.PhoneSettings, number phone.Number, known bool, by Caller) []allowance {
	day, hour := PhoneBudget(s)
	limits := phoneLimits(s)
	list := []allowance{
		{of: "project", day: day, hour: hour, whole: true, refusal: ErrPhoneBudget},
		{of: "number", what: number.E164, count: limits.Number, day: day / 8, hour: hour / 8, refusal: ErrManyMessages},
	}
	if known {
		return list
	}
	day, hour = day-day/knownShare, hour-hour/knownShare
	ofCountry := allowance{of: "country", what: number.Country, count: limits.Country, refusal: ErrPhoneBudget, day: day, hour: hour}
	if len(s.Countries) > 1 || s.Countries[0] == AnyCountry {
		ofCountry.day, ofCountry.hour = day/2, hour/2
	}
	list = append(list,
		allowance{of: "strangers", day: day, hour: hour, whole: true, refusal: ErrPhoneBudget},
		ofCountry,
		allowance{of: "prefix", what: phone.Prefix(number.E164), count: limits.Prefix, day: day / 4, hour: hour / 4, refusal: ErrPhoneBudget},
		allowance{of: "network", what: by.Network(), count: limits.Network, day: day / 8, hour: hour / 8, refusal: ErrManyStarts},
	)
	if wider := by.wider(); wider != by.Network() {
		list = append(list, allowance{of: "network", what: wider, refusal: ErrManyStarts, day: day / 2, hour: hour / 2,
			count: splitpin.Rate{Hour: limits.Network.Hour * widerNetwork, Day: limits.Network.Day * widerNetwork}})
	}
	return list
}

// phoneLimits returns the project's own, with the default where it has none.
func phoneLimits(s splitpin.PhoneSettings) splitpin.PhoneLimits {
	rate := func(own, standard splitpin.Rate) splitpin.Rate {
		return splitpin.Rate{Hour: or(own.Hour, standard.Hour), Day: or(own.Day, standard.Day)}
	}
	l, d := s.Limits, DefaultPhoneLimits
	return splitpin.PhoneLimits{Number: rate(l.Number, d.Number), Prefix: rate(l.Prefix, d.Prefix),
		Country: rate(l.Country, d.Country), Network: rate(l.Network, d.Network)}
}

func (a allowance) charges(p *splitpin.Project, cost int64) []tollCharge {
	about := strings.TrimSpace(a.of + " " + a.what)
	if a.of == "number" {
		about = a.of // which one is nobody's business
	}
	var list []tollCharge
	add := func(unit string, period time.Duration, burst, cost int) {
		list = append(list, tollCharge{splitpin.Charge{Key: splitpin.LimitKey("phone/"+a.of+"/"+unit+"/"+period.String(), p.ID+"\x00"+a.what),
			Burst: burst, Period: period, Cost: cost}, a.refusal, about})
	}
	for _, w := range []struct {
		period time.Duration
		count  int
		budget int64
	}{{time.Hour, a.count.Hour, a.hour}, {day, a.count.Day, a.day}} {
		if w.count > 0 {
			add("count", w.period, w.count, 1)
		}
		if cost == 0 { // free: only how many there are is limited
			continue
		}
		whole := int(w.period.Microseconds())
		part := portion(cost, w.budget, w.period)
		if !a.whole {
			part = min(part, whole/leastMessages)
		}
		add("money", w.period, whole, part)
	}
	return list
}

// portion returns what a cost takes of a bucket of money: as a time, in microseconds,
// in which that much comes in again. A bucket holds half of its budget and fills by
// the other half in its period, so that no period, wherever it begins, gets more than
// the budget; and a little less comes in, for nodes whose clocks differ. What does not come out even is
// rounded up, so the sum is exact over any number of messages.
//
// Measured this way, buckets keep how full they are, in parts, when a budget is
// changed.
func portion(cost, budget int64, period time.Duration) int {
	most := 2 * period.Microseconds() // more than any bucket holds
	if cost <= 0 {
		return 0
	}
	if budget <= 0 {
		return int(most)
	}
	high, low := bits.Mul64(uint64(cost), uint64(2*(period+splitpin.ClockSkew).Microseconds()))
	if high >= uint64(budget) {
		return int(most)
	}
	part, rest := bits.Div64(high, low, uint64(budget))
	if rest > 0 {
		part++
	}
	return int(min(part, uint64(most)))
}

// A slice is a part of the world in which codes should be entered where they are sent.
type slice struct {
	of, what string
	burst    int
}

func slicesOf(number phone.Number, network string) []slice {
	return []slice{{"prefix", phone.Prefix(number.E164), slicePrefix}, {"country", number.Country, sliceCountry}, {"network", network, sliceNetwork}}
}

// unentered is the charge that counts codes sent to a slice against those that were
// entered.
func (s slice) unentered(p *splitpin.Project, cost int) splitpin.Charge {
	return splitpin.Charge{Key: splitpin.LimitKey("phone/"+s.of+"/unentered", p.ID+"\x00"+s.what), Burst: s.burst, Period: slicePeriod, Cost: cost}
}

// entered tells the slices of an attempt that its code was entered. Where the limits
// cannot be told, they go on as before.
func (e *Engine) entered(ctx context.Context, now time.Time, p *splitpin.Project, a *splitpin.Attempt) {
	if a.Kind != splitpin.Phone || a.Sends == 0 {
		return
	}
	number, err := phone.Parse(a.Identifier)
	if err != nil {
		return
	}
	var charges []splitpin.Charge
	for _, s := range slicesOf(number, a.Network) {
		charges = append(charges, s.unentered(p, -enteredCounts))
	}
	e.take(ctx, now, charges...)
}

// segments returns how many times the price of one message it may cost to deliver m:
// the parts it may be split into, once more where it may go over another channel as
// well. The outbox asks no sender twice where the first time may have cost something.
func (e *Engine) segments(p *splitpin.Project, m Message, origin string) int64 {
	n := PhoneSegments(m.Template, p.Name(), len(origin), len(e.publicURL), m.Link)
	if m.Fallback != "" {
		n *= 2
	}
	return int64(n)
}

// PhoneSegments returns the most parts that a message to a phone is split into, for a
// project of that name, a page whose origin has so many bytes, a public URL of so
// many, and a link of so many characters: see [Message]. Every template of package delivery
// stays within it.
func PhoneSegments(template, name string, origin, publicURL, link int) int {
	length := 80 + origin + publicURL // what a template says besides, with two codes and both hosts
	if template != "code" {
		length += max(link, 100+publicURL) // ours have so many
	}
	if length <= 160 {
		return 1 // of the name as much is written as there is room for
	}
	part := 153
	if strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune("[\\]^`{|}~", r) }) >= 0 {
		part = 67 // an alphabet of 16 bits, or characters that count twice
	}
	return (length + 2*len([]rune(name)) + part - 1) / part
}

//go:embed prices.txt
var shippedPrices string

var prices = sync.OnceValue(func() map[string]int64 {
	m := map[string]int64{}
	for line := range strings.Lines(shippedPrices) {
		country, amount, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || country == "#" {
			continue
		}
		price, err := ParseAmount(amount)
		if err != nil {
			panic("prices.txt: " + err.Error())
		}
		m[country] = price
	}
	return m
})

// PhonePrice returns what one message to a country costs: the project's own price, for
// that country or for all others, or else the shipped estimate.
func PhonePrice(s splitpin.PhoneSettings, country string) int64 {
	for _, list := range []map[string]int64{s.Prices, prices()} {
		for _, of := range []string{country, AnyCountry} {
			if price, ok := list[of]; ok {
				return price
			}
		}
	}
	return 0 // the shipped list has a price for all
}

// costs reports whether messages to an allowed country, or to any where all are, cost
// something.
func costs(s splitpin.PhoneSettings, country string) bool {
	if country == AnyCountry {
		for _, price := range s.Prices {
			if price > 0 {
				return true
			}
		}
	}
	return PhonePrice(s, country) > 0
}

// ParseAmount reads an amount of money with at most six decimals: "0.075".
func ParseAmount(text string) (int64, error) {
	whole, decimals, point := strings.Cut(text, ".")
	n, err := strconv.ParseUint(whole+decimals+strings.Repeat("0", max(0, 6-len(decimals))), 10, 63)
	if err != nil || len(decimals) > 6 || whole == "" || point && decimals == "" || n > math.MaxInt64/1_000_000 {
		return 0, fmt.Errorf("%q is no amount; write one like 20 or 0.075", text)
	}
	return int64(n), nil
}

// Amount writes an amount of money with at least two decimals: "20.00", "0.075".
func Amount(n int64) string {
	decimals := strings.TrimRight(fmt.Sprintf("%06d", n%1_000_000), "0")
	return fmt.Sprintf("%d.%s", n/1_000_000, decimals+"00"[min(2, len(decimals)):])
}
