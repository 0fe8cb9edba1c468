// Package nar writes file trees in the Nix archive format and hashes them as Nix does.
//
// A NAR holds what a build can depend on and nothing else: names, contents, the executable bit and link targets, in one
// order. Its SHA-256 is what Nix pins for a fixed output ("outputHashMode = recursive"), so a tree checked here is the tree
// that a Nix build of this repository would have been given.
//
// The format is specified in E. Dolstra, "The Purely Functional Software Deployment Model" (2006), figure 5.2, and in the
// Nix manual, "Nix Archive (NAR) format".
package nar
