# The house: everything the flake's outputs are made of. There is no nixpkgs; each derivation's builder is the Go toolchain
# or a program that it built.
{ root }:
let
  source = import ./source.nix;
  settings = builtins.fromJSON (builtins.readFile ./go-build.json);
  folders = builtins.fromJSON (builtins.readFile ./programs.json);
  modulesHash = (builtins.fromJSON (builtins.readFile ./modules.json)).nar;

  # What the go command needs to know in a sandbox besides the settings: where it may write, and that nothing is fetched.
  sandboxEnv = settings.env // {
    HOME = "/build";
    GOCACHE = "/build/cache";
    GOMODCACHE = "/build/modules";
    GOPROXY = "off";
  };

  sourceOf = name: source.go { name = "${name}-source"; inherit root; folders = folders.${name}; };

  seed = import ./seed.nix { inherit sandboxEnv; seedSource = sourceOf "seed"; };
  go = import ./go.nix { inherit seed settings sandboxEnv; };

  fetcher = go.program { name = "modcache"; src = sourceOf "modcache"; package = "tools/cmd/modcache"; };
  modules = import ./modules.nix { inherit seed fetcher; };
  ours = modules {
    inherit root;
    src = source.go { name = "module-graph"; inherit root; folders = [ "tools" ]; tests = true; };
    nar = modulesHash;
  };
  program = name: go.program { inherit name; src = sourceOf name; package = "tools/cmd/${name}"; modules = ours; };

  assembler = program "assemble";
  mkAgentImage = import ./images.nix {
    inherit go source modules assembler;
    caCertificates = source.folder { name = "ca-certificates"; root = root + "/images/ca-certificates"; };
  };

  agents = root + "/images/agents";
  image = agent: mkAgentImage { src = root; definition = agents + "/${agent}"; folders = folders.agent; };
  named = agent: { name = (builtins.fromJSON (builtins.readFile (agents + "/${agent}/image.json"))).name; value = image agent; };

  boardroom = program "boardroom";
  # The same with the simulated TEE, for development.
  boardroomDev = go.program {
    name = "boardroom-dev";
    binary = "boardroom-dev";
    src = sourceOf "boardroom";
    package = "tools/cmd/boardroom";
    modules = ours;
    tags = [ "simtee" ];
  };

  guest = import ./guest.nix {
    inherit root source;
    builder = program "guestimage";
    # The development flavour has the simulated TEE, which no list of a production program's folders holds.
    program = { name, package, tags }: go.program {
      inherit name package tags;
      src = sourceOf (if tags == [ ] then "boardroom-guest" else "boardroom");
      modules = ours;
    };
  };
  guestImages = {
    guest-image = guest.image { name = "guest-image"; flavour = "production"; };
    guest-image-dev = guest.image { name = "guest-image-dev"; flavour = "development"; tags = [ "simtee" ]; };
  };
  images = builtins.listToAttrs (map named (builtins.attrNames (builtins.readDir agents)));
in
{
  inherit seed boardroom boardroomDev images guestImages mkAgentImage;
  checks = import ./checks.nix { inherit root source seed sandboxEnv; modules = ours; } // images // { inherit boardroom; boardroom-dev = boardroomDev; };
}
