// Package seed knows the one binary input of every build: the Go toolchain.
//
// The toolchain is published in two forms with the same content, a release tarball and the module golang.org/toolchain.
// Both are seen here through one view, the seed tree: without the folders api, doc, misc and test, go.mod files under
// their own name (the module form calls them _go.mod), executable exactly bin/* and pkg/tool/*/*. The tree's NAR hash is
// pinned in nix/seed.json, read by the Nix build and by this package, so both build paths compile with the same bytes.
//
// The toolchain is itself reproducible from its src folder; see "Perfectly Reproducible, Verified Go Toolchains"
// (go.dev/blog/rebuild).
package seed
