# An agent image: its program built from `src`, and its definition, assembled to an OCI layout.
{ go, source, assembler, modules, caCertificates }:
{
  # Folder of the Go module, without or with further things in it.
  src
  # Folder of image.json and the files that it names.
, definition
  # NAR hash of the modules that the program needs (see modules.nix); null where it imports the standard library only.
, modulesHash ? null
  # What of src the program is made of, relative to src.
, folders ? [ "." ]
  # Seconds since 1970, for every time in the image.
, sourceDateEpoch ? 0
}:
let
  declared = builtins.fromJSON (builtins.readFile (definition + "/image.json"));
  # As package agentimage names it. The derivations are named for it too, and not for the image, so that images of one
  # program share one compilation.
  binary = if declared.program == "." then declared.name else baseNameOf declared.program;
  goSource = source.go { name = "${binary}-source"; root = src; inherit folders; };
  program = go.program {
    name = "${binary}-program";
    inherit binary;
    package = declared.program;
    src = goSource;
    modules = if modulesHash == null then null else modules { root = src; src = goSource; nar = modulesHash; };
  };
  image = derivation {
    inherit (declared) name;
    system = "x86_64-linux";
    builder = "${assembler}/bin/assemble";
    args = [
      "-definition" "${source.folder { name = "${declared.name}-definition"; root = definition; }}/image.json"
      "-program" "${program}/bin/${binary}"
      "-ca-certificates" caCertificates
      "-to" (placeholder "out")
    ];
    SOURCE_DATE_EPOCH = toString sourceDateEpoch;
  };
in
image // { inherit program assembler; }
