# The Go modules of a source tree, as a folder that serves as GOPROXY=file://…. A fixed output: its hash is that of the
# content that go.sum vouches for, whoever served it. The name carries go.sum's hash, because Nix takes a fixed output that it
# already has without asking whether it still fits.
{ seed, fetcher }:
{ root, src, nar }: derivation {
  name = "go-modules-${builtins.substring 0 12 (builtins.hashFile "sha256" (root + "/go.sum"))}";
  system = "x86_64-linux";
  builder = "${fetcher}/bin/modcache";
  args = [ "fetch" "${seed}/bin/go" src (placeholder "out") ];
  impureEnvVars = [ "GOPROXY" "http_proxy" "https_proxy" "no_proxy" "HTTP_PROXY" "HTTPS_PROXY" "NO_PROXY" ];
  outputHashMode = "recursive";
  outputHashAlgo = "sha256";
  outputHash = nar;
}
