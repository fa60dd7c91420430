// Package simulation runs the whole server, several nodes of it, in one goroutine's
// worth of time: a seed decides who goes on, what fails and what the clock says,
// and a model beside it says what must never happen. The same seed gives the same
// course of events, to the byte.
//
// What runs is the product: engine, methods, tokens, data keys, outbox and its HTTP,
// over [store.Memory] in the place of a database. What is made up is everything
// around them: people and those who attack them, a mail server, operators,
// verifiers with caches, crashes, lost answers, clocks.
//
// How it works:
//
//   - schedule.go: actors are goroutines that pass a baton. Whoever holds it runs;
//     at every call of the store, a sender, a clock or the source of randomness the
//     seed says who holds it next.
//   - world.go: what a seed decides about a whole run, and how one begins and ends.
//   - node.go: a node that starts, serves, crashes and starts again; store.go: its
//     way to the database, which fails before or after the deed.
//   - people.go, keys.go, attackers.go, operators.go: the actors.
//   - model.go: what must hold, checked at every commit and every answer.
//   - trace.go: what happened, in lines for people.
//
// docs/simulation.md tells how to read a failure and how to add to it.
package simulation
