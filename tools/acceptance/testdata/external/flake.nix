# An agent of your own, compiled and assembled as boardroom's agents are: by the same pinned toolchain, in the same sandbox,
# to the same bytes on every machine. Copy this folder, change what is yours, and run
#
#     nix build
#
# The result is an OCI layout: `boardroom image show result` says what is in it, and `boardroom image push` or skopeo carry
# it to a registry.
{
  description = "An agent built with boardroom";

  # Nix locks the revision in flake.lock, and with it the toolchain, the CA bundle and the assembler.
  inputs.boardroom.url = "github:boardroom-tee/boardroom";

  outputs = { self, boardroom }: {
    packages.x86_64-linux.default = boardroom.lib.mkAgentImage {
      # The folder of go.mod.
      src = ./.;

      # The folder of image.json: name, ports, user, volumes, and which package of the module is the program.
      definition = ./image;

      # What the program is made of, besides go.mod and go.sum. Other files can change without a new build. Folders may be
      # named as well as files; the default is everything.
      folders = [ "main.go" ];

      # The modules that go.mod requires. To find the hash after go.sum changed, write any other, such as
      # "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=": Nix refuses it and tells the right one. Leave the line out if
      # the program imports the standard library only.
      modulesHash = "sha256-zP4BI9HXQyhfaVtzA7RdhqUNxH5K+v30pHmFsXrBpQg=";

      # Seconds since 1970 for every time in the image, if it shall have one of its own:
      # sourceDateEpoch = 1767225600;
    };
  };
}
