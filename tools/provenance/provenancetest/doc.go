// Package provenancetest is a timestamp authority and a transparency log for tests, which do what they should (RFC 3161; C2SP, tlog-tiles.md, and
// Rekor v2) or, when told, something else. The real ones are in package sigstoretest.
package provenancetest
