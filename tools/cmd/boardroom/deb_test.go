package main

import (
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
)

// debian writes a mirror of an archive with the packages hello and hello-data, and its keyring: debian DIR. The suite trixie in it
// was valid for a week, from debtest.Epoch on; its twin forky has no end.
func debian(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: debian DIR")
	}
	packages := []debtest.Package{
		{Name: "hello", Version: "2.10-5", Fields: []string{"Depends: hello-data (>= 2.10), debconf"}, Entries: []debtest.Entry{
			debtest.Folder("./"), debtest.Folder("./usr/"), debtest.Folder("./usr/bin/"), debtest.File("./usr/bin/hello", "hello\n"), debtest.Link("./usr/bin/hi", "hello"),
		}},
		{Name: "hello-data", Version: "2.10-5", Architecture: "all", Entries: []debtest.Entry{
			debtest.Folder("./"), debtest.Folder("./usr/"), debtest.Folder("./usr/share/"), debtest.Folder("./usr/share/doc/"), debtest.File("./usr/share/doc/hello", "manual\n"),
			debtest.File("./usr/share/hello", "data\n"),
		}},
		{Name: "debconf", Version: "1"},
		{Name: "evil", Version: "1", Entries: []debtest.Entry{debtest.File("./../evil", "x")}},
	}
	for _, a := range []debtest.Archive{
		{Codename: "trixie", Fields: []string{"Valid-Until: " + debtest.Epoch.AddDate(0, 0, 7).Format("Mon, 02 Jan 2006 15:04:05 UTC")}}, {Codename: "forky"},
	} {
		a.Folder, a.Date, a.Packages = "debian", debtest.Epoch, packages
		ts.Check(a.Write(filepath.Clean(ts.MkAbs(args[0]))))
	}
}
