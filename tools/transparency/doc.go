// Package transparency says what an append-only log of releases proves, and to whom.
//
// A log is a Merkle tree (RFC 6962 section 2.1) whose head the log signs as a checkpoint (c2sp.org/tlog-checkpoint, c2sp.org/signed-note)
// and which anyone can read as static files (c2sp.org/tlog-tiles). An [Entry] binds a release to the signatures and keys that vouch for
// it. A [Proof] (c2sp.org/tlog-proof) shows offline that an entry is in the tree; a [Consistency] shows that one tree is the beginning of
// another. Witnesses cosign what they saw (c2sp.org/tlog-cosignature), so that a log can not show different trees to different people;
// a [Memory] does the same for one person: whoever has seen a tree refuses a smaller or an inconsistent one.
//
// Everything here is a function of its arguments: no files, no network, no clock. Trees are read through a [Reader], and nothing that it
// returns is believed before it hashes to a signed root. The one signature algorithm is Ed25519 (RFC 8032).
//
// Subpackages read logs from folders (logdir) and over HTTP (loghttp), write them (tilelog), and keep a memory in a file (memoryfile) and
// a private key in another (notekey).
package transparency
