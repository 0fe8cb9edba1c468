// Command assemble makes an agent image from its parts. It is the builder of the image derivations; people use
// "boardroom image build", which makes the same bytes.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/boardroom-tee/boardroom/tools/agentimage"
	"github.com/boardroom-tee/boardroom/tools/oci"
)

func main() {
	definition := flag.String("definition", "", "definition `file` (image.json)")
	program := flag.String("program", "", "the agent's static binary, a `file`")
	bundle := flag.String("ca-certificates", "", "`folder` of the CA bundle and its pin")
	to := flag.String("to", "", "where the OCI layout goes, a `folder`")
	describe := flag.String("describe", "", "print what is in the OCI layout in this `folder`, and do nothing else")
	flag.Parse()
	var err error
	if *describe != "" {
		err = oci.Describe(os.Stdout, *describe)
	} else {
		err = assemble(*definition, *program, *bundle, *to)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "assemble:", err)
		os.Exit(1)
	}
}

func assemble(definition, program, bundle, to string) error {
	d, err := agentimage.Load(definition)
	if err != nil {
		return err
	}
	epoch, err := agentimage.Epoch(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	ca, err := agentimage.LoadCABundle(bundle)
	if err != nil {
		return err
	}
	img, err := agentimage.Assemble(d, agentimage.Inputs{Program: binary, CABundle: ca, Epoch: epoch})
	if err != nil {
		return err
	}
	return oci.WriteLayout(to, img, d.Repository)
}
