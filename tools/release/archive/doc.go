// Package archive keeps everything that a release is built from in one file, so that it can be built again where there is no network, and
// when nobody serves the parts any more.
//
// The file is an uncompressed tar. Its first member, index.json (see [Index]), lists all others in their order, each by size and SHA-256.
// Then come signatures over index.json, as Sigstore bundles, and the files themselves:
//
//	commit            the text of the Git commit, whose SHA-1 or SHA-256 is the revision
//	modules/…         Go modules, as a GOPROXY=file://… serves them
//	packages/SHA256   Debian packages
//	source/…          the files of the revision; its tree is computed from them
//	toolchain/…       the Go toolchain, as package seed pins it
//
// The same inputs give the same bytes but for the signatures, which are made with random numbers. An archive has one form: each header is
// compared with the one that the index leads to, and is not interpreted.
//
// A signature says who collected the files. It is not what makes them the right ones: the source is held to the revision that the release
// names, and everything else to what the source pins.
package archive
