// Package delivery brings messages to people: it takes them from the durable
// outbox, writes them in the reader's language, and hands them to a sender.
//
// Three things, each ignorant of the others' insides:
//
//   - [Outbox] takes messages that are handed to it when they are made, claims those
//     that are due besides, asks for the code (which is derived at that moment and
//     stored nowhere), and records what came of it. queue.go says whose turn it is.
//   - [Templates] turns [Values] into subject, text and HTML.
//   - a [Sender] delivers one [Letter] over one channel: [SMTP], [Twilio], [Vonage],
//     [SNS], [WhatsApp], [Webhook], and [Inbox] in development. A [Verifier] makes the code
//     itself. docs/adding-a-sender.md says how to add another, and deliverytest.Run is
//     what each must pass.
//
// # What is promised
//
// At least once: a message that was queued is sent, or given up with a reason
// that an operator can read. A node that dies between sending and recording
// sends again when the lease runs out; both copies carry the same [Letter.ID], so
// that a mail program may fold them. A message that costs money is not sent again
// where nobody knows whether it was taken, except by such a death. Nothing is sent
// after its attempt expired, was answered, or was denied, except a notice of what
// happened.
package delivery
