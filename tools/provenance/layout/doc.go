// Package layout says who may do which step of making a release, and checks that they did: in-toto layouts and links
// (github.com/in-toto/specification, in-toto-spec.md, sections 4.3 and 4.4), in DSSE envelopes.
//
// Types and the rules for artifacts are those of in-toto-golang, which reads what is made here. Payloads are JSON, and not the canonical form
// (OLPC) in which that library writes: that one leaves line ends in strings as they are, such as those of keys, and is no JSON then
// (RFC 8259, section 7). Signatures and thresholds are this repository's own:
// that library counts key ids, takes a threshold of 0, runs the commands of inspections, only warns where another command was run, and
// takes a pattern that is malformed for one that matches nothing. So whatever could run or loosen something is refused before its rules
// are asked: inspections, sublayouts, certificates, lists of rules that do not end with DISALLOW *. A key has one step, so that whoever
// built is never who rebuilt. Nothing here reads a clock, a file or the network.
package layout
