# The seed: the Go toolchain, trimmed to what both of its published forms hold. It is a fixed output, so how it came into
# the store does not matter: Nix makes it from the release tarball, the Makefile adds it from the module of the same name.
{ seedSource, sandboxEnv }:
let
  pin = builtins.fromJSON (builtins.readFile ./seed.json);

  tarball = derivation {
    name = baseNameOf pin.tarball.url;
    system = "builtin";
    builder = "builtin:fetchurl";
    inherit (pin.tarball) url;
    urls = [ pin.tarball.url ];
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = pin.tarball.sha256;
    executable = false;
    unpack = false;
    preferLocalBuild = true;
    impureEnvVars = [ "http_proxy" "https_proxy" "all_proxy" "no_proxy" ];
  };

  unpacked = derivation {
    name = "${pin.version}-unpacked";
    system = "builtin";
    builder = "builtin:unpack-channel";
    channelName = "go";
    src = tarball;
    preferLocalBuild = true;
  };

  trim = derivation (sandboxEnv // {
    name = "seed-trim";
    system = "x86_64-linux";
    builder = "${unpacked}/go/bin/go";
    args = [ "build" "-C" seedSource "-trimpath" "-o" "${placeholder "out"}" "./tools/cmd/seed" ];
  });
in
derivation {
  name = pin.version;
  system = "x86_64-linux";
  builder = trim;
  args = [ "copy" "${unpacked}/go" (placeholder "out") ];
  outputHashMode = "recursive";
  outputHashAlgo = "sha256";
  outputHash = pin.nar;
}
