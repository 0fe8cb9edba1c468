package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// sameFolders compares the files in two folders: same FOLDER FOLDER.
func sameFolders(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: same FOLDER FOLDER")
	}
	for _, pair := range [][2]string{{args[0], args[1]}, {args[1], args[0]}} {
		in := ts.MkAbs(pair[0])
		ts.Check(filepath.WalkDir(in, func(file string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			name, err := filepath.Rel(in, file)
			if err != nil {
				return err
			}
			one, err := os.ReadFile(file)
			other, there := os.ReadFile(filepath.Join(ts.MkAbs(pair[1]), name))
			if err := errors.Join(err, there); err != nil {
				return err
			}
			if !bytes.Equal(one, other) {
				ts.Fatalf("%s is not the same in %s and %s", name, args[0], args[1])
			}
			return nil
		}))
	}
}
