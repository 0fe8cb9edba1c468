# finance-agent (and each other agent): sets up the machine, builds the image, says what it is.
# test: everything that CI runs. See README.md.

AGENTS := hub finance-agent marketing-agent sales-agent ceo-agent

# Nix's settings for the calls of this file alone. There is nothing to substitute: no nixpkgs, no binary cache. A machine
# without the group nixbld, such as Debian's nix-bin leaves behind, builds as the caller.
define NIX_CONFIG
experimental-features = nix-command flakes
substituters =
warn-dirty = false
max-jobs = auto
sandbox = true
sandbox-fallback = false
$(if $(shell getent group nixbld),,build-users-group =)
endef
export NIX_CONFIG
export GOTOOLCHAIN := local

CACHE := $(or $(BOARDROOM_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/boardroom)
LINTERS := $(CACHE)/linters
STATICCHECK := $(LINTERS)/staticcheck@v0.8.2
GOLANGCI_LINT := $(LINTERS)/golangci-lint@v2.15.0
GOVULNCHECK := $(LINTERS)/govulncheck@v1.9.0

# Tests know the simulated TEE, which no production program is linked with.
TAGS := -tags simtee

.PHONY: all $(AGENTS) boardroom boardroom-dev test unit check acceptance acceptance-release acceptance-guest fuzz bench modules clean

all: $(AGENTS)

$(AGENTS):
	@nix/setup.sh nix-bin git
	@nix build .#$@ -o result-$@
	@$$(nix eval --raw .#$@.assembler.outPath)/bin/assemble -describe result-$@

boardroom:
	@nix/setup.sh nix-bin git
	@nix build .#$@ -o result-$@
	@echo result-$@/bin/boardroom

# boardroom with `dev`, the simulated TEE.
boardroom-dev:
	@nix/setup.sh nix-bin git
	@nix build .#$@ -o result-$@
	@echo result-$@/bin/boardroom-dev

test: unit check fuzz acceptance acceptance-release acceptance-guest

# The race detector looks at everything but scrypt, which makes keys from passwords: it takes no lock, shares nothing, and is ten times as
# slow with it.
unit:
	@nix/setup.sh nix-bin git gcc libc6-dev
	go vet ./...
	go vet $(TAGS) ./...
	go test -race -gcflags=golang.org/x/crypto/scrypt=-race=false $(TAGS) ./...

check: $(STATICCHECK) $(GOLANGCI_LINT) $(GOVULNCHECK)
	test -z "$$(gofmt -l tools)" || { gofmt -d tools; exit 1; }
	$(STATICCHECK) -tags acceptance,simtee ./...
	$(STATICCHECK) ./tools/cmd/...
	$(GOLANGCI_LINT) run
	nix/vulnerabilities.sh $(GOVULNCHECK)

# A short run of every fuzz target; FUZZTIME=60s for a long one. A number of inputs, because a time that ends while the fuzzer
# starts a worker fails with "context deadline exceeded" now and then.
FUZZTIME ?= 1000x
fuzz:
	@bin=$$(mktemp -d) && trap 'rm -rf "$$bin"' EXIT && \
	for package in $$(grep -rl --include='*_test.go' '^func Fuzz' tools | xargs -n 1 dirname | sort -u); do \
		rm -f "$$bin/test"; go test $(TAGS) -c -fuzz=. -o "$$bin/test" "./$$package" && targets=$$("$$bin/test" -test.list '^Fuzz') || exit 1; \
		for target in $$targets; do \
			echo "fuzz $$package $$target"; \
			(cd "$$package" && "$$bin/test" -test.run '^$$' -test.fuzz "^$$target$$" -test.fuzztime $(FUZZTIME) -test.fuzzminimizetime 1s \
				-test.fuzzcachedir "$$bin/corpus") || exit 1; \
		done; \
	done

# What needs other programs: measurements against QEMU and real firmware, then everything about images.
acceptance:
	@nix/setup.sh nix-bin git skopeo umoci runc docker-registry util-linux hostname qemu-system-x86 swtpm binutils mtools
	go test -tags acceptance -count 1 -timeout 60m ./tools/tdx/... ./tools/deb/mirror
	go test -tags acceptance -count 1 -run WithoutNetwork ./tools/cmd/boardroom
	go test -tags acceptance -timeout 60m ./tools/acceptance/...

# Signatures and releases against the programs of the field: cosign, Sigstore's services, registries and their clients. One package after the
# other, because the timestamp authority always takes the same port.
acceptance-release:
	@nix/setup.sh nix-bin git skopeo docker-registry
	go test -tags acceptance -count 1 -p 1 -timeout 40m ./tools/provenance/... ./tools/release/... ./tools/audit/...

# Disks against Debian's programs, and the guest: virtual machines, one after the other, from packages that a mirror has.
acceptance-guest:
	@nix/setup.sh nix-bin git qemu-system-x86 swtpm binutils mtools squashfs-tools cryptsetup-bin gdisk dosfstools cpio docker-registry chrony
	go test -tags acceptance,simtee -count 1 -timeout 30m ./tools/disk/... ./tools/guestimage/... ./tools/guest/securetime
	go test -tags acceptance -count 1 -timeout 60m -v ./tools/guest

# Speed against named peers, as ratios in one run.
bench:
	@nix/setup.sh nix-bin git skopeo umoci docker-registry
	go test -run '^$$' -bench . ./tools/deflate ./tools/quote ./tools/tdx ./tools/tdx/acpi
	go test -tags acceptance -run '^$$' -bench . -timeout 60m ./tools/acceptance ./tools/guestimage

# Pins the modules anew; needed after go.sum or the set of imported modules changed.
modules:
	go run ./tools/cmd/modcache pin nix/modules.json

$(STATICCHECK): PACKAGE := honnef.co/go/tools/cmd/staticcheck
$(GOLANGCI_LINT): PACKAGE := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(GOVULNCHECK): PACKAGE := golang.org/x/vuln/cmd/govulncheck
$(LINTERS)/%:
	@echo "compiling $* (once)"
	@mkdir -p $(LINTERS)/bin
	@GOBIN=$(LINTERS)/bin GOFLAGS= go install $(PACKAGE)@$(word 2,$(subst @, ,$*))
	@mv $(LINTERS)/bin/$(notdir $(PACKAGE)) $@

clean:
	rm -rf result result-*
