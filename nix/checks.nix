# What `nix flake check` runs: every unit test, compiled and run by the seed in the sandbox, and vet, which go test includes.
# The images and the program are checks too: that they build. `make test` runs more, with programs that a sandbox has not.
{ root, source, seed, sandboxEnv, modules }:
let
  tree = source.folder { name = "source-tree"; inherit root; };
in
{
  # The coverage profile is the output: without a shell, it is how go test leaves a file when all tests passed.
  unit-tests = derivation (sandboxEnv // {
    name = "unit-tests";
    system = "x86_64-linux";
    builder = "${seed}/bin/go";
    args = [ "test" "-C" tree "-mod=readonly" "-coverprofile=${placeholder "out"}" "./..." ];
    GOPROXY = "file://${modules}";
    PATH = "${seed}/bin";
    TMPDIR = "/build";
  });
}
