# Sources, cut down to what a build reads, so that a change elsewhere rebuilds nothing.
let
  inherit (builtins) any baseNameOf elem hasAttr match path stringLength substring;

  startsWith = prefix: s: substring 0 (stringLength prefix) s == prefix;

  # below = what lies at or under folder ("." is the root); above = a folder on the way to it.
  below = folder: rel: folder == "." || rel == folder || startsWith "${folder}/" rel;
  above = folder: rel: startsWith "${rel}/" folder;

  unread = tests: base: type:
    (type == "directory" && base == "testdata")
    || (type == "regular" && match (if tests then ".*\\.md" else ".*_test\\.go|.*\\.md") base != null)
    || substring 0 1 base == ".";
in
{
  # The Go sources of `root`: go.mod, go.sum and the given folders with what is below them, without tests.
  # With tests = true, with them.
  go = { name, root, folders, tests ? false }:
    let
      start = stringLength (toString root) + 1;
      keep = file: type:
        let rel = substring start (-1) (toString file); in
        elem rel [ "go.mod" "go.sum" ]
        || (any (folder: below folder rel || (type == "directory" && above folder rel)) folders
            && !(unread tests (baseNameOf file) type));
    in
    path { inherit name; path = root; filter = keep; };

  # A folder as it is, under a name of its own.
  folder = { name, root }: path { inherit name; path = root; };
}
