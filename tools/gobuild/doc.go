// Package gobuild compiles Go programs to the same bytes as the Nix build does, without Nix.
//
// Three things make it so. The compiler is the seed, hashed before use. Flags and environment are those of
// nix/go-build.json, which the Nix build reads too, and nothing of the caller's environment is passed on. Every module that a
// program imports is compared with go.sum as it lies on disk, not only when it is downloaded.
//
// Compiled packages are kept in a cache of this package's own, whose content the go command trusts, as it trusts any build
// cache: who can write there can change what is built. An auditor names an empty cache folder.
//
// Why these suffice: go.dev/blog/rebuild, "Perfectly Reproducible, Verified Go Toolchains".
package gobuild
