// Package gitobject computes names of Git objects from what they name: of a tree from the files of a folder, of a commit from its text.
//
// So a checkout can be held against the names that a release gives, without believing the repository or the program that it came from.
//
// Format: Git's documentation, "Git Internals - Git Objects"; names in a repository with SHA-256 are those of its
// hash-function-transition document.
package gitobject
