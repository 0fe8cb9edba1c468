# The guest image: locked Debian packages, fetched as fixed outputs, and our program, put together by a Go program. Packages and firmware
# are the same for both flavours.
{ root, source, builder, program, sourceDateEpoch ? 0 }:
let
  hashes = builtins.fromJSON (builtins.readFile ./guest.json);
  folder = root + "/images/guest";
  declared = builtins.fromJSON (builtins.readFile (folder + "/image.json"));

  # The packages of a lock, each named by its digest. The name carries the lock's hash, because Nix takes a fixed output that it already
  # has without asking whether it still fits.
  fetched = name: lock: derivation {
    name = "guest-${name}-${builtins.substring 0 12 (builtins.hashFile "sha256" (folder + "/${lock}"))}";
    system = "x86_64-linux";
    builder = "${builder}/bin/guestimage";
    args = [ "fetch" (builtins.path { name = lock; path = folder + "/${lock}"; }) (placeholder "out") ];
    impureEnvVars = [ "DEBIAN_MIRROR" "http_proxy" "https_proxy" "no_proxy" "HTTP_PROXY" "HTTPS_PROXY" "NO_PROXY" ];
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
    outputHash = hashes.${name};
  };
  packages = fetched "packages" declared.packages.lock;
  firmware = fetched "firmware" declared.firmware.lock;
in
{
  image = { name, flavour, tags ? [ ] }:
    let guest = program { inherit tags; name = "boardroom-guest${if tags == [ ] then "" else "-dev"}"; package = declared.program; }; in
    derivation {
      inherit name;
      system = "x86_64-linux";
      builder = "${builder}/bin/guestimage";
      args = [
        "build"
        "-definition" "${source.folder { name = "guest-definition"; root = folder; }}/image.json"
        "-flavour" flavour
        "-packages" packages
        "-firmware" firmware
        "-program" "${guest}/bin/boardroom-guest"
        "-ca-certificates" (source.folder { name = "ca-certificates"; root = root + "/images/ca-certificates"; })
        "-to" (placeholder "out")
      ];
      SOURCE_DATE_EPOCH = toString sourceDateEpoch;
    } // { program = guest; };
}
