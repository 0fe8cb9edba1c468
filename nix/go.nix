# How a Go program is built: by the seed's own go, with no shell around it. Flags and environment stand in go-build.json,
# which the build path without Nix reads too.
{ seed, settings, sandboxEnv }:
{
  # The program in the folder `package` of the module `src`, as $out/bin/<binary>.
  # modules is the output of modules.nix; null where the module needs none. tags are build tags.
  program = { name, src, package, binary ? baseNameOf package, modules ? null, tags ? [ ] }: derivation (sandboxEnv // {
    inherit name;
    system = "x86_64-linux";
    builder = "${seed}/bin/go";
    args = [ "build" "-C" src ] ++ settings.args ++ (if tags == [ ] then [ ] else [ "-tags" (builtins.concatStringsSep "," tags) ]) ++ [ "-o" "${placeholder "out"}/bin/${binary}" "./${package}" ];
    GOPROXY = if modules == null then "off" else "file://${modules}";
  });
}
