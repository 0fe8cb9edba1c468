// Package acceptance holds the repository to its promises from outside: it runs the programs that are shipped and the
// programs of others that read what they make.
//
//	go test -tags acceptance -timeout 60m ./tools/acceptance/...
//	go test -tags acceptance -run '^$' -bench Ko -timeout 30m ./tools/acceptance
//
// What is tested is a copy of the source tree as it is now, committed or not, without what .gitignore names.
//
// It takes root, a Go module proxy (GOPROXY), Nix as the Makefile sets it up (NIX_CONFIG there, and a seeded store), and
// from Debian: nix-bin, git, skopeo, umoci, runc, docker-registry, util-linux (unshare, setpriv, taskset) and hostname. A
// missing one fails the test that needs it; no test is skipped. The benchmark compiles ko itself.
package acceptance
