// Package service asks the services of Sigstore: those that certify, date and record signatures.
//
// They have in common that they are asked once, over HTTP (RFC 9110), that an answer is bounded, and that no redirection is followed, since
// what was sent would go along. Nothing that comes back is believed because of where it came from. Each service's own package
// knows what to ask and what to make of the answer.
package service
