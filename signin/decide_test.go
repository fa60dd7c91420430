package signin

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/splitpin/splitpin"
)

// The deciding functions, without a database: what must hold for any order of
// answers, clocks and records.

func TestAnyOrderOfAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(1<<30, 0)
		a := &splitpin.Attempt{MaxTries: rapid.IntRange(1, 10).Draw(t, "tries"), ExpiresAt: start.Add(10 * time.Minute)}
		now := start
		looked, proofs, wrong := 0, 0, 0
		for range rapid.IntRange(1, 40).Draw(t, "answers") {
			// The clock may go back.
			now = now.Add(time.Duration(rapid.IntRange(-60, 300).Draw(t, "seconds")) * time.Second)
			right, tries := rapid.Bool().Draw(t, "right"), a.Tries
			provedAt := a.ProvedAt
			verdict := decideAnswer(now, a, false, false, func() checked {
				looked++
				if right {
					return checkedRight
				}
				return checkedWrong
			})
			switch verdict {
			case answerRight:
				proofs++
				if !right || !provedAt.IsZero() || a.ProvedAt != now || !now.Before(a.ExpiresAt) {
					t.Fatalf("proved by right=%v at %v, before %v", right, now, provedAt)
				}
			case answerWrong, answerLast:
				wrong++
				if right || (verdict == answerLast) != (a.Tries == a.MaxTries) {
					t.Fatalf("verdict %v with right=%v and %d tries of %d", verdict, right, a.Tries, a.MaxTries)
				}
			case answerRepeated:
				if !right || provedAt.IsZero() || a.ProvedAt != provedAt {
					t.Fatal("repeated what was not proved")
				}
			case answerMissed:
				if right || provedAt.IsZero() {
					t.Fatal("missed what was not proved")
				}
			}
			if charged := a.Tries - tries; charged > 1 || charged < 0 || (verdict != answerOver && verdict != answerTooMany) != (charged == 1) {
				t.Fatalf("verdict %v charged %d tries", verdict, charged)
			}
		}
		if proofs > 1 || looked > 2*a.MaxTries || wrong > a.MaxTries || a.Tries != looked {
			t.Fatalf("%d proofs, %d looked at, %d wrong, %d tries of %d", proofs, looked, wrong, a.Tries, a.MaxTries)
		}
	})
}

// Counts by day against a plain list of the moments of all wrong answers.
func TestGuessesAgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1<<30, 0)
		var g *splitpin.Guesses
		var days []int64
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "hours")) * time.Hour)
			today := now.Unix() / 86400
			if rapid.IntRange(0, 3).Draw(t, "what") > 0 {
				var created bool
				if g, created = countGuess(now, g, 7); created != (len(days) == 0) || g.Key != 7 || g.Day != today {
					t.Fatalf("created %v: %+v", created, g)
				}
				days = append(days, today)
			}
			recent, month := 0, 0
			for _, d := range days {
				if d >= today-1 {
					recent++
				}
				if d > today-30 {
					month++
				}
			}
			if got, want := spent(now, g), recent >= 20 || month >= 50; got != want {
				t.Fatalf("spent is %v, want %v: %d since yesterday, %d in 30 days: %+v", got, want, recent, month, g)
			}
		}
	})
}

func TestGuessesSaturate(t *testing.T) {
	now := time.Unix(1<<30, 0)
	var g *splitpin.Guesses
	for range 1000 {
		g, _ = countGuess(now, g, 7)
	}
	if g.Wrong[0] != 255 || !spent(now, g) {
		t.Errorf("after 1000 wrong answers: %+v", g)
	}
}

func TestZeroBits(t *testing.T) {
	for want, sum := range map[int][32]byte{0: {0x80}, 1: {0x40}, 8: {0, 0xff}, 17: {0, 0, 0x40}, 18: {0, 0, 0x3f}, 255: {31: 1}, 256: {}} {
		if got := zeroBits(sum); got != want {
			t.Errorf("%x: got %d, want %d", sum, got, want)
		}
	}
}

// Bearers of the link and the starter in any order: one proof at most, and none by a
// bearer who showed neither the browser, nor a hand-over, nor the right digits.
func TestAnyOrderOfBearers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1<<30, 0)
		a := &splitpin.Attempt{Purpose: splitpin.SignIn, MaxTries: 5, ExpiresAt: now.Add(10 * time.Minute)}
		mayLetIn, mayHandOver := rapid.Bool().Draw(t, "may let in"), rapid.Bool().Draw(t, "may hand over")
		proofs, wrong := 0, 0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(-60, 300).Draw(t, "seconds")) * time.Second)
			before := *a
			switch rapid.IntRange(0, 5).Draw(t, "who") {
			case 0: // the starter
				right := rapid.Bool().Draw(t, "right code")
				verdict := decideAnswer(now, a, false, false, func() checked {
					if right {
						return checkedRight
					}
					return checkedWrong
				})
				if verdict == answerRight {
					proofs++
				}
				if before.Link == splitpin.LinkHere && verdict != answerElsewhere {
					t.Fatalf("the starter got verdict %d of what signed in elsewhere", verdict)
				}
				if a.LinkTries != before.LinkTries || a.Link != before.Link {
					t.Fatal("the starter changed the link")
				}
			case 1: // "not me"
				if decideOpen(now, a, bearsHandOver) == admitRight {
					a.Link = splitpin.LinkRefused
				}
			default:
				right, looked := rapid.Bool().Draw(t, "right digits"), false
				ask := asked{
					way:       rapid.SampledFrom([]Way{Here, LetIn, HandOver}).Draw(t, "way"),
					proof:     rapid.SampledFrom([]bears{bearsLink, bearsLink, bearsBrowser, bearsHandOver}).Draw(t, "proof"),
					challenge: [32]byte{byte(rapid.IntRange(1, 2).Draw(t, "challenge"))},
					none:      rapid.Bool().Draw(t, "no digits"),
					mayLetIn:  mayLetIn, mayHandOver: mayHandOver,
					right: func() bool { looked = true; return right },
				}
				verdict := decideAdmit(now, a, ask)
				sure := ask.proof != bearsLink || looked && right
				switch verdict {
				case admitRight:
					proofs++
					if !sure || !before.ProvedAt.IsZero() || !now.Before(a.ExpiresAt) || a.ProvedAt != now {
						t.Fatalf("proved by %+v of %+v", ask, before)
					}
					if before.Link == splitpin.LinkRefused && ask.proof != bearsBrowser {
						t.Fatal("a refused link signed in")
					}
					if ask.way == LetIn && ask.proof != bearsBrowser && !(mayLetIn && ask.proof == bearsLink) {
						t.Fatalf("%+v let the asking screen in", ask)
					}
				case admitRepeated:
					if !sure || proofs != 1 || a.ProvedAt != before.ProvedAt || ask.way == Here && a.Challenge != ask.challenge {
						t.Fatalf("repeated for %+v of %+v", ask, before)
					}
				case admitHandedOver:
					if !sure || !mayHandOver || !before.ProvedAt.IsZero() || before.Link == splitpin.LinkRefused && ask.proof != bearsBrowser {
						t.Fatalf("handed over to %+v of %+v", ask, before)
					}
				case admitWrong, admitLast:
					wrong++
					if !looked || right || (verdict == admitLast) != (a.LinkTries == MaxLinkTries) {
						t.Fatalf("verdict %d of %+v with %d tries", verdict, ask, a.LinkTries)
					}
				case admitAsk:
					if looked || !ask.none {
						t.Fatalf("asked for digits of %+v", ask)
					}
				}
				if a.Tries != before.Tries || a.LinkTries != wrong || looked && ask.none {
					t.Fatalf("verdict %d charged %d tries of the starter, %d of the link for %d wrong", verdict, a.Tries-before.Tries, a.LinkTries, wrong)
				}
			}
			if a.ProvedAt.IsZero() != (proofs == 0) {
				t.Fatalf("%d proofs, proved at %v", proofs, a.ProvedAt)
			}
		}
		if proofs > 1 || wrong > MaxLinkTries {
			t.Fatalf("%d proofs, %d wrong pairs looked at", proofs, wrong)
		}
	})
}
