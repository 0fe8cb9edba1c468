// Package release says what a release is: a directory that carries its own proof.
//
// release.json (see [Release]) names every artifact by digest: images of agents, guest images, app-composes with their hashes, reference
// values, bills of materials and statements. Its list of files covers everything else that was made with the release, each by digest and
// size, so that whoever signs [Release.Statement] signs all of it. What vouches for a release comes later and is therefore not listed:
// signatures in bundles/, links in links/, proofs of transparency logs in log/. There is nothing else in a release; a file that is
// neither listed nor vouches for something known is refused.
//
// Statements are in-toto's (package provenance), identities of guests dstack's (package guestimage), layouts and links in-toto's
// (package provenance/layout), log proofs those of package transparency.
package release
