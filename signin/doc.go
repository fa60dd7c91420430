// Package signin is the engine: it owns attempts and everything that must hold
// for every one of them. Expiry, single use, the number of tries, limits, audit
// and who may collect are decided here and nowhere else, so that no method,
// handler or store can get them wrong.
//
// # What a step looks like
//
// Each public method of [Engine] is one step. It names what it reads, a pure
// function decides over what was loaded, and what that function returns is saved
// in one transaction (see splitpin.Store). The deciding functions are the lower
// half of each file; they see no database and no clock.
//
// # What the engine promises
//
//   - An attempt signs in once. The same right answer, shown again by the one who
//     started, gives the same authorization code while that lives; the same code
//     with the same verifier gives the same session for 30 seconds. Neither gives
//     a second one.
//   - A try is charged before the answer is looked at, in the commit that would
//     have spent the attempt. Only who holds the starter's secret can charge one.
//   - Wrong answers are counted per identifier over all attempts. Past the budget
//     nobody is locked out: codes for that identifier become longer.
//   - No attempt ends another's. A resend repeats the code of its own attempt.
//   - Refusals that matter are audit events, in the same commit as what they
//     refuse. Refusals before an attempt exists cost no durable write.
//
// The engine starts no goroutine. [Engine.Step] does what is due and is called
// by a runner.
package signin
