// Package timestamp asks a timestamp authority when a signature was made, as RFC 3161 has it, over HTTP (section 3.4 there).
//
// The answer is checked for being one to this question: the same bytes, the same nonce. Whether the authority is to be believed, whoever
// verifies the signature judges by a trust root of its own (package provenance).
package timestamp
