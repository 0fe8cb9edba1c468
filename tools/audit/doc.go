// Package audit builds a release again from its source, and says item by item what is the same and, where something is not, what differs.
//
// [Run] makes a clean checkout of the revision that the release names, computes the names of its commit and tree from the files, and
// builds everything twice: by plain Go, and in a Nix sandbox. What is built is the checkout's business: its own program boardroom, compiled
// from it by the pinned toolchain, makes the release again, for a release of another version may be put together in another way. What
// is the same is this package's business: every comparison, every digest, and a second measurement of the guest images are made by the
// auditor's own program, which shares no code with what it judges unless the auditor's version is the release's.
//
// Nothing that the machine built before is used. Compiled packages and the Nix store are the audit's own and begin empty; the toolchain is
// hashed, modules are compared with go.sum, Debian packages with their locks.
//
// An audit says nothing about who signed a release; "release verify" does. Why rebuilding by others matters, and what it takes:
// reproducible-builds.org/docs/definition.
package audit
